"""MONAI bundles, run by their own configuration: equal to MONAI's own run of them, and only with trust."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, decollate_batch
from monai.networks.nets import UNet
from ruamel.yaml import YAML
from safetensors.torch import save_file

from trialscan.errors import SegmentationError, TrustError
from trialscan.imaging import Units, Volume, affine_from, read_mask, read_volume, write_volume
from trialscan.segmentation import Segmenter, folder_sha256, load_model
from trialscan.segmentation.monai_bundle import load_monai_bundle
from trialscan.study.sections import SegmentationSettings

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}


def network(dimensions: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    arguments = {name: value for name, value in NETWORK.items() if name != "_target_"} | {"spatial_dims": dimensions}
    return UNet(**arguments).eval()


def metadata(**changes: object) -> dict[str, object]:
    names = {"0": "background", "1": "liver", "2": "tumour"}
    image = {"type": "image", "num_channels": 1, "modality": "CT", "spatial_shape": [32, 32, 32]} | changes
    answer = {"type": "image", "format": "segmentation", "num_channels": 3, "channel_def": names}
    return {
        "version": "0.3.1",
        "name": "A liver and its tumours",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": answer}},
    }


def inference(dimensions: int = 3) -> dict[str, object]:
    """As the bundles of MONAI's model zoo are written: expressions, references, a checkpoint loader among handlers."""
    spatial = [
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [3.0, 3.0, 3.0], "mode": "bilinear"},
    ]
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "/nowhere",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": NETWORK | {"spatial_dims": dimensions},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "@image_key"},
                {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
                *(spatial if dimensions == 3 else []),
                {
                    "_target_": "ScaleIntensityRanged",
                    "keys": "image",
                    "a_min": -200,
                    "a_max": 200,
                    "b_min": 0,
                    "b_max": 1,
                }
                | {"clip": True},
                {"_target_": "EnsureTyped", "keys": "@image_key"},
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16] * dimensions, "overlap": 0.5},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "@image_key"}
                | {"nearest_interp": False, "to_tensor": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "print_log": False},
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
            }
        ],
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)"],
    }


def write(folder: Path, weights: str, config: dict[str, object] | None = None, *, dimensions: int = 3) -> Path:
    """A bundle whose weights are kept in one of MONAI's ways."""
    config = config or inference(dimensions)
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps(metadata()))
    if weights != "model.pt":
        config.pop("handlers")
    if weights == "model.ts":
        config["network_def"] = "$torch.jit.load(@bundle_root + '/models/model.ts')"
    if weights == "model.safetensors":
        with (folder / "configs/inference.yaml").open("w") as stream:
            YAML().dump(config, stream)
        save_file(network(dimensions).state_dict(), folder / "models" / weights)
    else:
        (folder / "configs/inference.json").write_text(json.dumps(config))
    if weights == "model.pt":
        torch.save({"model": network(dimensions).state_dict()}, folder / "models" / weights)
    if weights == "model.ts":
        torch.jit.script(network(dimensions)).save(str(folder / "models" / weights))
    return folder


def scan_file(path: Path) -> Path:
    """An oblique scan with an object in it."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (26, 24, 20)), indexing="ij"), -1)
    ball = np.linalg.norm(grid - [12, 11, 9], axis=-1) < 7
    array = np.where(ball, 90, -60) + np.random.default_rng(0).normal(0, 40, ball.shape)
    turn, _ = np.linalg.qr(np.eye(3) + 0.1 * np.random.default_rng(1).normal(size=(3, 3)))
    write_volume(path, Volume(array.astype(np.int16), affine_from((2.0, 2.5, 3.5), (-30.0, 20.0, 5.0), turn), Units.HU))
    return path


def monais_own(bundle: Path, scan: Path, out: Path) -> np.ndarray:
    """What MONAI's own steps write for the scan, by its data set, loader, collation and SaveImaged."""
    parser = ConfigParser()
    parser.read_config(str(next((bundle / "configs").glob("inference.*"))))
    parser.update({"bundle_root": str(bundle), "output_dir": str(out), "device": "cpu"})
    preprocessing = parser.get_parsed_content("preprocessing")
    if (bundle / "models/model.safetensors").is_file() and "weights" in parser:
        parser.get_parsed_content("weights")
        net = parser.get_parsed_content("network_def").eval()
    else:
        net = network()
    inferer, post = (parser.get_parsed_content(name) for name in ("inferer", "postprocessing"))
    for batch in DataLoader(Dataset([{"image": str(scan)}], preprocessing), batch_size=1):
        with torch.inference_mode():
            batch["pred"] = inferer(batch["image"], net)
        for item in decollate_batch(batch):
            post(item)
    (written,) = out.rglob("*.nii.gz")
    return read_mask(written).array


