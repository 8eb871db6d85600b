"""Scans and models that are not as they should be: no crash, no silent nonsense, a word on what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from trialscan.cli.segment import segment
from trialscan.errors import ImagingError, SegmentationError
from trialscan.imaging import Units, Volume, affine_from, read_volume
from trialscan.segmentation import engine, load_bundle, segment_scan
from trialscan.segmentation.engine import Place

MEASURE = """
import re, sys
from pathlib import Path
import numpy as np, torch
from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import engine, load_bundle, preparation

engine._CHUNK_VALUES = preparation._SLAB_VALUES = 2_000_000

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

torch.set_num_threads(1)
segmenter = load_bundle(Path(sys.argv[1]), "cpu")
segmenter(Volume(np.zeros((64, 64, 64), np.int16), affine_from((4.0, 4.0, 4.0)), Units.HU))
volume = Volume(np.zeros((256, 256, int(sys.argv[2])), np.int16), affine_from((0.4, 0.4, 0.4)), Units.HU)
volume.array[:] = -500
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here; that of getrusage begins at the parent's
before = kilobytes("VmRSS")
answer = segmenter(volume)
print(1024 * (kilobytes("VmHWM") - before), answer.labels.array.size)
"""


def scan(shape=(20, 20, 20), spacing=(4.0, 4.0, 4.0)) -> Volume:
    array = np.random.default_rng(0).uniform(-900, 400, shape).astype(np.float32)
    return Volume(array, affine_from(spacing), Units.HU)


def outlined(bundles, settings, volume: Volume):
    segmenter = load_bundle(bundles["volume"], "cpu")
    return segment_scan(volume, settings=settings, segmenter=segmenter, organ_mask=None, lesion_mask=None)


def test_voxels_that_are_no_numbers_count_as_air_and_are_flagged(bundles, settings):
    volume = scan()
    volume.array[:5] = np.nan
    volume.array[5] = np.inf
    result = outlined(bundles, settings, volume)
    assert "nan_voxels" in result.flags
    air = volume.with_array(np.where(np.isnan(volume.array), -1024, volume.array).clip(-1024, 600))
    np.testing.assert_array_equal(result.lesions.array, outlined(bundles, settings, air).lesions.array)


def test_a_scan_of_four_axes_is_refused_by_name(tmp_path):
    nib.Nifti1Image(np.zeros((8, 8, 8, 3), np.int16), np.eye(4)).to_filename(tmp_path / "series.nii.gz")
    with pytest.raises(ImagingError, match=r"series\.nii\.gz.*8, 8, 8, 3"):
        read_volume(tmp_path / "series.nii.gz", Units.HU)


def test_a_scan_of_another_modality_is_flagged(bundles, settings):
    magnetic = scan()
    magnetic = magnetic.with_array((magnetic.array + 1000) * 30)
    assert "intensity_range" in outlined(bundles, settings, magnetic).flags


def test_a_single_slice_is_refused_by_a_model_of_volumes(bundles, settings):
    with pytest.raises(SegmentationError, match="several slices"):
        outlined(bundles, settings, scan((40, 40, 1)))


@pytest.mark.parametrize("axis", [0, 2])
def test_voxels_ten_times_longer_than_wide_are_outlined_and_flagged(bundles, settings, axis):
    shape, spacing = [40, 40, 40], [0.8, 0.8, 0.8]
    shape[axis], spacing[axis] = 4, 8.0
    volume = scan(tuple(shape), tuple(spacing))
    result = outlined(bundles, settings, volume)
    assert "slice_thickness" in result.flags
    assert result.lesions.same_grid(volume)


def test_two_slices_are_enough_for_a_model_of_volumes(bundles, settings):
    assert outlined(bundles, settings, scan((30, 30, 2), (4.0, 4.0, 5.0))).lesions.shape == (30, 30, 2)


def test_a_spacing_that_no_body_has_is_refused_before_memory_is_asked_for(bundles):
    volume = Volume(np.zeros((60, 60, 60), np.int16), affine_from((100.0, 100.0, 100.0)), Units.HU)
    with pytest.raises(SegmentationError, match=r"6000 × 6000 × 6000 mm.*134 million"):
        load_bundle(bundles["volume"], "cpu")(volume)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_beside_the_scan_grows_by_the_masks_and_the_models_grid_alone(bundles):
    """Labels and percent are a byte a voxel each; a copy as float32 would be four, as would each class."""
    measured = {}
    for depth in (256, 1280):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(bundles["volume"]), str(depth)],
            env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},  # what is freed goes back at once
            capture_output=True,
            text=True,
            check=True,
        )
        used, voxels = map(int, done.stdout.split())
        measured[voxels] = used
    (small, least), (large, most) = sorted(measured.items())
    assert (most - least) / (large - small) < 2.5


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_too_little_memory_moves_the_work_and_says_so(bundles, monkeypatch, fails):
    cpu = torch.device("cpu")
    steps = tuple(Place(name, cpu, cpu) for name in ("device", "buffered", "host"))
    monkeypatch.setattr(engine, "places", lambda _device: steps)
    segmenter = load_bundle(bundles["volume"], "cpu")
    expected = segmenter(scan()).labels.array
    left = [fails]

    def refuse(_module, _inputs):
        if left[0] > 0:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")

    segmenter.loaded.module.register_forward_pre_hook(refuse)
    if fails == 3:
        with pytest.raises(SegmentationError, match="too large for the memory"):
            segmenter(scan())
        return
    answer = segmenter(scan())
    assert answer.evidence["network_memory"] == steps[fails].name
    np.testing.assert_array_equal(answer.labels.array, expected)


def test_a_gpu_is_tried_then_its_windows_alone_then_the_host():
    tried = [(place.name, place.compute.type, place.keep.type) for place in engine.places(torch.device("cuda"))]
    assert tried == [("device", "cuda", "cuda"), ("buffered", "cuda", "cpu"), ("host", "cpu", "cpu")]
    assert [place.name for place in engine.places(torch.device("cpu"))] == ["host"]


def test_the_same_scan_gives_the_same_bytes_twice(bundles):
    segmenter = load_bundle(bundles["volume"], "cpu", mirroring="average")
    first, second = segmenter(scan()), segmenter(scan())
    assert first.labels.array.tobytes() == second.labels.array.tobytes()
    assert first.evidence == second.evidence


def test_weights_of_another_model_are_refused_by_the_command(bundles, tmp_path):
    folder = tmp_path / "models" / "small"
    shutil.copytree(bundles["volume"], folder)
    shutil.copy(bundles["planar"] / "models/model.safetensors", folder / "models/model.safetensors")
    protocol = tmp_path / "trial.yaml"
    protocol.write_text(
        "study: {id: t, title: T, modality: CT}\n"
        "segmentation: {model: small, organ_labels: [1], lesion_labels: {2: glass}, reader_lesion_labels: {1: glass}}\n"
        "endpoints: {primary: {measure: burden_ml}}\n"
    )
    scan_path = tmp_path / "scan.nii.gz"
    nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)).to_filename(scan_path)
    arguments = [str(scan_path), "--protocol", str(protocol), "--out", str(tmp_path / "out"), "--device", "cpu"]
    result = CliRunner().invoke(segment, arguments, standalone_mode=False)
    assert isinstance(result.exception, SegmentationError)
    assert "which the bundle names" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_bundles_settings_are_pinned_with_its_weights(bundles, tmp_path, settings):
    from trialscan.segmentation import folder_sha256, load_model  # noqa: PLC0415 - used here alone

    copy: Path = tmp_path / "copy"
    shutil.copytree(bundles["volume"], copy)
    pinned = settings.model_copy(update={"bundle_sha256": folder_sha256(copy)})
    load_model(copy, pinned, device="cpu")
    metadata = json.loads((copy / "configs/metadata.json").read_text())
    metadata["trialscan"]["min_lesion_peak"] = 0.5
    (copy / "configs/metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(SegmentationError, match="which the protocol names"):
        load_model(copy, pinned, device="cpu")
