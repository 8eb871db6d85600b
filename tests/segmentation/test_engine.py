"""The way to the model's grid and back."""

import numpy as np
import pytest
import torch

from trialscan.imaging import Reorientation, Units, Volume, affine_from
from trialscan.segmentation import load_bundle, segment_scan
from trialscan.segmentation.cleaning import drop_small_pieces, drop_uncertain_lesions
from trialscan.segmentation.engine import LoadedNetwork, infer
from trialscan.segmentation.preparation import equalise, prepare_planar, prepare_volume
from trialscan.segmentation.resampling import axis_weights, resample_image, target_shape


def ramp(shape=(12, 10, 8)) -> torch.Tensor:
    i, j, k = (torch.arange(n, dtype=torch.float32) + 0.5 for n in shape)
    return i[:, None, None] / shape[0] + 2 * j[None, :, None] / shape[1] - k[None, None, :] / shape[2]


@pytest.mark.parametrize("shape", [(24, 20, 16), (6, 5, 4), (9, 13, 8)])
def test_linear_fields_survive_resampling_away_from_the_border(shape):
    moved, exact = resample_image(ramp(), shape), ramp(shape)
    inner = tuple(slice(2, -2) if n > 5 else slice(1, -1) for n in shape)
    torch.testing.assert_close(moved[inner], exact[inner], atol=2e-3, rtol=0)


def test_weights_sum_to_one_and_keep_an_unchanged_axis():
    for source, target in ((10, 7), (7, 10), (5, 1), (1, 5)):
        torch.testing.assert_close(axis_weights(source, target).sum(1), torch.ones(target))
    torch.testing.assert_close(axis_weights(6, 6), torch.eye(6))


def test_coarser_grids_average_what_they_cannot_hold():
    stripes = torch.zeros(16, 4, 4)
    stripes[::2] = 1.0
    assert (resample_image(stripes, (4, 4, 4)) - 0.5).abs().max() < 0.13


def test_target_shape_spans_the_same_box():
    assert target_shape((100, 50, 30), (1.0, 2.0, 5.0), (2.0, 2.0, 2.0)) == (50, 50, 75)
    assert target_shape((1, 1, 1), (0.1, 0.1, 0.1), (2.0, 2.0, 2.0)) == (1, 1, 1)


def test_preparation_clamps_and_takes_nan_as_air(bundles):
    spec = load_bundle(bundles["volume"], "cpu").spec
    array = np.full((8, 8, 8), np.nan, dtype=np.float32)
    array[4:] = 3000
    image = prepare_volume(Volume(array, affine_from((4.0, 4.0, 4.0)), Units.HU), spec, torch.device("cpu"))
    assert image.shape == (1, 1, 8, 8, 8)
    assert image[0, 0, 0, 0, 0] == -1
    assert image[0, 0, -1, 0, 0] == 1


def test_equalisation_ignores_gamma_and_window():
    grey = torch.linspace(0, 1, 256).repeat(4, 1)
    torch.testing.assert_close(equalise(grey), equalise(5 * grey + 3), atol=0.02, rtol=0)
    assert equalise(grey).diff(dim=1).min() >= 0
    assert (equalise(torch.ones(4, 4)) == 0).all()


def test_planar_preparation_centres_the_image_in_a_square(bundles):
    spec = load_bundle(bundles["planar"], "cpu").spec
    array = np.random.default_rng(0).integers(0, 255, (100, 50, 1)).astype(np.uint8)
    image = prepare_planar(Volume(array, np.eye(4), Units.INTENSITY, spacing_known=False), spec, torch.device("cpu"))[
        0, 0
    ]
    assert image.shape == (64, 64)
    assert (image[:, :16] == -1).all()
    assert (image[:, 48:] == -1).all()
    assert image[:, 16:48].std() > 0.2


def orientations() -> list[np.ndarray]:
    signs = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, -1], [-1, -1, -1]])
    orders = [(0, 1, 2), (2, 0, 1), (1, 0, 2)]
    return [np.eye(3)[:, list(order)] * sign for order in orders for sign in signs]


