"""nnU-Net v2 folders: equal to nnU-Net's own prediction. Skipped where the extra `nnunet` is not installed."""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from trialscan.errors import SegmentationError, TrustError, UsageError
from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import folder_sha256, load_model, read_model_facts
from trialscan.segmentation.nnunet_folder import load_nnunet
from trialscan.segmentation.resampling import interpolation_weights, nearest_weights
from trialscan.study.sections import SegmentationSettings

FOLDER = "nnUNetTrainer__nnUNetPlans__3d_fullres"
LABELS = {"background": 0, "lung": 1, "lesion": 2}


def network_arguments() -> dict[str, object]:
    return {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def plans(spacing: list[float], transpose: list[int], reader: str) -> dict[str, object]:
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 16, 16],
        "spacing": spacing,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling | {"order": 3},
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": network_arguments(),
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    intensities = {"mean": -300.0, "std": 300.0, "percentile_00_5": -1000.0, "percentile_99_5": 300.0}
    return {
        "dataset_name": "Dataset999_Tiny",
        "plans_name": "nnUNetPlans",
        "transpose_forward": transpose,
        "transpose_backward": [int(n) for n in np.argsort(transpose)],
        "image_reader_writer": reader,
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": intensities},
        "configurations": {"3d_fullres": configuration},
    }


