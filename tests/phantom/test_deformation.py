import json

import numpy as np
import pytest

from trialscan.errors import UsageError
from trialscan.phantom import Deformation

STRONG = Deformation(1.0, rotation_deg=(4.0, -3.0, 5.0), shift_mm=(10.0, -6.0, 8.0))
CASES = [Deformation(), Deformation(-0.8), Deformation(0.9), STRONG]


def points(count=400):
    return np.random.default_rng(1).uniform((-150, -110, -180), (150, 110, 140), (count, 3))


@pytest.mark.parametrize("deformation", CASES)
def test_round_trip_returns_to_the_start(deformation):
    there = deformation.to_scan(points())
    assert np.abs(deformation.to_reference(there) - points()).max() < 1e-6
    back = deformation.to_reference(points())
    assert np.abs(deformation.to_scan(back) - points()).max() < 1e-6


def test_no_breathing_and_no_posture_is_the_identity():
    assert np.allclose(Deformation().to_scan(points()), points(), atol=1e-9)


def test_inspiration_lowers_the_diaphragm_by_the_stated_amount():
    deformation = Deformation(1.0, diaphragm_mm=20.0)
    under = np.array([[0.0, -10.0, -160.0]])
    fall = 160 + deformation.to_scan(under)[0, 2]
    assert fall == pytest.approx(-20.0, abs=0.6)


def test_posture_alone_keeps_distances():
    rigid = Deformation(rotation_deg=(5.0, 2.0, -4.0), shift_mm=(1.0, 2.0, 3.0))
    moved = rigid.to_scan(points())
    assert np.allclose(
        np.linalg.norm(np.diff(moved, axis=0), axis=1), np.linalg.norm(np.diff(points(), axis=0), axis=1)
    )


@pytest.mark.parametrize("deformation", CASES)
def test_space_is_never_folded(deformation):
    h, here = 1e-3, points(200)
    columns = [
        (deformation.to_scan(here + step) - deformation.to_scan(here - step)) / (2 * h) for step in h * np.eye(3)
    ]
    assert np.linalg.det(np.stack(columns, axis=2)).min() > 0.4


def test_parameters_survive_json():
    stored = json.loads(json.dumps(dict(STRONG.parameters())))
    stored = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    assert Deformation(**stored) == STRONG


def test_breathing_that_folds_is_refused():
    with pytest.raises(UsageError):
        Deformation(1.5, diaphragm_mm=80.0)