@pytest.mark.parametrize("direction", orientations())
def test_any_orientation_gives_the_same_mask_in_the_world(bundles, direction):
    segmenter = load_bundle(bundles["volume"], "cpu")
    rng = np.random.default_rng(1)
    turned = Volume(rng.uniform(-900, 400, (18, 20, 22)), affine_from((2.0, 2.5, 3.0), direction=direction), Units.HU)
    straight = Reorientation.to_lps(turned).apply(turned)
    expected = Reorientation.to_lps(turned).undo(segmenter(straight).labels.array)
    found = segmenter(turned).labels
    assert found.same_grid(turned)
    np.testing.assert_array_equal(found.array, expected)


def test_the_answer_does_not_depend_on_the_number_of_threads(bundles):
    segmenter = load_bundle(bundles["volume"], "cpu")
    scan = Volume(np.random.default_rng(2).uniform(-900, 400, (40, 40, 40)), affine_from((3.0, 3.0, 3.0)), Units.HU)
    before = torch.get_num_threads()
    try:
        answers = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            answers.append(segmenter(scan).labels.array)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*answers)


def test_small_pieces_are_given_back_to_the_background():
    probabilities = torch.zeros(2, 12, 6, 6)
    probabilities[0] = 0.9
    probabilities[:, :6, :, :] = torch.tensor([0.1, 0.9])[:, None, None, None]
    probabilities[:, 10, 3, 3] = torch.tensor([0.2, 0.8])
    cleaned = drop_small_pieces(probabilities, 0.05)
    assert cleaned.argmax(0)[10, 3, 3] == 0
    assert cleaned.argmax(0)[:6].all()
    assert drop_small_pieces(probabilities, 0.0) is probabilities


def test_lesions_that_are_certain_nowhere_are_taken_back():
    probabilities = torch.zeros(4, 12, 4, 4)
    probabilities[1] = 0.9
    probabilities[:, 2:4] = torch.tensor([0.0, 0.3, 0.4, 0.3])[:, None, None, None]
    probabilities[:, 7:9] = torch.tensor([0.0, 0.3, 0.4, 0.3])[:, None, None, None]
    probabilities[:, 8, 1, 1] = torch.tensor([0.0, 0.01, 0.6, 0.39])
    found = drop_uncertain_lesions(probabilities, [2, 3], 0.95).argmax(0)
    assert (found[2:4] == 1).all()
    assert (found[7:9] == 2).all()
    assert drop_uncertain_lesions(probabilities, [2, 3], 0.0) is probabilities


class Pointwise(torch.nn.Module):
    """Logits 0, 0, x and -x of a grey value x."""

    def forward(self, image):
        return torch.cat([torch.zeros_like(image), torch.zeros_like(image), image, -image], dim=1)


def test_lesion_probability_is_that_of_the_lesion_labels_in_each_of_the_scans_voxels(bundles):
    loaded = load_bundle(bundles["volume"], "cpu").spec
    spec = loaded.model_copy(update={"lesion_labels": (2, 3), "min_component_share": 0.0, "min_lesion_peak": 1.0})
    low, high = spec.intensity_range
    array = np.random.default_rng(1).uniform(low, high, (20, 18, 14)).astype(np.float32)
    turned = affine_from((4.0, 4.0, 4.0), direction=np.diag([-1.0, 1.0, -1.0]))
    answer = infer(Volume(array, turned, Units.HU), LoadedNetwork(Pointwise(), spec, torch.device("cpu")))
    grey = (array - low) * 2 / (high - low) - 1
    lesion = (np.exp(grey) + np.exp(-grey)) / (2 + np.exp(grey) + np.exp(-grey))
    assert np.abs(answer.probability_percent.array - 100 * lesion).max() <= 0.51
    assert not np.isin(answer.labels.array, (2, 3)).any()  # none is certain: all were taken back, their probability not
    unsaid = spec.model_copy(update={"lesion_labels": ()})
    again = infer(Volume(array, turned, Units.HU), LoadedNetwork(Pointwise(), unsaid, torch.device("cpu")))
    assert again.probability_percent is None


def test_a_readers_lesions_have_no_probability(bundles, settings):
    segmenter = load_bundle(bundles["volume"], "cpu")
    scan = Volume(np.zeros((16, 16, 16), np.float32), affine_from((4.0, 4.0, 4.0)), Units.HU)
    mask = scan.with_array(np.zeros(scan.shape, np.uint8), Units.LABEL)
    read = segment_scan(scan, settings=settings, segmenter=segmenter, organ_mask=None, lesion_mask=mask)
    assert read.probability_percent is None
