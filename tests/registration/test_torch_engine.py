"""The torch engine: as good a fit, the same bits on any number of threads, no folding, and a stand-in when it fails."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from trialscan.errors import UsageError
from trialscan.registration import Alignment, register, torch_engine
from trialscan.registration.tensors import (
    affine_positions,
    box_mean,
    gaussian,
    gradient,
    grid_positions,
    lengths,
    sample,
)
from trialscan.study.sections import RegistrationSettings

from .conftest import Pair

SETTINGS = RegistrationSettings(engine="torch", spacing_mm=4.0)


def align(pair: Pair, device: str = "cpu") -> Alignment:
    masks = {"fixed_mask": pair.fixed_mask, "moving_mask": pair.moving_mask}
    return register(pair.fixed, pair.moving, **masks, settings=SETTINGS, device=device)


@pytest.fixture(scope="module")
def found(bent_pair) -> Alignment:
    return align(bent_pair)


def test_a_deformation_is_followed(bent_pair, found):
    assert (found.status, found.rung, found.engine) == ("pass", "deformable", "torch")
    assert [(rung.name, rung.engine) for rung in found.rungs] == [
        ("start", "none"),
        ("rigid", "simpleitk"),
        ("affine", "simpleitk"),
        ("deformable", "torch"),
    ]
    error = bent_pair.error(found.to_followup(bent_pair.points))
    assert error.mean() < 2.4  # 0.6 voxels; the best affine map leaves 3.5 mm
    assert np.median(error) < 2.0


def test_its_field_neither_folds_nor_loses_its_way_back(found):
    assert found.quality["folding_percent"] == 0.0
    assert found.quality["jacobian_min"] > 0.2
    assert found.quality["inverse_error_mm_p95"] < 0.2


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_bit(bent_pair, found, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        again = align(bent_pair)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(again.to_followup(bent_pair.points), found.to_followup(bent_pair.points))
    assert again.quality == found.quality


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_agrees_with_the_cpu_and_with_itself(bent_pair, found):
    first, second = (align(bent_pair, "cuda").to_followup(bent_pair.points) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.linalg.norm(first - found.to_followup(bent_pair.points), axis=1).max() < 0.5


def test_a_device_that_is_not_there_is_refused(bent_pair):
    with pytest.raises(UsageError, match="cuda:7"):
        align(bent_pair, "cuda:7")


def test_simpleitk_stands_in_when_memory_is_short(bent_pair, monkeypatch):
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch_engine, "register_torch", exhausted)
    stood_in = align(bent_pair)
    assert (stood_in.rung, stood_in.engine) == ("deformable", "simpleitk")
    assert "out of memory" in stood_in.rungs[-2].reason


def test_planar_images_are_simpleitks(planar_pair):
    assert align(planar_pair).engine == "simpleitk"


def test_filters_are_those_of_scipy():
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 12, 9, 14)).astype(np.float32))
    expected = [ndimage.gaussian_filter(part, 1.5, mode="nearest", truncate=10 / 3) for part in x.numpy().astype(float)]
    assert np.abs(gaussian(x, 1.5).numpy() - expected).max() < 1e-5
    expected = [ndimage.uniform_filter(part, 5, mode="nearest") for part in x.numpy().astype(float)]
    assert np.abs(box_mean(x, 2).numpy() - expected).max() < 1e-5


def test_gradient_and_sampling_are_exact_on_a_plane():
    places = grid_positions((6, 7, 8), torch.device("cpu"))
    plane = 2 * places[0] - 3 * places[1] + 0.5 * places[2] + 1
    slope = gradient(plane)[:, 1:-1, 1:-1, 1:-1]
    assert torch.allclose(slope, torch.tensor([2.0, -3.0, 0.5]).reshape(3, 1, 1, 1).expand_as(slope))
    shifted = affine_positions(places, torch.eye(3) * 0.5, torch.tensor([1.0, 0.25, 0.5]))
    value = sample(plane[None], shifted, beyond="border")[0]
    assert torch.allclose(value, 2 * shifted[0] - 3 * shifted[1] + 0.5 * shifted[2] + 1, atol=1e-4)
    assert torch.allclose(lengths(slope), torch.tensor((4 + 9 + 0.25) ** 0.5))


def test_a_single_slice_has_no_slope_across_it():
    picture = torch.arange(12, dtype=torch.float32).reshape(1, 3, 4)
    assert (gradient(picture)[2] == 0).all()
    assert torch.equal(
        sample(picture[None], grid_positions((1, 3, 4), torch.device("cpu")), beyond="border")[0], picture
    )
