import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trialscan.imaging import Units, Volume, affine_from
from trialscan.lesions.components import find_components, minimum_voxels, unsure_voxels
from trialscan.study.sections import LesionSettings


def grid(spacing, shape=(10, 10, 10), known=True):
    return Volume(np.zeros(shape, np.uint8), affine_from(spacing), Units.LABEL, known)


@pytest.mark.parametrize(
    ("spacing", "minimum_ml", "expected"),
    [
        ((1, 1, 1), 0.1, 100),
        ((0.1, 0.1, 0.1), 0.1, 100_000),
        ((2.5, 2.5, 2.5), 0.1, 7),
        ((0.7, 0.7, 5.0), 0.1, 41),
        ((1, 1, 1), 0.0, 1),
        ((10, 10, 10), 0.1, 1),
    ],
)
def test_minimum_in_voxels_is_the_fewest_that_reach_the_millilitres(spacing, minimum_ml, expected):
    assert minimum_voxels(grid(spacing), LesionSettings(minimum_ml=minimum_ml)) == expected


@pytest.mark.parametrize("image", [grid((1, 1, 1), (10, 10, 1)), grid((1, 1, 1), known=False)])
def test_without_millilitres_the_minimum_is_in_pixels(image):
    assert minimum_voxels(image, LesionSettings(minimum_pixels=31)) == 31


@pytest.mark.parametrize("neighbour", [(3, 2, 2), (3, 3, 2), (3, 3, 3), (1, 3, 1)])
def test_faces_edges_and_corners_join(neighbour):
    mask = np.zeros((6, 6, 6), bool)
    mask[2, 2, 2] = mask[neighbour] = True
    assert find_components(mask, 1).counts == (2,)


def test_planar_corners_join_and_a_gap_parts():
    mask = np.zeros((6, 6, 1), bool)
    mask[1, 1] = mask[2, 2] = mask[4, 4] = True
    assert find_components(mask, 1).counts == (2, 1)


def test_labels_run_by_size_then_position_and_small_ones_are_counted_as_dropped():
    mask = np.zeros((20, 6, 6), bool)
    mask[1:3, 0, 0] = True
    mask[5:8, 0, 0] = True
    mask[10:13, 0, 0] = True
    mask[16, 0, 0] = True
    found = find_components(mask, 2)
    assert found.counts == (3, 3, 2)
    assert [found.labels[i, 0, 0] for i in (5, 10, 1, 16)] == [1, 2, 3, 0]
    assert (found.dropped_count, found.dropped_voxels) == (1, 1)
    assert found.boxes[0] == (slice(5, 8), slice(0, 1), slice(0, 1))


@pytest.mark.parametrize("mask", [np.zeros((4, 5, 6), bool), np.eye(4, dtype=bool)[:, :, None]])
def test_nothing_kept(mask):
    found = find_components(mask, 10)
    assert found.counts == found.boxes == ()
    assert not found.labels.any()
    assert found.dropped_voxels == mask.sum()


def test_more_lesions_than_a_byte_counts():
    mask = np.zeros((64, 64, 3), bool)
    mask[::2, ::2, 1] = True
    found = find_components(mask, 1)
    assert len(found.counts) == found.labels.max() == 1024


@example_settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(*[st.integers(1, 6)] * 3)), st.integers(1, 5))
def test_every_voxel_is_in_one_lesion_or_dropped(mask, minimum):
    found = find_components(mask, minimum)
    assert np.array_equal(np.bincount(found.labels.ravel())[1:], found.counts)
    assert not found.labels[~mask].any()
    assert sum(found.counts) + found.dropped_voxels == mask.sum()
    assert list(found.counts) == sorted(found.counts, reverse=True)
    assert all(count >= minimum for count in found.counts)
    for number, box in enumerate(found.boxes, start=1):
        assert (found.labels[box] == number).sum() == found.counts[number - 1]


def test_spots_that_nearly_were_outlined_are_told_and_rims_are_not():
    percent, outlined = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), bool)
    outlined[2:5, 2:5, 2:5] = True
    percent[1:6, 1:6, 1:6] = 40  # the rim of what was outlined
    percent[10:13, 10:13, 10:13] = 25
    percent[17:19, 17:19, 17:19] = 49  # too small
    percent[10:15, 2:7, 10:15] = 24  # too unlikely
    found = unsure_voxels(percent, outlined, 27)
    assert sorted(map(tuple, found.tolist())) == [
        (i, j, k) for i in (10, 11, 12) for j in (10, 11, 12) for k in (10, 11, 12)
    ]
    assert len(unsure_voxels(percent, outlined, 28)) == 0
    assert unsure_voxels(np.zeros_like(percent), outlined, 1).shape == (0, 3)
