"""A lesion that only one scan has must not pull at the organ around it."""

from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray

from trialscan.errors import RegistrationError
from trialscan.imaging import Volume, affine_from
from trialscan.registration import Alignment, register
from trialscan.registration.bridging import bridged
from trialscan.registration.neutral import without_lesions
from trialscan.registration.scene import build_scene
from trialscan.registration.sides import MaskedScan
from trialscan.study.sections import RegistrationSettings

from .conftest import SPACING, Pair, make_pair

CENTER_MM = np.array([12.0, -4.0, 8.0])
RADIUS_MM = 22.0
LESION_HU = -50
NEAR_MM = 10.0


@dataclass(frozen=True)
class Case:
    """A pair, its lesion masks, and baseline points inside and around the lesion."""

    pair: Pair
    fixed_lesions: Volume | None
    moving_lesions: Volume | None
    inside: NDArray[np.float64]
    around: NDArray[np.float64]

    def align(self, engine: str, *, neutral: bool) -> Alignment:
        return register(
            self.pair.fixed,
            self.pair.moving,
            fixed_mask=self.pair.fixed_mask,
            moving_mask=self.pair.moving_mask,
            fixed_lesions=self.fixed_lesions if neutral else None,
            moving_lesions=self.moving_lesions if neutral else None,
            settings=RegistrationSettings.model_validate({"spacing_mm": 4.0, "engine": engine}),
        )

    def error(self, found: Alignment, points: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(found.to_followup(points) - self.pair.truth(points), axis=1).mean())


def ball(scan: Volume, to_reference, organ: Volume) -> NDArray[np.bool_]:
    places = to_reference(scan.to_world(np.argwhere(np.ones(scan.shape)).astype(np.float64)))
    near = np.linalg.norm(places - CENTER_MM, axis=1).reshape(scan.shape) < RADIUS_MM
    return near & (organ.array > 0)


def with_lesion(scan: Volume, where: NDArray[np.bool_]) -> Volume:
    return scan.with_array(np.where(where, np.int16(LESION_HU), scan.array))


