"""A rung is kept only when it is no worse; a failing engine hands over to the next."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual

from trialscan.errors import RegistrationError
from trialscan.registration.candidate import Candidate, settle
from trialscan.registration.engines import SimpleItkEngine
from trialscan.registration.ladder import climb, identity, rungs_for
from trialscan.registration.scene import Scene, build_scene
from trialscan.registration.sides import MaskedScan
from trialscan.study.sections import RegistrationSettings


class Broken:
    name = "broken"
    rungs = ("rigid",)

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:  # noqa: ARG002 - the contract
        raise RegistrationError(rung, "the engine stopped", "a result")


class Fixed:
    name = "fixed"
    rungs = ("rigid", "affine", "deformable")

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate

    def propose(self, scene: Scene, rung: str, best: Candidate) -> Candidate:  # noqa: ARG002 - the contract
        return self.candidate


@pytest.fixture(scope="module")
def scene(rigid_pair) -> Scene:
    p = rigid_pair
    return build_scene(MaskedScan(p.fixed, p.fixed_mask), MaskedScan(p.moving, p.moving_mask), 4.0)


def test_a_failed_engine_hands_over_and_is_recorded(scene):
    top = climb(scene, ["rigid"], [Broken(), SimpleItkEngine(["rigid"], 0.0)], 0.5)
    assert [(r.name, r.engine, r.kept) for r in top.rungs[1:]] == [
        ("rigid", "broken", False),
        ("rigid", "simpleitk", True),
    ]
    assert "the engine stopped" in top.rungs[1].reason
    assert (top.rung, top.engine) == ("rigid", "simpleitk")


def test_a_worse_rung_is_dropped_with_its_numbers(scene):
    away = Candidate(np.eye(3), np.array([60.0, 0.0, 0.0]))
    top = climb(scene, ["rigid"], [Fixed(away)], 0.5)
    assert top.rung == "start"
    assert not top.rungs[-1].kept
    assert "falls from" in top.rungs[-1].reason
    assert top.rungs[-1].numbers["organ_dice"] < top.scores.organ_dice


def test_a_folding_field_is_dropped(scene):
    shape = scene.fixed.GetSize()[::-1]
    field = np.zeros((*shape, 3))
    field[..., 0] = 12.0 * np.sin(np.arange(shape[2]) * 1.5)
    image = sitk.GetImageFromArray(field, isVector=True)
    image.CopyInformation(scene.fixed)
    start = climb(scene, [], [], 0.5).best
    top = climb(scene, ["deformable"], [Fixed(Candidate(start.matrix, start.offset, settle(image, scene)))], 0.5)
    assert top.rung == "start"
    assert "of the organ folds" in top.rungs[-1].reason


@pytest.mark.parametrize("matrix", [np.diag([-1.0, 1.0, 1.0]), np.eye(3) * 3.0])
def test_a_mirroring_or_absurd_scale_is_dropped(scene, matrix):
    top = climb(scene, ["affine"], [Fixed(Candidate(matrix, np.zeros(3)))], 0.5)
    assert "size by a factor" in top.rungs[-1].reason


def test_rungs_follow_the_method(scene):
    assert rungs_for(RegistrationSettings(method="rigid"), scene) == ("rigid",)
    assert rungs_for(RegistrationSettings(method="rigid", max_stretch_percent=1.0), scene) == ("rigid", "stretch")
    assert rungs_for(RegistrationSettings(method="deformable", max_stretch_percent=1.0), scene) == (
        "rigid",
        "affine",
        "deformable",
    )


def test_scans_already_in_place_stay_there(rigid_pair):
    p = rigid_pair
    still = build_scene(MaskedScan(p.fixed, p.fixed_mask), MaskedScan(p.fixed, p.fixed_mask), 4.0)
    top = climb(still, ["rigid", "affine"], [SimpleItkEngine(["rigid", "affine"], 0.0)], 0.5)
    assert np.allclose(top.best.matrix, identity(still).matrix, atol=2e-3)
    assert top.scores.organ_dice > 0.99
