"""The parts of the loop, each against what can be known without it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_experiments import PLANAR, VOLUME, box, configuration, disc

from trialscan.errors import InputError, UsageError
from trialscan.imaging import Units, Volume, affine_from, read_volume, write_volume
from trialscan.segmentation import load_bundle
from trialscan.segmentation.engine import LoadedNetwork
from trialscan.segmentation.network import build_network
from trialscan.training.datasets import AnnotatedCase, CaseMask
from trialscan.training.experiments.augmentation import GenericAugmentation, augment
from trialscan.training.experiments.cases import CaseSet
from trialscan.training.experiments.classes import class_problems, make_classes
from trialscan.training.experiments.design import make_design
from trialscan.training.experiments.folds import make_folds, part, strata
from trialscan.training.experiments.learner import as_classes, make_learner, make_loss, take_step
from trialscan.training.experiments.network import axes_of, initialised, set_frozen, settle_modes
from trialscan.training.experiments.patches import batches, crop
from trialscan.training.experiments.prediction import measure_case, predict_case
from trialscan.training.experiments.preparation import PreparedCase, prepare_case
from trialscan.training.experiments.reading import load_experiment
from trialscan.training.experiments.rehearsal import rehearse
from trialscan.training.experiments.sections import (
    ClassSettings,
    FoldSettings,
    FreezeSettings,
    LossSettings,
    OptimiserSettings,
)
from trialscan.training.experiments.tables import clustered_mean, summary_table

MODELS = Path(__file__).resolve().parents[3] / "protocols" / "models"
LABELS = {0: "background", 1: "ground_glass", 2: "consolidation", 3: "vessel"}
UNET = {"_target_": "UNet", "spatial_dims": 2, "channels": [4, 8], "strides": [2], "num_res_units": 1}


def design_of(text: str, folder: Path, store):
    return make_design(load_experiment(configuration(folder, text)), "base", store.snapshot)


def cases_of(design, store) -> CaseSet:
    paths = lambda path: store.root / path  # noqa: E731 - a callable is what is wanted
    return CaseSet(store.snapshot.training_cases, paths, design.preparation)


def test_labels_merge_into_classes_and_what_is_background_is_said():
    settings = (
        ClassSettings(name="lesion", of=("ground_glass", "consolidation")),
        ClassSettings(name="background", of=("vessel",)),
    )
    assert list(class_problems(LABELS, settings, {})) == []
    classes = make_classes(LABELS, settings, {})
    assert classes.names == ("background", "lesion")
    assert classes.learnt(np.array([0, 1, 2, 3])).tolist() == [0, 1, 1, 0]
    whole = make_classes(LABELS, None, {"lesion": ("ground_glass", "consolidation")})
    assert whole.names == tuple(LABELS.values())
    assert whole.measured == {"ground_glass": (1,), "consolidation": (2,), "vessel": (3,), "lesion": (1, 2)}


def test_labels_taken_twice_or_by_none_are_problems():
    settings = (ClassSettings(name="a", of=("vessel",)), ClassSettings(name="b", of=("vessel", "bone")))
    messages = [message for _, message in class_problems(LABELS, settings, {"all": ("c",)})]
    assert len(messages) == 4
    assert "taken by a already" in messages[0]
    assert "'bone' is no label" in messages[1]
    assert "no class takes ground_glass, consolidation" in messages[2]
    assert "'c' is no class" in messages[3]


def annotated(number: int, group: str, **attributes: str) -> AnnotatedCase:
    return AnnotatedCase(f"c{number}", group, group, ("i",), (CaseMask("m", {1: 1}),), attributes)


def test_folds_keep_groups_together_and_spread_sizes():
    cases = [annotated(number, f"g{number // 2}") for number in range(60)]
    sizes = [float(number // 2) for number in range(60)]
    settings = FoldSettings(count=5, bins=3, seed=4)
    kinds = strata(cases, sizes, settings)
    of = part(cases, kinds, settings, Path())
    assert all(len({of[index] for index in range(60) if cases[index].group == f"g{group}"}) == 1 for group in range(30))
    for fold in range(5):
        spread = Counter(kinds[index] for index in range(60) if of[index] == fold)
        assert max(spread[f"size{bin_}"] for bin_ in (1, 2, 3)) <= 6
    assert of == part(cases, kinds, settings, Path())
    assert of != part(cases, kinds, settings.model_copy(update={"seed": 5}), Path())
    for fold in make_folds(cases, kinds, of, settings, 0.25):
        members = [{cases[index].group for index in part_} for part_ in (fold.learn, fold.watch, fold.predict)]
        assert len(set.union(*members)) == sum(len(names) for names in members)
        assert sum(map(len, members)) == 30
        assert 8 <= len(fold.watch) <= 16


def test_one_group_alone_cannot_be_parted():
    cases = [annotated(number, "g") for number in range(4)]
    with pytest.raises(InputError, match="empty split: 1 groups for 2 folds"):
        part(cases, ["all"] * 4, FoldSettings(count=2), Path())
    with pytest.raises(InputError, match="empty split: one group alone"):
        part(cases, ["all"] * 4, FoldSettings(count=1), Path())


def test_rows_of_classes_of_the_same_name_are_taken_over():
    old, new = ("background", "lung", "lesion"), ("background", "lesion")
    source, _ = initialised({**UNET, "in_channels": 1, "out_channels": 3}, 1, weights=None, old=None, new=old)
    definition = {**UNET, "in_channels": 1, "out_channels": 2}
    network, head = initialised(definition, 2, weights=source.state_dict(), old=old, new=new)
    assert head.replaced
    assert head.kept == new
    axes = axes_of(definition, "out_channels")
    assert set(head.tensors) == set(axes)
    for name, value in network.state_dict().items():
        expected = source.state_dict()[name]
        for axis in axes.get(name, ()):
            expected = expected.index_select(axis, torch.tensor([0, 2]))
        assert torch.equal(value, expected), name


def test_a_network_for_more_channels_answers_alike_when_all_show_the_same():
    names = ("background", "lesion")
    one, _ = initialised({**UNET, "in_channels": 1, "out_channels": 2}, 1, weights=None, old=None, new=names)
    definition = {**UNET, "in_channels": 3, "out_channels": 2}
    three, head = initialised(definition, 2, weights=one.state_dict(), old=names, new=names)
    assert not head.replaced
    image = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(three.eval()(image.expand(-1, 3, -1, -1)), one.eval()(image), rtol=1e-4, atol=1e-5)


def test_frozen_parameters_and_their_statistics_stay_until_their_epoch():
    network = build_network({**UNET, "in_channels": 1, "out_channels": 2, "norm": "batch"}, "test")
    learner = make_learner(network, OptimiserSettings(learning_rate=0.1), None, 10)
    freeze = (FreezeSettings(parameters="model.0.*", epochs=1),)
    image, classes = torch.randn(2, 1, 16, 16), torch.randint(2, (2, 16, 16))
    first = {name: value.clone() for name, value in network.state_dict().items()}
    for epoch in (0, 1):
        set_frozen(network, freeze, epoch)
        take_step(learner, make_loss(LossSettings()), image, classes, outputs=(0, 1), amp=False)
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, first[name])}
        inner = {name for name in changed if name.startswith("model.0.")}
        assert bool(inner) == bool(epoch)
        assert any(name.startswith("model.2.") for name in changed)
    settle_modes(network)
    assert network.training


def test_a_class_has_the_probability_of_its_outputs_together():
    logits = torch.randn(2, 4, 5, 5)
    found = as_classes(logits, (0, 0, 1, 1)).softmax(dim=1)
    alone = logits.softmax(dim=1)
    torch.testing.assert_close(found[:, 0], alone[:, 0] + alone[:, 1])
    torch.testing.assert_close(found[:, 1], alone[:, 2] + alone[:, 3])
    assert as_classes(logits, (0, 1, 2, 3)) is logits


@pytest.mark.parametrize("kind", ["dice_ce", "dice_focal"])
def test_the_loss_falls_as_the_answer_turns_right(kind):
    loss = make_loss(LossSettings(kind=kind, class_weights=(1.0, 2.0)))
    classes = torch.zeros(1, 8, 8, dtype=torch.int64)
    classes[:, 2:6, 2:6] = 1
    target = torch.nn.functional.one_hot(classes, 2).movedim(-1, 1).float()
    values = [float(loss(scale * (target - 0.5), target)) for scale in (-4.0, 0.0, 4.0, 40.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.05


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_the_learning_rate_warms_up_and_comes_down(schedule):
    settings = OptimiserSettings(learning_rate=0.1, schedule=schedule, warm_up=0.2)
    learner = make_learner(torch.nn.Linear(1, 1), settings, 0.9, 50)
    rates = []
    for _ in range(50):
        rates.append(learner.schedule.get_last_lr()[0])
        learner.optimiser.step()
        learner.schedule.step()
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(0.1, rel=0.01)
    assert 8 <= int(np.argmax(rates)) <= 11
    assert rates[-1] == (0.1 if schedule == "constant" else pytest.approx(0.0, abs=1e-3))


def test_an_average_over_constant_weights_is_these_weights():
    network = torch.nn.Linear(2, 2)
    learner = make_learner(network, OptimiserSettings(learning_rate=1e-12), 0.9, 5)
    for _ in range(5):
        learner.average.update_parameters(network)
    torch.testing.assert_close(learner.average.module.weight, network.weight)


def test_random_changes_move_image_and_classes_together_and_repeat():
    labels = torch.zeros(16, 16, 16, dtype=torch.int64)
    labels[4:9, 5:10, 6:11] = 1
    image = labels[None].float() * 1.6 - 0.8
    quiet = GenericAugmentation(
        affine=1.0, noise_chance=0, blur_chance=0, contrast_chance=0, gamma_chance=0, bias_chance=0
    )
    for seed in range(5):
        changed, moved = augment(image, labels, quiet, np.random.default_rng(seed))
        found = changed[0] > 0
        overlap = 2 * (found & (moved == 1)).sum() / (found.sum() + (moved == 1).sum())
        assert overlap > 0.9
        assert changed.min() >= -1
    loud = GenericAugmentation(bias_chance=1.0, noise_chance=1.0)
    first, second, other = (augment(image, labels, loud, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.shape == image.shape


def test_patches_centred_on_a_class_show_it_and_batches_depend_on_seed_and_step_alone(tmp_path, boxes):
    design = design_of(VOLUME, tmp_path, boxes)
    cases = cases_of(design, boxes)
    for seed in range(10):
        image, labels = crop(cases[0], (8, 8, 8), 1.0, np.random.default_rng(seed))
        assert labels.any()
        assert image.shape == (1, 8, 8, 8)
        assert (image[0][labels == 1] > 0).all()
    whole = dict(batches(design, list(cases), (3, 0), 0, 4))
    rest = dict(batches(design, list(cases), (3, 0), 2, 4))
    assert sorted(rest) == [2, 3]
    assert all(torch.equal(rest[step][0], whole[step][0]) for step in rest)
    assert not torch.equal(whole[0][0], whole[1][0])


def test_a_network_predicts_what_its_bundle_would(tmp_path, discs):
    text = PLANAR.replace("network: {_target_: UNet, spatial_dims: 2, channels: [4, 8], strides: [2]}\n", "")
    text = text.replace(
        "preparation: {planar_size: 32, grey_levels: stretch}",
        "start: {bundle: chest_xray}\noutputs: {background: [background], disc: [lung, opacity]}",
    )
    design = design_of(text, tmp_path, discs)
    segmenter = load_bundle(MODELS / "chest_xray", "cpu")
    case = cases_of(design, discs)[0]
    expected = segmenter(read_volume(discs.root / "image0.png", Units.INTENSITY)).labels
    np.testing.assert_array_equal(predict_case(segmenter.loaded, case, design.classes).array, expected.array > 0)


class Bright(torch.nn.Module):
    """Calls what lies above the middle of the range class 1."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(image), 20 * image], dim=1)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_an_oblique_scan_is_answered_on_its_own_grid(tmp_path, boxes, axes):
    design = design_of(VOLUME, tmp_path, boxes)
    image, labels = box(3)
    turn, _ = np.linalg.qr(np.eye(3)[:, list(axes)] + 0.1 * np.array([[0, 1, 0], [-1, 0, 1], [0, -1, 0]]))
    affine = affine_from((2.0, 2.0, 2.0), (5.0, -7.0, 3.0), turn)
    places = {name: tmp_path / name for name in ("image.nii.gz", "mask.nii.gz")}
    write_volume(places["image.nii.gz"], Volume(image[:14, :, :12], affine, Units.SUV))
    write_volume(places["mask.nii.gz"], Volume(labels[:14, :, :12], affine, Units.LABEL))
    case = AnnotatedCase("a", "p", "p", ("image.nii.gz",), (CaseMask("mask.nii.gz", {1: 1}),))
    prepared = prepare_case(case, places, design.preparation)
    assert isinstance(prepared, PreparedCase)
    network = LoadedNetwork(Bright(), design.preparation.spec, torch.device("cpu"))
    found = predict_case(network, prepared, design.classes)
    np.testing.assert_array_equal(found.array, labels[:14, :, :12])
    (row,) = measure_case(found, prepared.reference, design.classes)
    assert row["dice"] == 1.0
    assert row["predicted_size"] == pytest.approx(labels[:14, :, :12].sum() * 0.008)