def dice(first: np.ndarray, second: np.ndarray, label: int) -> float:
    one, two = first == label, second == label
    return 2 * int((one & two).sum()) / int(one.sum() + two.sum())


@pytest.mark.parametrize("weights", ["model.pt", "model.ts", "model.safetensors"])
def test_a_bundle_of_monais_conventions_gives_what_monai_gives(tmp_path, weights):
    bundle, scan = write(tmp_path / "liver", weights), scan_file(tmp_path / "scan.nii")
    segmenter = load_monai_bundle(bundle, "cpu", folder_sha256(bundle))
    assert isinstance(segmenter, Segmenter)
    assert segmenter.labels == {0: "background", 1: "liver", 2: "tumour"}
    volume = read_volume(scan, Units.HU)
    answer = segmenter(volume)
    assert answer.labels.same_grid(volume)
    assert set(answer.seconds) == {"prepare", "network", "to_native_grid"}
    expected = monais_own(bundle, scan, tmp_path / "theirs")
    for label in np.unique(expected):
        assert dice(answer.labels.array, expected, label) >= 0.999
    assert len(np.unique(expected)) > 1
    assert not list(bundle.rglob("eval"))


def test_a_bundle_of_our_own_training_gives_what_monai_gives(tmp_path, bundles):
    bundle, scan = tmp_path / "ours", scan_file(tmp_path / "scan.nii")
    shutil.copytree(bundles["volume"], bundle)
    answer = load_monai_bundle(bundle, "cpu", "0" * 64)(read_volume(scan, Units.HU)).labels.array
    expected = monais_own(bundle, scan, tmp_path / "theirs")
    for label in np.unique(expected):
        assert dice(answer, expected, label) >= 0.999


def test_a_bundle_for_single_images(tmp_path):
    config = inference(2)
    config["inferer"] = {"_target_": "SimpleInferer"}
    config["postprocessing"]["transforms"].pop(1)
    segmenter = load_monai_bundle(write(tmp_path / "flat", "model.pt", config, dimensions=2), "cpu", "0" * 64)
    for kind in (np.uint8, np.float32):
        array = np.random.default_rng(0).integers(0, 200, (32, 24, 1)).astype(kind)
        picture = Volume(array, np.eye(4), Units.INTENSITY, spacing_known=False)
        scaled = torch.from_numpy(((array[..., 0].astype(np.float32) + 200) / 400)[None, None])
        with torch.inference_mode():
            expected = network(2)(scaled).argmax(1)[0].numpy()
        np.testing.assert_array_equal(segmenter(picture).labels.array[..., 0], expected)


def test_an_answer_left_on_the_models_grid_comes_to_the_scans(tmp_path):
    config = inference()
    config["postprocessing"]["transforms"] = [{"_target_": "AsDiscreted", "keys": "pred", "argmax": True}]
    volume = read_volume(scan_file(tmp_path / "scan.nii"), Units.HU)
    plain = load_monai_bundle(write(tmp_path / "a", "model.pt"), "cpu", "0" * 64)(volume).labels
    moved = load_monai_bundle(write(tmp_path / "b", "model.pt", config), "cpu", "0" * 64)(volume).labels
    assert moved.same_grid(plain)
    assert (moved.array == plain.array).mean() > 0.85


def test_a_bundle_of_several_channels_is_refused(tmp_path):
    bundle = write(tmp_path / "b", "model.pt")
    (bundle / "configs/metadata.json").write_text(json.dumps(metadata(num_channels=4)))
    with pytest.raises(SegmentationError, match="4 input channels"):
        load_monai_bundle(bundle, "cpu", "0" * 64)


