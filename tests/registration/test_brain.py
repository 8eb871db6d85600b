"""Real brains: two visits of one patient each, aligned rigidly, beside the transforms that came with the data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from scipy import linalg

from trialscan.imaging import Units, Volume, from_sitk, read_volume, to_sitk
from trialscan.registration import Alignment, register
from trialscan.registration.alignment import map_points
from trialscan.registration.candidate import affine_transform
from trialscan.registration.linear import levelled
from trialscan.study import load_protocol
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
    return load(real_data / "ms_flair_pairs" / request.param)


def load(folder: Path) -> Brain:
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


def align(
    brain: Brain, masks: bool = True, scans: tuple[Volume, Volume] | None = None, **settings: object
) -> Alignment:
    given = {"fixed_mask": brain.masks[0], "moving_mask": brain.masks[1]} if masks else {}
    chosen = RegistrationSettings.model_validate({"method": "rigid", "spacing_mm": 2.0} | settings)
    return register(*(scans or brain.scans), **given, settings=chosen)


def stretches(alignment: Alignment) -> np.ndarray:
    return linalg.svdvals(np.reshape(alignment.transform.GetNthTransform(0).Downcast().GetMatrix(), (3, 3)))


def test_the_protocol_for_brains_is_at_least_as_good_as_the_published_maps(brain):
    """Those stretch by up to 1 %; the protocol allows for scanners whose millimetres differ."""
    published = sitk.CompositeTransform([brain.published[1], brain.published[0].GetInverse()])
    settings = load_protocol("ms_flair_mri").registration
    found = align(brain, **settings.model_dump())
    assert (found.status, found.rung) == ("pass", "stretch")
    assert brain.correlation(found.transform) >= brain.correlation(published)
    assert np.abs(stretches(found) - 1).max() < 0.012


def test_rigid_is_as_good_as_the_rigid_part_of_the_published_map(brain):
    published = sitk.CompositeTransform([brain.published[1], brain.published[0].GetInverse()])
    voxels = np.argwhere(brain.masks[0].array > 0).mean(axis=0)
    reference = rigid_part(published, brain.scans[0].to_world(voxels[None])[0])
    found = align(brain)
    assert (found.status, found.rung) == ("pass", "rigid")
    assert brain.correlation(found.transform) > brain.correlation(reference)


@pytest.mark.parametrize("brain", ["patient01"], indirect=True)
def test_the_same_brain_merely_turned_is_stretched_by_no_more_than_interpolation_does(brain):
    """The baseline drawn where the follow-up's head lay, on the follow-up's grid, with noise: 0.2 % is found."""
    to_followup = align(brain).transform
    moved = sitk.GetArrayFromImage(
        sitk.Resample(to_sitk(brain.scans[0]), brain.followup, to_followup.GetInverse(), sitk.sitkLinear, 0.0)
    ).transpose(2, 1, 0)
    noisy = moved + np.random.default_rng(1).normal(0, 0.03 * float(moved.max()), moved.shape)
    again = align(
        brain, scans=(brain.scans[0], brain.scans[1].with_array(noisy.astype(np.float32))), max_stretch_percent=2.0
    )
    assert again.status == "pass"
    assert np.abs(stretches(again) - 1).max() < 0.003
    points = brain.scans[0].to_world(np.argwhere(brain.masks[0].array > 0)[::500].astype(np.float64))
    apart = np.linalg.norm(again.to_followup(points) - map_points(to_followup, points), axis=1)
    assert apart.max() < 0.2


def test_another_patients_brain_fails_without_masks(real_data):
    brains = [load(real_data / "ms_flair_pairs" / name) for name in ("patient01", "patient03")]
    settings = load_protocol("ms_flair_mri").registration
    found = register(brains[0].scans[0], brains[1].scans[1], settings=settings)
    assert found.status == "fail"
    assert any("same patient?" in note for note in found.notes)


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
