"""The way back to the scan's grid, beside interpolation of the whole."""

import numpy as np
import pytest
import torch

from trialscan.imaging import Reorientation
from trialscan.segmentation.cleaning import most_probable
from trialscan.segmentation.native import to_native_grid
from trialscan.segmentation.resampling import resample_image

TURNS = [None, Reorientation((0, 1, 2), (True, True, False)), Reorientation((2, 0, 1), (False, True, True))]


def probabilities(seed: int = 0) -> torch.Tensor:
    """Background but for a box in the middle, in which any class may win."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (4, 14, 12, 10)).astype(np.float32))
    away = torch.ones(14, 12, 10, dtype=torch.bool)
    away[4:9, 3:7, 5:8] = False
    logits[0, away] += 30
    return logits.softmax(0)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("shape", [(28, 30, 31), (9, 8, 7), (14, 5, 40)])
def test_only_the_box_around_the_foreground_is_worked_and_nothing_is_lost(turn, shape):
    model = probabilities()
    lesion = model[2:].sum(0)
    source = shape if turn is None else tuple(np.array(shape)[np.argsort(turn.source_axes)].tolist())
    found = to_native_grid(model, lesion, turn, source)
    native = resample_image(model, shape)
    percent = (100 * resample_image(lesion[None], shape)[0]).round().numpy()
    best, label = native.max(0)
    seen = [array if turn is None else turn.view(array) for array in (found.labels, found.percent)]
    assert found.labels.shape == source
    assert (seen[0] == label.numpy()).mean() > 0.9999
    assert np.abs(seen[1] - percent).max() <= 1
    assert (seen[1] == percent).mean() > 0.99
    for number, mean in found.probability.items():
        assert mean == pytest.approx(float(best[label == number].mean()), rel=1e-4)
    assert set(found.probability) == set(np.unique(found.labels)) - {0}
    assert found.sure == (found.percent >= 90).sum()
    assert found.possible == (found.percent >= 10).sum()


def test_nothing_but_background_is_no_work():
    model = torch.zeros(3, 6, 6, 6)
    model[0] = 1.0
    found = to_native_grid(model, None, None, (12, 11, 10))
    assert not found.labels.any()
    assert found.percent is None
    assert found.probability == {}


def test_the_most_probable_class_is_the_first_of_equal_ones():
    tied = torch.tensor([[0.25, 0.1, 0.2], [0.25, 0.4, 0.2], [0.5, 0.4, 0.6]])
    label, best = most_probable(tied)
    assert label.tolist() == tied.argmax(0).tolist() == [2, 1, 2]
    assert best.tolist() == pytest.approx([0.5, 0.4, 0.6])
