"""ANTs in its worker: a good fit, the same bytes twice, nothing left behind, and a stand-in when it fails."""

import tempfile

import numpy as np

from trialscan.registration import ants_engine, register
from trialscan.registration.ants_engine import run_worker
from trialscan.registration.ladder import identity
from trialscan.registration.scene import build_scene
from trialscan.registration.sides import MaskedScan
from trialscan.study.sections import RegistrationSettings

SETTINGS = RegistrationSettings(engine="ants", spacing_mm=4.0)


def align(pair):
    return register(
        pair.fixed, pair.moving, fixed_mask=pair.fixed_mask, moving_mask=pair.moving_mask, settings=SETTINGS
    )


def test_ants_follows_a_deformation(bent_pair, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = align(bent_pair)
    assert (found.status, found.rung, found.engine) == ("pass", "deformable", "ants")
    unaligned = bent_pair.error(bent_pair.points).mean()
    assert bent_pair.error(found.to_followup(bent_pair.points)).mean() < 0.75 * unaligned
    assert found.quality["folding_percent"] == 0.0
    assert list(tmp_path.iterdir()) == []


def test_ants_repeats_itself_to_the_bit_whatever_the_environment(rigid_pair, monkeypatch):
    p = rigid_pair
    scene = build_scene(MaskedScan(p.fixed, p.fixed_mask), MaskedScan(p.moving, p.moving_mask), 6.0)
    first = run_worker(scene, ("rigid",), identity(scene))["rigid"]
    monkeypatch.setenv("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "2")
    monkeypatch.setenv("ANTS_RANDOM_SEED", "99")
    second = run_worker(scene, ("rigid",), identity(scene))["rigid"]
    assert np.array_equal(first.matrix, second.matrix)
    assert np.array_equal(first.offset, second.offset)


def test_simpleitk_stands_in_for_a_broken_worker(bent_pair, monkeypatch):
    monkeypatch.setattr(ants_engine, "_WORKER", "trialscan.registration.no_such_worker")
    found = align(bent_pair)
    assert (found.status, found.rung, found.engine) == ("pass", "deformable", "simpleitk")
    failed = [rung for rung in found.rungs if rung.engine == "ants"]
    assert [rung.name for rung in failed] == ["rigid", "affine", "deformable"]
    assert all("no result" in rung.reason for rung in failed)
