"""CT slices as pictures: simulated slabs, painted disease and what the network sees."""

import numpy as np
import pytest
import torch
from monai.transforms import ScaleIntensityRangePercentiles

from trialscan.segmentation.preparation import stretch
from trialscan.training.augment_slice import slice_patch
from trialscan.training.cases import Case, lung_boxes
from trialscan.training.config import DataSettings, DiseaseSettings, TrainingConfig
from trialscan.training.disease import CONSOLIDATION, GROUND_GLASS, LUNG, Slice, paint_disease
from trialscan.training.phantoms import simulate_slice, slice_case

ALWAYS = DiseaseSettings(share_of_slices=1.0, consolidated=1.0)
VESSEL_HU = 40.0


def chest() -> Slice:
    """Two lungs of −850 HU in soft tissue; one column of each is a vessel."""
    labels = torch.zeros((96, 72), dtype=torch.int64)
    labels[8:40, 12:60] = LUNG
    labels[56:88, 12:60] = LUNG
    image = torch.where(labels == LUNG, -850.0, 40.0)
    image[20, 12:60] = VESSEL_HU
    return Slice(image, labels)


def config() -> TrainingConfig:
    network = {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 4}
    return TrainingConfig.model_validate(
        {
            "name": "slice",
            "kind": "planar",
            "planar_source": "ct_slice",
            "grey_levels": "stretch",
            "labels": {0: "background", 1: "lung", 2: "ground_glass", 3: "consolidation"},
            "network": network | {"channels": [4, 8], "strides": [2]},
            "planar_size": 64,
            "patch": (64, 64, 1),
            "steps": 1,
            "data": {"cases": 1, "first_seed": 1},
        }
    )


@pytest.mark.parametrize("seed", range(6))
def test_disease_lies_in_the_lungs_and_is_denser_than_they(seed):
    before = chest()
    after = paint_disease(before, ALWAYS, np.random.default_rng(seed))
    lesion = after.labels >= GROUND_GLASS
    assert lesion.any()
    assert (before.labels[lesion] == LUNG).all()
    assert torch.equal(after.labels == 0, before.labels == 0)
    assert (after.image >= before.image).all()
    assert torch.equal(after.image[before.labels == 0], before.image[before.labels == 0])
    assert (after.image[20, 12:60] >= VESSEL_HU).all()
    assert (after.image[lesion] - before.image[lesion])[before.image[lesion] < -800].median() > 50


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_its_extent_is_the_one_drawn(share):
    settings = DiseaseSettings(share_of_slices=1.0, consolidated=0.0, extent=(share, share))
    scan = paint_disease(chest(), settings, np.random.default_rng(3))
    assert (scan.labels == GROUND_GLASS).sum() / (scan.labels >= LUNG).sum() == pytest.approx(share, abs=0.02)
    assert not (scan.labels == CONSOLIDATION).any()


def test_a_slice_without_lung_or_without_disease_stays_as_it_is():
    soft = Slice(torch.full((20, 30), 40.0), torch.zeros((20, 30), dtype=torch.int64))
    assert paint_disease(soft, ALWAYS, np.random.default_rng(0)) is soft
    healthy = chest()
    assert paint_disease(healthy, DiseaseSettings(share_of_slices=0.0), np.random.default_rng(0)) is healthy


def test_a_picture_depends_on_its_generator_alone():
    scan = chest()
    case = Case(
        scan.image.numpy()[..., None].astype(np.float16),
        scan.labels.numpy()[..., None].astype(np.uint8),
        lung_boxes((scan.labels.numpy() > 0)[..., None].astype(np.uint8)),
    )
    first, labels = slice_patch(case, config(), np.random.default_rng(9))
    again, same = slice_patch(case, config(), np.random.default_rng(9))
    assert torch.equal(first, again)
    assert torch.equal(labels, same)
    assert first.shape == (1, 64, 64)
    assert labels.shape == (64, 64)
    assert first.min() >= -1
    assert first.max() <= 1
    assert not torch.equal(first, slice_patch(case, config(), np.random.default_rng(10))[0])


def test_simulated_slabs_give_the_middle_slice_with_its_truth():
    slab = simulate_slice(DataSettings(cases=1, first_seed=0, in_plane_mm=(2.0, 2.5), empty_share=0.0), 4)
    case = slice_case(slab)
    assert slab.image.shape[2] == 3
    np.testing.assert_array_equal(case.image[..., 0], slab.image.array[..., 1].clip(-1024, 3000).astype(np.float16))
    assert ((case.labels > 0) == ((slab.organ.array > 0) | (slab.lesions.array > 0))[..., 1:2]).all()


def test_stretched_grey_levels_are_monais():
    image = torch.from_numpy(np.random.default_rng(1).gamma(2.0, 30.0, (50, 40)).astype(np.float32))
    theirs = ScaleIntensityRangePercentiles(lower=0.5, upper=99.5, b_min=-1, b_max=1, clip=True)(image[None])[0]
    torch.testing.assert_close(stretch(image), torch.as_tensor(theirs), rtol=1e-5, atol=1e-5)
    assert torch.equal(stretch(torch.full((4, 4), 7.0)), torch.zeros(4, 4))
