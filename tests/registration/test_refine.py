"""The last linear steps, on the scans themselves: known turns and stretches are found to a quarter of a voxel."""

from dataclasses import replace

import numpy as np
import pytest

from trialscan.errors import RegistrationError
from trialscan.imaging import Units
from trialscan.registration import Alignment, register
from trialscan.registration.ladder import identity
from trialscan.registration.refine import refine, stretched
from trialscan.registration.scene import Scene, build_scene
from trialscan.registration.sides import MaskedScan
from trialscan.study.sections import RegistrationSettings

from .conftest import Pair, make_pair, turned

RIGID = RegistrationSettings(spacing_mm=4.0, method="rigid", max_stretch_percent=2.0)


def as_mr(pair: Pair) -> Pair:
    """The same pictures without a unit, as MR has them, the follow-up 1.7 times as bright."""
    fixed, moving = (
        replace(volume.with_array((volume.array.astype(np.float32) + 1100) * gain), units=Units.INTENSITY)
        for volume, gain in ((pair.fixed, 1.0), (pair.moving, 1.7))
    )
    return replace(pair, fixed=fixed, moving=moving)


@pytest.fixture(scope="module")
def larger() -> Pair:
    """Scanners whose millimetres differ by 1 % along one axis, and a small turn and shift."""
    return as_mr(make_pair(turned(2.0, (1.0, 1.0, 1.01), (2.0, -1.0, 1.5))))


def align(pair: Pair, settings: RegistrationSettings = RIGID) -> Alignment:
    return register(
        pair.fixed, pair.moving, fixed_mask=pair.fixed_mask, moving_mask=pair.moving_mask, settings=settings
    )


def scene_of(pair: Pair) -> Scene:
    return build_scene(MaskedScan(pair.fixed, pair.fixed_mask), MaskedScan(pair.moving, pair.moving_mask), 4.0)


def test_a_scanner_that_stretches_is_followed_and_the_rung_says_so(larger):
    found = align(larger)
    assert (found.status, found.rung) == ("pass", "stretch")
    assert [rung.name for rung in found.rungs] == ["start", "rigid", "stretch"]
    assert larger.error(found.to_followup(larger.points)).max() < 1.0  # a quarter of a voxel


def test_without_leave_a_rigid_alignment_stays_rigid(larger):
    found = align(larger, RIGID.model_copy(update={"max_stretch_percent": 0.0}))
    assert found.rung == "rigid"
    assert found.quality["jacobian_mean"] == pytest.approx(1.0, abs=1e-9)


def test_a_head_already_in_place_is_left_there(rigid_pair):
    still = as_mr(replace(rigid_pair, moving=rigid_pair.fixed, moving_mask=rigid_pair.fixed_mask))
    found = align(still)
    assert (found.status, found.rung) == ("pass", "rigid")
    assert "unexplained variance" in found.rungs[-1].reason
    assert np.abs(found.to_followup(still.points) - still.points).max() < 0.1


def test_more_than_a_scanner_can_do_is_refused():
    scene = scene_of(as_mr(make_pair(turned(0.0, (1.0, 1.04, 1.0), (0.0, 0.0, 0.0)))))
    with pytest.raises(RegistrationError, match=r"stretch of \d\.\d %; expected at most 2 %"):
        stretched(scene, identity(scene), 2.0)


def test_what_lies_in_lesions_and_outside_the_followup_does_not_count(larger):
    changed = larger.moving.array.copy()
    changed[20:26, 16:22, 20:26] = changed.max()
    lesions = np.zeros(changed.shape, np.uint8)
    lesions[20:26, 16:22, 20:26] = 1
    fixed = MaskedScan(larger.fixed, larger.fixed_mask)
    moving = replace(larger.moving, array=changed)
    scene = build_scene(fixed, MaskedScan(moving, larger.moving_mask, larger.moving_mask.with_array(lesions)), 4.0)
    found = refine(scene, identity(scene), stretching=True)
    assert larger.error(larger.points @ found.matrix.T + found.offset).max() < 1.2


def test_scans_without_a_common_place_are_refused(larger):
    scene = scene_of(larger)
    away = replace(identity(scene), offset=np.array([4000.0, 0.0, 0.0]))
    with pytest.raises(RegistrationError, match="0 points in both scans"):
        refine(scene, away, stretching=False)
