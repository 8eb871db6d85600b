import csv

import numpy as np
import pytest
from scipy import ndimage

from trialscan.imaging import Units, read_mask, read_volume
from trialscan.lesions import Change, VisitFindings, find_lesions, track_patient
from trialscan.study.sections import LesionSettings


def test_the_ibsi_tumour_has_its_reference_volume_and_diameter(real_data, make_segmentation, settings):
    """Reference values of the Image Biomarker Standardisation Initiative, CT phantom, configuration A.

    Volume (voxel counting) 3.59·10⁵ mm³, longest 3-D diameter of the surface mesh 125 mm; a mesh reaches half a voxel
    beyond the voxel centres all round, ours half a voxel in all.
    """
    folder = real_data / "lung_tumour_ct" / "ibsi_1_ct_radiomics_phantom" / "nifti"
    scan, mask = read_volume(folder / "image" / "phantom.nii.gz"), read_mask(folder / "mask" / "mask.nii.gz")
    (tumour,) = find_lesions(make_segmentation(mask, None, {1: "tumour"}), scan, settings).lesions
    assert tumour.volume_ml == pytest.approx(359, abs=1)
    assert tumour.longest_diameter_mm == pytest.approx(125, abs=max(scan.spacing_mm) / 2)
    assert tumour.mean_intensity == pytest.approx(scan.array[mask.array > 0].mean(dtype=np.float64))


def test_radiographs_are_measured_in_percent(real_data, make_segmentation):
    """Pixel counts as the readers' data set lists them; a radiograph without spacing has neither ml nor mm."""
    folder = real_data / "chest_xray"
    with (folder / "images.csv").open(encoding="utf-8") as file:
        listed = list(csv.DictReader(file))[:8]
    for row in listed:
        lungs, opacities = (read_mask(folder / row[name]) for name in ("lung_mask", "lesion_mask"))
        image = lungs.with_array(np.zeros(lungs.shape, np.float32), Units.INTENSITY)
        findings = find_lesions(make_segmentation(opacities, lungs), image, LesionSettings(minimum_pixels=100))
        burden = findings.burden
        kept = sum(lesion.voxel_count for lesion in findings.lesions)
        assert kept + burden.dropped_voxels == int(row["lesion_px"])
        assert burden.burden_ml is burden.organ_ml is None
        union = np.count_nonzero((lungs.array > 0) | (findings.labels.array > 0))
        assert union >= int(row["lung_px"])
        assert burden.burden_percent == pytest.approx(100 * kept / union)
        assert all(lesion.longest_diameter_mm is None for lesion in findings.lesions)


WAXED, WANED = {Change.NEW, Change.GROWING}, {Change.SHRINKING, Change.RESOLVED}


def bright(image, inside):
    """Where FLAIR is 1.5 robust standard deviations above the brain's median."""
    values = image.array[inside].astype(np.float64)
    middle = np.median(values)
    return (image.array - middle) / (1.4826 * np.median(np.abs(values - middle)))


def test_lesions_change_in_the_direction_in_which_readers_saw_them_change(
    real_data, make_segmentation, known_alignment
):
    """Two patients with multiple sclerosis, two FLAIR scans each in a common space, and readers' masks of what changed.

    The masks tell where, not which way nor how much is lesion. So lesions are what is bright within two voxels of them
    at either visit, and the direction is that of the mean brightness of a reader's region: every lesion called new,
    growing, shrinking or resolved that meets a region must have gone the same way.
    """
    settings = LesionSettings(minimum_ml=0.03, matching_tolerance_mm=3.0)
    agreed = []
    for patient in ("patient01", "patient03"):
        folder = real_data / "ms_flair_pairs" / patient
        brain, changed = (read_mask(folder / f"{name}_common.nii.gz") for name in ("brain_mask", "lesion_change_mask"))
        scans = [read_volume(folder / f"study{n}_FLAIR_common.nii.gz", Units.INTENSITY) for n in (1, 2)]
        inside = ndimage.binary_erosion(brain.array > 0, iterations=2)
        near = ndimage.binary_dilation(changed.array > 0, np.ones((3, 3, 1)), iterations=2) & inside
        levels = [bright(scan, inside) for scan in scans]
        masks = [changed.with_array(((level > 1.5) & near).astype(np.uint8)) for level in levels]
        found = [
            find_lesions(make_segmentation(mask, brain, {1: "lesion"}), scan, settings)
            for mask, scan in zip(masks, scans, strict=True)
        ]
        visits = [
            VisitFindings("V1", 0, found[0], is_baseline=True),
            VisitFindings("V2", 200, found[1], known_alignment(quality={"estimated_error_mm_p95": 1.0})),
        ]
        history = track_patient(visits, settings)
        last = {row.lesion_id: row.label for row in history.rows if row.visit == "V1"}
        regions, _ = ndimage.label(changed.array > 0, np.ones((3, 3, 3)))
        for row in (row for row in history.rows if row.visit == "V2" and row.change in WAXED | WANED):
            labels = found[1] if row.label is not None else found[0]
            place = labels.labels.array == (last[row.lesion_id] if row.label is None else row.label)
            for region in np.unique(regions[place & (regions > 0)]):
                brighter = (levels[1] - levels[0])[regions == region].mean() > 0
                agreed.append(brighter == (row.change in WAXED))
    assert len(agreed) >= 8
    assert all(agreed)
