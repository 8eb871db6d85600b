"""Real brains: two visits of one patient each, aligned rigidly, beside the transforms that came with the data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from scipy import linalg

from trialscan.imaging import Units, Volume, from_sitk, read_volume
from trialscan.registration import Alignment, register
from trialscan.registration.candidate import affine_transform
from trialscan.registration.linear import levelled
from trialscan.study.sections import RegistrationSettings


@dataclass(frozen=True)
class Brain:
    """One patient: native scans, and the published maps common space → native scan of each visit."""

    scans: tuple[Volume, Volume]
    masks: tuple[Volume, Volume]
    common: sitk.Image
    followup: sitk.Image
    inside: np.ndarray
    published: tuple[sitk.Transform, sitk.Transform]

    def correlation(self, to_followup: sitk.Transform) -> float:
        """Inside the brain, of the baseline in the common space and the follow-up brought there, interpolated once."""
        whole = sitk.CompositeTransform([to_followup, self.published[0]])
        moved = sitk.GetArrayFromImage(sitk.Resample(self.followup, self.common, whole, sitk.sitkLinear, 0.0))
        return float(np.corrcoef(sitk.GetArrayFromImage(self.common)[self.inside], moved[self.inside])[0, 1])


@pytest.fixture(scope="module", params=["patient01", "patient03"])
def brain(request, real_data: Path) -> Brain:
    folder = real_data / "ms_flair_pairs" / request.param
    if not folder.exists():
        pytest.skip(f"no {folder.name} in the real data")
    names = [folder / f"study{n}_FLAIR_native.nii.gz" for n in (1, 2)]
    scans = [read_volume(name, Units.INTENSITY) for name in names]
    mask = sitk.ReadImage(str(folder / "brain_mask_common.nii.gz"), sitk.sitkFloat32)
    maps = [sitk.ReadTransform(str(folder / f"study{n}_FLAIR_to_common_space.txt")) for n in (1, 2)]
    brains = [
        from_sitk(
            sitk.Cast(
                sitk.Resample(mask, sitk.ReadImage(str(name)), to_native.GetInverse(), sitk.sitkLinear, 0.0) > 0.5,
                sitk.sitkUInt8,
            ),
            Units.LABEL,
        )
        for name, to_native in zip(names, maps, strict=True)
    ]
    return Brain(
        (scans[0], scans[1]),
        (brains[0], brains[1]),
        sitk.ReadImage(str(folder / "study1_FLAIR_common.nii.gz"), sitk.sitkFloat32),
        sitk.ReadImage(str(names[1]), sitk.sitkFloat32),
        sitk.GetArrayFromImage(mask) > 0,
        (maps[0], maps[1]),
    )


def rigid_part(transform: sitk.CompositeTransform, about: np.ndarray) -> sitk.AffineTransform:
    """The rotation nearest to an affine map, which keeps where it takes the point `about`."""
    there = np.asarray(transform.TransformPoint(about.tolist()))
    steps = [np.asarray(transform.TransformPoint((about + axis).tolist())) - there for axis in np.eye(3)]
    turn, _ = linalg.polar(np.stack(steps, axis=1))
    return affine_transform(turn, there - turn @ about)


def align(brain: Brain, method: str, *, masks: bool) -> Alignment:
    given = {"fixed_mask": brain.masks[0], "moving_mask": brain.masks[1]} if masks else {}
    settings = RegistrationSettings.model_validate({"method": method, "spacing_mm": 2.0})
    return register(*brain.scans, **given, settings=settings)


def test_rigid_is_as_good_as_the_rigid_part_of_the_published_map(brain):
    """The published maps stretch by up to 1 %, which no rigid map can follow."""
    published = sitk.CompositeTransform([brain.published[1], brain.published[0].GetInverse()])
    voxels = np.argwhere(brain.masks[0].array > 0).mean(axis=0)
    reference = rigid_part(published, brain.scans[0].to_world(voxels[None])[0])
    found = align(brain, "rigid", masks=True)
    assert (found.status, found.rung) == ("pass", "rigid")
    assert brain.correlation(found.transform) > brain.correlation(reference) - 0.005


@pytest.mark.parametrize("brain", ["patient03"], indirect=True)
def test_affine_is_at_least_as_good_as_the_published_map_where_the_visits_differ_in_scale(brain):
    published = sitk.CompositeTransform([brain.published[1], brain.published[0].GetInverse()])
    found = align(brain, "affine", masks=True)
    assert (found.status, found.rung) == ("pass", "affine")
    assert brain.correlation(found.transform) >= brain.correlation(published)


def test_levelling_takes_out_the_shading_of_the_coils():
    i, j, k = np.indices((40, 40, 40))
    detail = 100 * np.sin(i / 2.0) * np.sin(j / 2.0) * np.sin(k / 2.0)
    even = sitk.GetImageFromArray((500 + detail).astype(np.float32))
    shaded = sitk.GetImageFromArray(((500 + detail) * (0.5 + i / 40)).astype(np.float32))
    inner = (slice(8, -8),) * 3
    first, second = (sitk.GetArrayFromImage(levelled(image))[inner].ravel() for image in (even, shaded))
    raw = np.corrcoef(sitk.GetArrayFromImage(even)[inner].ravel(), sitk.GetArrayFromImage(shaded)[inner].ravel())[0, 1]
    assert raw < 0.6
    assert np.corrcoef(first, second)[0, 1] > 0.85
