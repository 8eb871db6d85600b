"""`trialscan segment` and `trialscan evaluate` on files."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from trialscan.cli.evaluate import evaluate
from trialscan.cli.segment import segment
from trialscan.errors import ManifestError, ProtocolError, SegmentationError
from trialscan.imaging import Units, Volume, affine_from, read_mask, write_volume


@pytest.fixture
def scan_file(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "scan.nii.gz"
    write_volume(
        path, Volume(rng.integers(-900, 300, (24, 24, 24)).astype(np.int16), affine_from((4.0, 4.0, 4.0)), Units.HU)
    )
    return path


@pytest.fixture
def protocol_file(tmp_path, bundles):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "small").symlink_to(bundles["volume"], target_is_directory=True)
    path = tmp_path / "trial.yaml"
    path.write_text(
        "study: {id: t, title: T, modality: CT}\n"
        "segmentation: {model: small, organ_labels: [1], lesion_labels: {2: ground_glass, 3: consolidation},\n"
        "  reader_lesion_labels: {1: ground_glass}, units: HU, intensity_range: [-1024, 600]}\n"
        "endpoints: {primary: {measure: burden_ml}}\n"
    )
    return path


def run(command, *arguments: object):
    return CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)


def test_a_scan_is_segmented_to_files_on_its_own_grid(tmp_path, scan_file, protocol_file):
    result = run(
        segment, scan_file, "--protocol", protocol_file, "--out", tmp_path / "out", "--device", "cpu", "--json"
    )
    assert result.exception is None
    summary = json.loads(result.output)
    organ, lesions = (read_mask(tmp_path / "out" / f"{name}.nii.gz") for name in ("organ", "lesions"))
    assert summary["organ"]["volume_ml"] == pytest.approx(np.count_nonzero(organ.array) * 0.064)
    assert set(np.unique(lesions.array)) <= {0, 1, 2}
    assert json.loads((tmp_path / "out" / "quality.json").read_text()) == summary
    assert len(summary["model_sha256"]) == 64


def test_masks_of_readers_need_no_model(tmp_path, scan_file, protocol_file):
    mask = tmp_path / "mask.nii.gz"
    array = np.zeros((24, 24, 24), dtype=np.uint8)
    array[4:8] = 1
    write_volume(mask, Volume(array, affine_from((4.0, 4.0, 4.0)), Units.LABEL))
    arguments = ("--protocol", protocol_file, "--out", tmp_path / "out", "--organ-mask", mask, "--lesion-mask", mask)
    result = run(segment, scan_file, *arguments)
    assert result.exception is None
    assert "ground_glass: voxels 2304, volume_ml 147.456" in result.output
    refused = run(segment, scan_file, *arguments[:4], "--lesion-mask", tmp_path / "scan.nii.gz")
    assert refused.exception is not None


def test_other_weights_than_the_protocols_are_refused(tmp_path, scan_file, protocol_file):
    text = protocol_file.read_text().replace("model: small,", f"model: small, weights_sha256: {'a' * 64},")
    protocol_file.write_text(text)
    result = run(segment, scan_file, "--protocol", protocol_file, "--out", tmp_path / "out")
    assert isinstance(result.exception, SegmentationError)


def test_an_unknown_protocol_is_an_input_fault(tmp_path, scan_file):
    result = run(segment, scan_file, "--protocol", "no_such", "--out", tmp_path / "out")
    assert isinstance(result.exception, ProtocolError | ManifestError)


def test_evaluation_prints_and_writes_every_measure(tmp_path):
    array = np.zeros((10, 10, 10), dtype=np.uint8)
    array[2:6] = 1
    for name in ("p", "r"):
        write_volume(tmp_path / f"{name}.nii.gz", Volume(array, affine_from((1.0, 1.0, 1.0)), Units.LABEL))
    arguments = (tmp_path / "p.nii.gz", tmp_path / "r.nii.gz", "--out", tmp_path / "m.csv")
    shown = run(evaluate, *arguments)
    assert "p label any: dice 1," in shown.output
    rows = json.loads(run(evaluate, *arguments, "--json").output)["scans"]
    assert rows[0]["reference_ml"] == pytest.approx(0.4)
    assert (tmp_path / "m.csv").read_text().splitlines()[0].startswith("name,label,dice,jaccard,hd95_mm")