def test_a_bundle_without_weights_or_with_others_is_refused(tmp_path):
    bundle = write(tmp_path / "b", "model.pt")
    torch.save({"model": {"first": torch.zeros(1)}}, bundle / "models/model.pt")
    with pytest.raises(SegmentationError, match="RuntimeError"):
        load_monai_bundle(bundle, "cpu", "0" * 64)
    torch.save({"model": print}, bundle / "models/model.pt")
    with pytest.raises(SegmentationError, match="other things than tensors"):
        load_monai_bundle(bundle, "cpu", "0" * 64)
    (bundle / "models/model.pt").unlink()
    with pytest.raises(SegmentationError, match="No such file"):
        load_monai_bundle(bundle, "cpu", "0" * 64)


def settings(**changes: object) -> SegmentationSettings:
    given = {"model": "m", "organ_labels": [1], "lesion_labels": {2: "tumour"}, "reader_lesion_labels": {1: "tumour"}}
    return SegmentationSettings.model_validate({**given, "units": "HU", **changes})


def test_code_runs_only_with_leave_and_with_the_protocols_digest(tmp_path):
    marker = tmp_path / "ran"
    config = inference()
    config["inferer"] = f"$os.system('touch {marker}')"
    bundle = write(tmp_path / "b", "model.pt", config)
    digest = folder_sha256(bundle)
    for trusted, pin in ((False, None), (True, None), (False, digest)):
        with pytest.raises(TrustError, match=f"--trust-bundle.*{digest}") as caught:
            load_model(bundle, settings(bundle_sha256=pin), device="cpu", trusted=trusted)
        assert caught.value.exit_code == 3
        assert not marker.exists()
    with pytest.raises(SegmentationError, match="which the protocol names"):
        load_model(bundle, settings(bundle_sha256="0" * 64), device="cpu", trusted=True)
    assert not marker.exists()
    load_model(bundle, settings(bundle_sha256=digest), device="cpu", trusted=True)
    assert marker.exists()


def test_any_change_to_a_foreign_folder_changes_its_digest(tmp_path, bundles):
    bundle = write(tmp_path / "b", "model.pt")
    seen = {folder_sha256(bundle)}
    for change in ("scripts/net.py", "docs/README.md", "models/__pycache__/a.pyc"):
        (bundle / change).parent.mkdir(exist_ok=True, parents=True)
        (bundle / change).write_text("x")
        seen.add(folder_sha256(bundle))
    (bundle / "docs/README.md").rename(bundle / "docs/README2.md")
    seen.add(folder_sha256(bundle))
    assert len(seen) == 5
    own = tmp_path / "own"
    shutil.copytree(bundles["volume"], own)
    before = folder_sha256(own)
    (own / "docs").mkdir(exist_ok=True)
    (own / "docs/README.md").write_text("another card")
    assert folder_sha256(own) == before
    (own / "configs/metadata.json").write_text((own / "configs/metadata.json").read_text().replace("0.0.1", "0.0.2"))
    assert folder_sha256(own) != before


def test_labels_that_the_model_does_not_give_are_named(tmp_path):
    bundle = write(tmp_path / "b", "model.pt")
    pinned = settings(bundle_sha256=folder_sha256(bundle), lesion_labels={7: "tumour"})
    with pytest.raises(SegmentationError, match=r"no label 7.*1 liver, 2 tumour"):
        load_model(bundle, pinned, device="cpu", trusted=True)


@pytest.mark.parametrize("change", [{"weights_sha256": "0" * 64}, {"mirroring": "check"}])
def test_settings_of_own_bundles_are_refused_for_foreign_ones(tmp_path, change):
    bundle = write(tmp_path / "b", "model.pt")
    with pytest.raises(SegmentationError, match=next(iter(change))):
        load_model(bundle, settings(bundle_sha256=folder_sha256(bundle), **change), device="cpu", trusted=True)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(SegmentationError, match=r"no configs/metadata\.json"):
        load_model(tmp_path, settings(), device="cpu")
