import csv

import numpy as np
import pytest

from trialscan.imaging import Units, read_mask, read_volume
from trialscan.lesions import find_lesions
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