def test_a_case_without_any_lesion_is_drawn_from_and_measured(tmp_path, boxes):
    empty = np.zeros((16, 16, 16), np.uint8)
    write_volume(boxes.root / "mask0.nii.gz", Volume(empty, affine_from((2.0, 2.0, 2.0)), Units.LABEL))
    design = design_of(VOLUME, tmp_path, boxes)
    case = cases_of(design, boxes)[0]
    image, labels = crop(case, (8, 8, 8), 1.0, np.random.default_rng(0))
    assert not labels.any()
    assert image.shape == (1, 8, 8, 8)
    rows = list(measure_case(case.reference, case.reference, design.classes))
    assert rows[0]["dice"] == 1.0
    assert rows[0]["reference_size"] == 0.0


def test_cases_that_are_not_kept_in_memory_are_the_same(tmp_path, discs):
    design = design_of(PLANAR, tmp_path, discs)
    kept, read = (CaseSet(discs.snapshot.cases, lambda p: discs.root / p, design.preparation, c) for c in (1.0, 0.0))
    assert len(kept) == 8
    assert kept[3] is kept[3]
    assert read[3] is not read[3]
    assert torch.equal(kept[3].seen, read[3].seen)
    np.testing.assert_array_equal(kept[3].reference.array[..., 0].T, disc(3)[1])


