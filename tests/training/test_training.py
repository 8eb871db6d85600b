"""Cases, random changes, the loop and the bundle it ends in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trialscan.errors import InputError, UsageError
from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import load_bundle
from trialscan.training.augment_planar import planar_patch
from trialscan.training.augment_volume import volume_patch
from trialscan.training.cases import Case, load_case, lung_boxes, save_case
from trialscan.training.config import TrainingConfig, load_config
from trialscan.training.export import write_bundle
from trialscan.training.loop import average_weights, mean_weights, train
from trialscan.training.phantoms import merged_labels

MODELS = Path(__file__).resolve().parents[2] / "protocols" / "models"


def config(kind: str = "volume", **changes: object) -> TrainingConfig:
    planar = kind == "planar"
    content = {
        "name": "small",
        "kind": kind,
        "labels": {0: "background", 1: "lung", 2: "ground_glass"},
        "network": {
            "_target_": "UNet",
            "spatial_dims": 2 if planar else 3,
            "in_channels": 1,
            "out_channels": 3,
            "channels": [4, 8],
            "strides": [2],
        },
        "spacing_mm": None if planar else (4.0, 4.0, 4.0),
        "planar_size": 32 if planar else None,
        "intensity_range": None if planar else (-1024.0, 600.0),
        "patch": (32, 32, 1) if planar else (16, 16, 16),
        "steps": 4,
        "checkpoint_every": 2,
        "data": {"cases": 1, "first_seed": 1},
    }
    return TrainingConfig.model_validate(content | changes)


def ball() -> Case:
    """A lung of −850 HU with a lesion of −500 HU, in soft tissue."""
    grid = np.indices((24, 24, 24)) - 11.5
    radius = np.sqrt((grid**2).sum(axis=0))
    labels = (radius < 9).astype(np.uint8) + (radius < 4).astype(np.uint8)
    image = np.choose(labels, [40.0, -850.0, -500.0]).astype(np.float16)
    return Case(image, labels, lung_boxes((labels > 0).astype(np.uint8)))


def picture() -> Case:
    labels = np.zeros((48, 40, 1), dtype=np.uint8)
    labels[8:20, 8:32] = 1
    labels[28:40, 8:32] = 1
    labels[10:14, 10:16] = 2
    image = np.choose(labels, [0.8, 0.2, 0.5]).astype(np.float16)
    return Case(image, labels, lung_boxes(labels))


def test_cases_are_kept_and_read_again(tmp_path):
    save_case(tmp_path / "case_1.npz", ball())
    again = load_case(tmp_path / "case_1.npz")
    np.testing.assert_array_equal(again.image, ball().image)
    np.testing.assert_array_equal(again.labels, ball().labels)
    np.testing.assert_array_equal(again.boxes, ball().boxes)


def test_a_case_on_two_grids_is_refused():
    with pytest.raises(UsageError, match="image's"):
        Case(np.zeros((4, 4, 4), np.float16), np.zeros((4, 4, 5), np.uint8), np.zeros((0, 2, 3), np.int64))


def test_labels_of_lesions_stand_above_the_organs():
    merged = merged_labels(np.array([0, 1, 2, 1, 0]), np.array([0, 0, 0, 1, 2]))
    assert merged.tolist() == [0, 1, 1, 2, 3]


def test_volume_patches_stay_in_range_and_depend_on_the_seed_alone():
    for seed in range(12):
        image, labels = volume_patch(ball(), config(), np.random.default_rng(seed))
        again, _ = volume_patch(ball(), config(), np.random.default_rng(seed))
        assert image.shape == (1, 16, 16, 16)
        assert labels.shape == (16, 16, 16)
        assert image.abs().max() <= 1
        assert set(labels.unique().tolist()) <= {0, 1, 2}
        assert torch.equal(image, again)


def test_without_changes_a_volume_patch_keeps_intensity_and_labels_together():
    plain = {
        "zoom": (1.0, 1.0), "one_lung": 0, "field_cut": 0, "offset_hu": 0, "gain": 0, "lung_offset_hu": 0,
        "emphysema": 0, "flips": (0, 0, 0), "noise_hu": (0, 0), "blur": 0, "thick_slices": 0,
    }  # fmt: skip
    image, labels = volume_patch(ball(), config(volume=plain), np.random.default_rng(0))
    hu = (image[0] + 1) * 812 - 1024
    assert hu[labels == 1].median() == pytest.approx(-850, abs=40)
    assert hu[labels == 2].median() == pytest.approx(-500, abs=60)


def test_planar_patches_are_square_and_keep_dark_lungs_dark():
    for seed in range(12):
        image, labels = planar_patch(picture(), config("planar"), np.random.default_rng(seed))
        assert image.shape == (1, 32, 32)
        assert labels.shape == (32, 32)
        assert image.abs().max() <= 1


@pytest.mark.parametrize(
    ("kind", "case", "sampler"), [("volume", ball, volume_patch), ("planar", picture, planar_patch)]
)
def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path, kind, case, sampler):
    settings = config(kind, batch=2)
    whole = average_weights(train(settings, [case()], sampler, tmp_path / "whole"))
    train(settings, [case()], sampler, tmp_path / "parts", stop_after=2)
    resumed = average_weights(train(settings, [case()], sampler, tmp_path / "parts"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    rows = (tmp_path / "parts" / "log.csv").read_text()
    assert rows == (tmp_path / "whole" / "log.csv").read_text()
    assert len(rows.splitlines()) == 5


def test_frozen_normalisation_keeps_its_statistics(tmp_path):
    network = config().network | {"norm": "batch"}
    settings = config(network=network, freeze_norm_at=2)
    train(settings, [ball()], volume_patch, tmp_path / "frozen", stop_after=3)
    halfway = torch.load(tmp_path / "frozen" / "checkpoint.pt", weights_only=True)["network"]
    end = torch.load(train(settings, [ball()], volume_patch, tmp_path / "frozen"), weights_only=True)["network"]
    statistics = [name for name in end if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(torch.equal(halfway[name], end[name]) for name in statistics)
    assert not all(torch.equal(halfway[name], end[name]) for name in end)


def test_the_mean_of_a_run_with_itself_is_the_run(tmp_path):
    network = config().network | {"norm": "batch"}
    run = train(config(network=network), [ball()], volume_patch, tmp_path)
    for name, value in mean_weights([run, run]).items():
        assert value.dtype == average_weights(run)[name].dtype
        torch.testing.assert_close(value, average_weights(run)[name])


def test_small_lesions_are_drawn_as_well_as_large_ones():
    labels = np.ones((40, 40, 40), dtype=np.uint8)
    labels[2:4, 2:4, 2:4] = 2
    labels[16:36, 16:36, 16:36] = 2
    case = Case(np.zeros(labels.shape, np.float16), labels, lung_boxes(labels))
    assert sorted(lesion.size for lesion in case.lesions) == [8, 8000]
    settings = config(labels={0: "background", 1: "lung", 2: "glass"}, volume={"zoom": (1, 1), "lesion_centred": 1})
    patches = [volume_patch(case, settings, np.random.default_rng(seed))[1] for seed in range(240)]
    small = sum(1 <= int((patch == 2).sum()) <= 16 for patch in patches)
    assert small >= 8  # by volume it would be one in a thousand, by diameter one in eleven


def test_given_weights_are_the_start(tmp_path):
    first = average_weights(train(config(), [ball()], volume_patch, tmp_path / "a"))
    second = average_weights(
        train(config(learning_rate=1e-12), [ball()], volume_patch, tmp_path / "b", start_from=first, stop_after=1)
    )
    for name in first:
        torch.testing.assert_close(first[name], second[name])


def test_training_without_cases_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no cases"):
        train(config(), [], volume_patch, tmp_path)


def test_a_bundle_holds_what_half_precision_cannot(tmp_path):
    settings = config(network=config().network | {"norm": "batch"})
    weights = average_weights(train(settings, [ball()], volume_patch, tmp_path / "run"))
    variance = next(name for name in weights if name.endswith("running_var"))
    weights[variance] = weights[variance] * 1e8
    write_bundle(settings, weights, tmp_path / "bundle", "1")
    kept = load_bundle(tmp_path / "bundle").network.state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-3, atol=1e-6)


def test_a_trained_network_becomes_a_bundle_that_runs(tmp_path):
    weights = average_weights(train(config(), [ball()], volume_patch, tmp_path / "run"))
    digest = write_bundle(config(), weights, tmp_path / "bundle", "1.0")
    segmenter = load_bundle(tmp_path / "bundle", "cpu", digest)
    scan = Volume(ball().image.astype(np.float32), affine_from((4.0, 4.0, 4.0)), Units.HU)
    assert segmenter(scan).labels.shape == scan.shape
    for name, value in segmenter.network.state_dict().items():
        torch.testing.assert_close(value, weights[name].half().float())


def test_training_starts_from_a_bundle(tmp_path):
    run = train(config(), [ball()], volume_patch, tmp_path / "run")
    write_bundle(config(), average_weights(run), tmp_path / "bundle", "1.0")
    for name, value in average_weights(tmp_path / "bundle").items():
        torch.testing.assert_close(value, average_weights(run)[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["thorax_ct", "chest_xray", "ct_slice"])
def test_shipped_configurations_are_valid(name):
    assert load_config(MODELS / name / "training.yaml").name == name


def test_every_fault_of_a_configuration_is_named(tmp_path):
    text = (MODELS / "thorax_ct" / "training.yaml").read_text()
    (tmp_path / "t.yaml").write_text(text.replace("steps:", "stepz:").replace("kind: volume", "kind: solid"))
    with pytest.raises(InputError) as error:
        load_config(tmp_path / "t.yaml")
    assert {fault.where.split()[-1] for fault in error.value.faults} == {"kind", "steps", "stepz"}