def write_json_files(
    root: Path, spacing: list[float], transpose: list[int], reader: str = "SimpleITKIO", **dataset: object
) -> Path:
    folder = root / "Dataset999_Tiny" / FOLDER
    folder.mkdir(parents=True)
    facts = {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": 1, "file_ending": ".nii.gz"} | dataset
    (folder / "dataset.json").write_text(json.dumps(facts))
    (folder / "plans.json").write_text(json.dumps(plans(spacing, transpose, reader)))
    return folder


def write_folder(root: Path, spacing: list[float], transpose: list[int], folds: int = 2, **options: str) -> Path:
    """A folder as nnU-Net's training leaves it, with random weights that give every label somewhere."""
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet", reason="nnunetv2 is not installed")
    folder = write_json_files(root, spacing, transpose, **options)
    for fold in range(folds):
        torch.manual_seed(fold)
        arguments = network_arguments() | {
            "conv_op": torch.nn.Conv3d,
            "norm_op": torch.nn.InstanceNorm3d,
            "nonlin": torch.nn.LeakyReLU,
        }
        network = unet.PlainConvUNet(input_channels=1, num_classes=3, **arguments, deep_supervision=False)
        checkpoint = {
            "network_weights": network.state_dict(),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": (0, 1, 2),
        }
        (folder / f"fold_{fold}").mkdir()
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder


def scan(spacing: tuple[float, float, float], direction: np.ndarray | None = None) -> Volume:
    """Blobs a few voxels across, with a border of zeros that nnU-Net crops."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(-300, 300, (8, 7, 6))
    array = np.kron(coarse, np.ones((4, 4, 4))) + rng.normal(0, 20, (32, 28, 24))
    array[:3] = array[:, -4:] = 0
    return Volume(array.astype(np.int16), affine_from(spacing, direction=direction), Units.HU)


def nnunets_own(folder: Path, image: np.ndarray, spacing: list[float]) -> np.ndarray:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: PLC0415 - an optional extra

    with contextlib.redirect_stdout(sys.stderr):
        predictor = nnUNetPredictor(
            use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
        )
        predictor.initialize_from_trained_model_folder(str(folder), None, "checkpoint_final.pth")
        return predictor.predict_single_npy_array(image, {"spacing": spacing}, None, None, False)


def dice(first: np.ndarray, second: np.ndarray, label: int) -> float:
    one, two = first == label, second == label
    return 2 * int((one & two).sum()) / int(one.sum() + two.sum())


@pytest.mark.filterwarnings("ignore")  # nnU-Net's own
@pytest.mark.parametrize(
    ("native", "model", "transpose"),
    [
        ((2.0, 1.6, 2.4), [2.0, 2.0, 2.0], [0, 1, 2]),
        ((1.5, 1.5, 1.5), [2.0, 2.0, 2.0], [2, 0, 1]),
        ((1.0, 1.0, 6.0), [5.0, 1.4, 1.4], [0, 1, 2]),
        ((2.0, 2.0, 2.0), [1.5, 1.5, 1.5], [0, 1, 2]),
    ],
)
def test_the_answer_is_nnunets_own(tmp_path, native, model, transpose, capsys):
    folder = write_folder(tmp_path, model, transpose)
    volume = scan(native)
    answer = load_nnunet(folder, "cpu", "0" * 64)(volume)
    assert capsys.readouterr().out == ""
    image = volume.array.astype(np.float32).transpose(2, 1, 0)[None]
    expected = nnunets_own(folder, image, list(reversed(native))).transpose(2, 1, 0)
    assert answer.labels.same_grid(volume)
    found = [label for label in np.unique(expected) if label]
    assert found
    for label in found:
        assert dice(answer.labels.array, expected, label) >= 0.999


@pytest.mark.filterwarnings("ignore")
def test_a_reader_that_reorients_gets_its_orientation(tmp_path):
    folder = write_folder(tmp_path, [2.0, 2.0, 2.0], [0, 1, 2], folds=1, reader="NibabelIOWithReorient")
    segmenter = load_nnunet(folder, "cpu", "0" * 64)
    straight = scan((2.0, 2.0, 2.0))
    first = segmenter(straight).labels
    image = straight.array[::-1, ::-1].astype(np.float32).transpose(2, 1, 0)[None]
    expected = nnunets_own(folder, np.ascontiguousarray(image), [2.0, 2.0, 2.0]).transpose(2, 1, 0)[::-1, ::-1]
    assert (first.array == expected).mean() > 0.999
    turned = Volume(
        np.ascontiguousarray(straight.array[::-1]),
        straight.affine @ np.array([[-1, 0, 0, 31], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        Units.HU,
    )
    np.testing.assert_array_equal(segmenter(turned).labels.array[::-1], first.array)


@pytest.mark.filterwarnings("ignore")
def test_a_folder_without_a_fold_and_a_damaged_checkpoint_are_refused(tmp_path):
    folder = write_folder(tmp_path, [2.0, 2.0, 2.0], [0, 1, 2], folds=1)
    (folder / "fold_0/checkpoint_final.pth").write_bytes(b"no pickle")
    with pytest.raises(SegmentationError, match="a trained nnU-Net"):
        load_nnunet(folder, "cpu", "0" * 64)
    (folder / "fold_0/checkpoint_final.pth").unlink()
    with pytest.raises(SegmentationError, match="no trained fold"):
        load_nnunet(folder, "cpu", "0" * 64)


def test_what_a_folder_expects_and_gives_is_told_without_nnunet(tmp_path):
    facts = read_model_facts(write_json_files(tmp_path, [5.0, 1.4, 1.2], [0, 1, 2]))
    assert (facts.name, facts.version, facts.kind) == ("Dataset999_Tiny", "3d_fullres", "nnunet")
    assert facts.labels == {0: "background", 1: "lung", 2: "lesion"}
    assert facts.spacing_mm == (1.2, 1.4, 5.0)
    assert facts.needs_trust


def test_regions_are_told_by_the_labels_of_the_answer(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    folder = write_json_files(tmp_path, [2.0] * 3, [0, 1, 2], labels=labels, regions_class_order=[1, 2])
    assert read_model_facts(folder).labels == {0: "background", 1: "whole", 2: "core"}


def test_checkpoints_are_not_opened_without_leave(tmp_path):
    folder = write_json_files(tmp_path, [2.0] * 3, [0, 1, 2])
    settings = SegmentationSettings(model="m", organ_labels=(1,), lesion_labels={2: "lesion"})
    with pytest.raises(TrustError, match=folder_sha256(folder)):
        load_model(folder, settings, device="cpu")


def test_several_channels_and_renamed_folders_are_refused(tmp_path):
    folder = write_json_files(tmp_path / "a", [2.0] * 3, [0, 1, 2], channel_names={"0": "T1", "1": "FLAIR"})
    with pytest.raises(SegmentationError, match="2 channels"):
        read_model_facts(folder)
    folder = write_json_files(tmp_path / "b", [2.0] * 3, [0, 1, 2])
    with pytest.raises(SegmentationError, match="configuration 'renamed'"):
        read_model_facts(folder.rename(folder.parent / "renamed"))


def test_without_nnunet_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    monkeypatch.setitem(sys.modules, "nnunetv2.inference.predict_from_raw_data", None)
    folder = write_json_files(tmp_path, [2.0] * 3, [0, 1, 2])
    (folder / "fold_0").mkdir()
    (folder / "fold_0/checkpoint_final.pth").write_bytes(b"")
    with pytest.raises(UsageError, match=r"trialscan\[nnunet\]"):
        load_nnunet(folder, "cpu", "0" * 64)


def test_weights_interpolate_or_take_the_nearest_slice():
    for source, target in ((4, 9), (9, 4), (5, 5), (1, 3), (7, 1)):
        line = torch.nn.functional.interpolate(
            torch.arange(float(source))[None, None], size=target, mode="linear", align_corners=False
        )[0, 0]
        torch.testing.assert_close(interpolation_weights(source, target) @ torch.arange(float(source)), line)
        assert (nearest_weights(source, target).sum(1) == 1).all()
    assert nearest_weights(4, 2).argmax(1).tolist() == [1, 3]