def test_the_mean_over_groups_has_an_interval_that_grows_when_cases_are_alike():
    rng = np.random.default_rng(0)
    group_means = rng.normal(0.7, 0.1, 20)
    values = np.repeat(group_means, 5)
    alone = clustered_mean(values, np.arange(100))
    together = clustered_mean(values, np.repeat(np.arange(20), 5))
    assert alone.value == together.value == pytest.approx(values.mean())
    width = [found.upper - found.lower for found in (alone, together)]
    assert width[1] / width[0] == pytest.approx(np.sqrt(5), rel=0.15)
    assert together.upper - together.lower == pytest.approx(2 * 1.96 * group_means.std() / np.sqrt(20), rel=0.15)
    assert clustered_mean(values[:4], np.arange(4)).lower is None


def test_the_summary_takes_seeds_together_before_it_compares_case_by_case():
    rows = [
        {"variant": variant, "seed": seed, "case_id": f"c{case}", "group": f"g{case}", "label": "a", "dice": dice}
        for variant, gain in (("new", 0.1), ("base", 0.0))
        for seed in (1, 2)
        for case in range(6)
        for dice in [0.5 + 0.01 * case + gain + (0.02 if seed == 1 else -0.02)]
    ]
    found = summary_table(pd.DataFrame(rows)).set_index("variant")
    assert found.loc["base", "mean_dice"] == pytest.approx(0.525)
    assert found.loc["new", "difference"] == pytest.approx(0.1)
    assert found.loc["new", "difference_lower"] == pytest.approx(0.1)
    assert found.loc["new", "seeds"] == 2
    assert found.loc["new", "cases"] == 6


def test_a_step_is_rehearsed_and_too_little_memory_is_told(tmp_path, discs):
    device = torch.device("cpu")
    design = design_of(PLANAR, tmp_path, discs)
    assert rehearse(design, device).seconds > 0
    with pytest.raises(UsageError, match=r"100000 × 100000: needs more memory than the .* GiB that are free"):
        rehearse(replace(design, patch=(100_000, 100_000)), device)


def test_a_patch_that_the_network_cannot_halve_is_told(tmp_path, boxes):
    design = replace(design_of(VOLUME, tmp_path, boxes), patch=(7, 7, 7))
    with pytest.raises(UsageError, match="7 × 7 × 7: the network refuses it"):
        rehearse(design, torch.device("cpu"))