def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A deformation smooth enough that the organ around a lesion tells what happens within."""
    x, y, z = points.T
    return points + 7.0 * np.stack([np.sin(y / 30), np.cos(z / 34), np.sin(x / 32)], axis=1)


def forward(points: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = points.copy()
    for _ in range(60):
        moved += points - back(moved)
    return moved


@pytest.fixture(scope="module")
def smooth_pair() -> Pair:
    return make_pair((forward, back))


@pytest.fixture(scope="module", params=["follow-up", "baseline"])
def case(request, smooth_pair) -> Case:
    """The lesion lies in reference (baseline) coordinates and is seen by one scan alone."""
    points = smooth_pair.points
    distance = np.linalg.norm(points - CENTER_MM, axis=1)
    inside, around = points[distance < RADIUS_MM], points[(distance > RADIUS_MM) & (distance < RADIUS_MM + NEAR_MM)]
    p = smooth_pair
    if request.param == "baseline":
        mask = ball(p.fixed, lambda x: x, p.fixed_mask)
        pair = Pair(with_lesion(p.fixed, mask), p.moving, p.fixed_mask, p.moving_mask, p.truth)
        return Case(pair, p.fixed_mask.with_array(mask.astype(np.uint8)), None, inside, around)

    mask = ball(p.moving, back, p.moving_mask)
    pair = Pair(p.fixed, with_lesion(p.moving, mask), p.fixed_mask, p.moving_mask, p.truth)
    return Case(pair, None, p.moving_mask.with_array(mask.astype(np.uint8)), inside, around)


@pytest.mark.parametrize(("engine", "gain"), [("simpleitk", 1.5), ("torch", 0.9)])
def test_a_lesion_of_one_scan_leaves_the_organ_where_it_is(case, engine, gain):
    """Differences of intensity would pull; local correlation sees a flat lesion at its rim alone."""
    pulled, neutral = (case.align(engine, neutral=choice) for choice in (False, True))
    assert neutral.status == "pass"
    assert case.error(neutral, case.inside) < 2.4  # 0.6 voxels
    assert case.error(neutral, case.around) < 2.4
    assert case.error(pulled, case.inside) > gain * case.error(neutral, case.inside)
    assert neutral.quality["folding_percent"] == 0.0


def test_ants_is_led_over_them_too(case):
    found = case.align("ants", neutral=True)
    assert (found.status, found.engine) == ("pass", "ants")
    assert case.error(found, case.inside) < 2.4


def test_lesions_of_both_scans_do_not_count_in_the_quality(case):
    pulled, neutral = (case.align("simpleitk", neutral=choice) for choice in (False, True))
    assert neutral.quality["local_correlation_after"] > pulled.quality["local_correlation_after"]


def test_the_working_pictures_show_sound_organ_in_place_of_lesions(case):
    p = case.pair
    scans = (
        MaskedScan(p.fixed, p.fixed_mask, case.fixed_lesions),
        MaskedScan(p.moving, p.moving_mask, case.moving_lesions),
    )
    scene = build_scene(*scans, 4.0)
    lesions, image = (scene.fixed_lesions, scene.fixed) if scene.fixed_lesions else (scene.moving_lesions, scene.moving)
    values = sitk.GetArrayFromImage(image)[sitk.GetArrayFromImage(lesions) == 1]
    drawn = 1000 * (LESION_HU + 1024) / (1024 - 200)
    assert len(values) > 300
    assert values.max() < 500 < drawn


def test_a_fill_is_the_mean_of_the_sound_organ_around():
    array = np.full((30, 30, 30), 200.0, np.float32)
    array[:15] = 400.0
    lesions = np.zeros(array.shape, bool)
    lesions[13:17, 13:17, 13:17] = True
    array[lesions] = 1000.0
    filled = without_lesions(array, np.ones(array.shape, bool), lesions, np.asarray(SPACING))
    assert np.array_equal(filled[~lesions], array[~lesions])
    assert filled[lesions].min() >= 200.0
    assert filled[lesions].max() <= 400.0
    assert filled[13, 14, 14] > 300.0 > filled[16, 14, 14]


def test_a_bridged_field_is_that_of_the_surroundings():
    i, j, k = np.indices((24, 24, 24)).astype(np.float64)
    truth = np.stack([0.2 * i, 0.1 * j - 0.1 * k, np.ones_like(i)], axis=-1)
    lesions = np.zeros(i.shape, bool)
    lesions[9:15, 9:15, 9:15] = True
    spoiled = truth.copy()
    spoiled[lesions] += 8.0
    bridge = bridged(spoiled, lesions, np.full(3, 3.0))
    far = np.abs(np.stack([i, j, k]) - 11.5).max(axis=0) > 6
    assert np.array_equal(bridge[far], truth[far])
    assert np.abs(bridge - truth)[lesions].max() < 0.5
    assert np.array_equal(bridged(truth, np.zeros_like(lesions), np.full(3, 3.0)), truth)


def test_a_fill_reaches_the_middle_of_a_large_lesion_and_needs_some_sound_organ():
    array = np.zeros((40, 40, 40), np.float32)
    lesions = np.zeros(array.shape, bool)
    lesions[4:36, 4:36, 4:36] = True
    array[lesions] = 9.0
    spacing = np.full(3, 8.0)
    assert without_lesions(array, np.ones(array.shape, bool), lesions, spacing).max() == 0.0
    everywhere = np.ones(array.shape, bool)
    assert np.array_equal(without_lesions(array, everywhere, everywhere, spacing), array)


def test_empty_lesion_masks_change_nothing(bent_pair, bent_alignment):
    p = bent_pair
    none = p.fixed_mask.with_array(np.zeros_like(p.fixed_mask.array))
    found = Case(p, none, p.moving_mask.with_array(np.zeros_like(p.moving_mask.array)), p.points, p.points).align(
        "simpleitk", neutral=True
    )
    assert np.array_equal(found.to_followup(p.points), bent_alignment.to_followup(p.points))


def test_an_organ_that_is_all_lesion_ends_in_a_status(bent_pair):
    p = bent_pair
    found = Case(p, p.fixed_mask, p.moving_mask, p.points, p.points).align("simpleitk", neutral=True)
    assert found.status in {"pass", "review", "fail"}
    assert np.isfinite(found.to_followup(p.points)).all()


def test_a_lesion_mask_on_another_grid_is_refused(case):
    p = case.pair
    stray = Volume(p.fixed_mask.array, affine_from(SPACING), p.fixed_mask.units)
    with pytest.raises(RegistrationError, match="lesion mask of the baseline"):
        Case(p, stray, None, case.inside, case.around).align("simpleitk", neutral=True)
