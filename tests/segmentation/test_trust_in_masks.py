"""How far a network trusts itself: the mirrored pass, the volumes between sure and possible, and the flags on them."""

import numpy as np
import pytest
import torch

from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import load_bundle, segment_scan
from trialscan.segmentation.engine import LoadedNetwork, infer
from trialscan.segmentation.passes import mirrored, pass_agreement
from trialscan.study.sections import SegmentationSettings


def scan(shape=(24, 20, 16)) -> Volume:
    return Volume(np.random.default_rng(0).uniform(-900, 400, shape), affine_from((4.0, 4.0, 4.0)), Units.HU)


class ByValue(torch.nn.Module):
    """Class logits from the image's own values: 1 above -0.5, 2 above 0; with a bias along i it is not symmetric."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        slope = torch.linspace(-1, 1, image.shape[2])[:, None, None] * self.bias
        value = image[:, 0] + slope
        lesion = 20 * value
        return torch.stack([torch.zeros_like(value), 10 * (value + 0.5), lesion + 5, torch.full_like(value, -50)], 1)


def loaded(bundles, module: torch.nn.Module, mirroring: str = "none") -> LoadedNetwork:
    return LoadedNetwork(module, load_bundle(bundles["volume"], "cpu").spec, torch.device("cpu"), mirroring)


def test_a_symmetric_network_agrees_with_itself_and_another_does_not(bundles):
    same = infer(scan(), loaded(bundles, ByValue(), "check")).evidence
    assert same["mirror_dice_foreground"] == same["mirror_dice_lesions"] == 1.0
    other = infer(scan(), loaded(bundles, ByValue(0.6), "check")).evidence
    assert 0 < other["mirror_dice_lesions"] < 0.95


def test_checking_keeps_the_mask_and_averaging_makes_it_symmetric(bundles):
    volume, skewed = scan(), ByValue(0.6)
    flipped = volume.with_array(np.ascontiguousarray(volume.array[::-1]))
    plain, check = (infer(volume, loaded(bundles, skewed, how)).labels.array for how in ("none", "check"))
    np.testing.assert_array_equal(plain, check)
    averaged, of_flipped = (infer(v, loaded(bundles, skewed, "average")).labels.array for v in (volume, flipped))
    assert (averaged == of_flipped[::-1]).mean() > 0.999
    assert (plain == infer(flipped, loaded(bundles, skewed)).labels.array[::-1]).mean() < 0.99


def test_agreement_of_known_masks():
    first, second = torch.zeros(3, 4, 1, 1), torch.zeros(3, 4, 1, 1)
    first[0] = second[0] = 0.5
    first[1, :2], first[2, 2] = 1, 1
    second[1, :1], second[2, 2:] = 1, 1
    assert pass_agreement(first, second, [2]) == pytest.approx(
        {"mirror_dice_foreground": 2 * 2 / 6, "mirror_dice_lesions": 2 / 3}
    )
    empty = torch.tensor([1.0, 0, 0])[:, None, None, None].expand(3, 4, 1, 1)
    assert set(pass_agreement(empty, empty, [2]).values()) == {1.0}
    image = torch.arange(6.0).reshape(1, 1, 6, 1)
    torch.testing.assert_close(mirrored(image, lambda view: view[0]), image[0])


def test_the_volume_lies_between_what_is_sure_and_what_is_possible(bundles, settings):
    segmenter = load_bundle(bundles["volume"], "cpu")
    answer = infer(scan(), loaded(bundles, ByValue()))
    counted = float((answer.labels.array >= 2).sum())
    assert 0 < answer.evidence["lesion_voxels_low"] < counted < answer.evidence["lesion_voxels_high"]
    result = segment_scan(scan(), settings=settings, segmenter=segmenter, organ_mask=None, lesion_mask=None)
    assert result.quality["lesion_low_ml"] == pytest.approx(result.quality["lesion_voxels_low"] * 0.064)
    assert set(result.seconds) == {"prepare", "network", "clean", "to_native_grid"}


def test_the_models_doubt_is_not_told_of_a_readers_lesions(bundles, settings):
    segmenter, volume = load_bundle(bundles["volume"], "cpu"), scan()
    mask = volume.with_array(np.zeros(volume.shape, np.uint8), Units.LABEL)
    result = segment_scan(volume, settings=settings, segmenter=segmenter, organ_mask=None, lesion_mask=mask)
    assert not {name for name in result.quality if name.startswith(("lesion_low", "lesion_high", "lesion_voxels"))}


def test_disagreeing_passes_are_flagged_by_the_protocols_limit(bundles, settings):
    limits = settings.limits.model_dump() | {"min_mirror_dice": 0.999}
    asked = SegmentationSettings.model_validate(settings.model_dump() | {"limits": limits, "mirroring": "check"})
    segmenter = load_bundle(bundles["volume"], "cpu", mirroring="check")
    result = segment_scan(scan(), settings=asked, segmenter=segmenter, organ_mask=None, lesion_mask=None)
    assert result.quality["mirror_dice_foreground"] < 0.999
    assert "passes_disagree" in result.flags
    with pytest.raises(ValueError, match="mirroring is none"):
        SegmentationSettings.model_validate(settings.model_dump() | {"limits": limits})


def test_a_planar_model_looks_through_a_mirror_too(bundles):
    segmenter = load_bundle(bundles["planar"], "cpu", mirroring="check")
    array = np.random.default_rng(0).integers(0, 255, (50, 40, 1)).astype(np.uint8)
    picture = Volume(array, np.eye(4), Units.INTENSITY, spacing_known=False)
    assert 0 <= segmenter(picture).evidence["mirror_dice_foreground"] <= 1
