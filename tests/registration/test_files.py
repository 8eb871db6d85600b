"""Written alignments read back, and other ITK programs understand them."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from scipy import ndimage

from trialscan.errors import RegistrationError
from trialscan.registration import (
    read_alignment,
    register,
    resample_to_baseline,
    write_alignment,
    write_composites,
)
from trialscan.study.sections import RegistrationSettings


def anywhere(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-160, 160, (300, 3))


def test_points_go_where_itk_takes_them(bent_alignment):
    points = anywhere()
    for transform, mapped in (
        (bent_alignment.transform, bent_alignment.to_followup(points)),
        (bent_alignment.inverse, bent_alignment.to_baseline(points)),
    ):
        expected = np.array([transform.TransformPoint(point) for point in points.tolist()])
        assert np.abs(mapped - expected).max() < 1e-9


def test_read_back_is_what_was_written(bent_alignment, tmp_path):
    write_alignment(bent_alignment, tmp_path / "deep" / "folder")
    again = read_alignment(tmp_path / "deep" / "folder")
    points = anywhere()
    assert np.abs(again.to_followup(points) - bent_alignment.to_followup(points)).max() < 1e-9
    assert np.abs(again.to_baseline(points) - bent_alignment.to_baseline(points)).max() < 1e-9
    found = bent_alignment
    assert (again.status, again.rung, again.engine) == (found.status, found.rung, found.engine)
    assert (again.quality, again.rungs, again.notes) == (found.quality, found.rungs, found.notes)


def test_files_follow_the_layout_of_ants(bent_alignment, tmp_path):
    write_alignment(bent_alignment, tmp_path)
    affine = sitk.ReadTransform(str(tmp_path / "to_baseline.affine.tfm"))
    warp = sitk.ReadImage(str(tmp_path / "to_baseline.warp.nii.gz"), sitk.sitkVectorFloat64)
    whole = sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(warp)])
    points = anywhere(1)
    expected = np.array([whole.TransformPoint(point) for point in points.tolist()])
    assert np.abs(bent_alignment.to_followup(points) - expected).max() < 1e-9


def test_one_file_each_way_holds_the_whole_map_and_is_the_same_on_a_rerun(bent_alignment, tmp_path):
    for name in ("a", "b"):
        write_composites(bent_alignment, tmp_path / name)
    for name, mapped in (
        ("to_baseline.tfm", bent_alignment.to_followup),
        ("to_baseline.inverse.tfm", bent_alignment.to_baseline),
    ):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        whole = sitk.ReadTransform(str(tmp_path / "a" / name))
        points = anywhere(2)[:50]
        expected = np.array([whole.TransformPoint(point) for point in points.tolist()])
        assert np.abs(mapped(points) - expected).max() < 1e-9


def test_ants_reads_the_single_file(bent_alignment, tmp_path):
    ants = pytest.importorskip("ants")
    write_composites(bent_alignment, tmp_path)
    whole = ants.read_transform(str(tmp_path / "to_baseline.tfm"))
    points = anywhere(3)[:20]
    moved = np.array([ants.apply_ants_transform_to_point(whole, point) for point in points.tolist()])
    assert np.abs(moved - bent_alignment.to_followup(points)).max() < 1e-3


def test_a_linear_alignment_leaves_no_old_field(bent_alignment, bent_pair, tmp_path):
    write_alignment(bent_alignment, tmp_path)
    p = bent_pair
    settings = RegistrationSettings(spacing_mm=4.0, method="rigid")
    rigid = register(p.fixed, p.moving, fixed_mask=p.fixed_mask, moving_mask=p.moving_mask, settings=settings)
    write_alignment(rigid, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["to_baseline.affine.tfm", "to_baseline.json"]
    assert np.allclose(read_alignment(tmp_path).to_baseline(rigid.to_followup(anywhere())), anywhere(), atol=1e-9)


def test_the_record_is_plain_json_without_paths(bent_alignment, tmp_path):
    write_alignment(bent_alignment, tmp_path)
    text = (tmp_path / "to_baseline.json").read_text()
    record = json.loads(text)
    assert record["status"] == "pass"
    assert record["files"]["warp"] == "to_baseline.warp.nii.gz"
    assert str(tmp_path) not in text


def broken(folder: Path, case: str) -> None:
    record = folder / "to_baseline.json"
    if case == "record missing":
        record.unlink()
    elif case == "record cut":
        record.write_text(record.read_text()[:40])
    elif case == "other format":
        record.write_text(record.read_text().replace("alignment 1", "alignment 9"))
    elif case == "field missing":
        (folder / "to_baseline.warp.nii.gz").unlink()
    else:
        (folder / "to_baseline.affine.tfm").write_text("nothing")


@pytest.mark.parametrize("case", ["record missing", "record cut", "other format", "field missing", "affine damaged"])
def test_damage_is_named(bent_alignment, tmp_path, case):
    write_alignment(bent_alignment, tmp_path)
    broken(tmp_path, case)
    with pytest.raises(RegistrationError, match=r"to_baseline\.json"):
        read_alignment(tmp_path)


def test_a_followup_is_drawn_on_the_baseline_grid(bent_alignment, bent_pair):
    drawn = resample_to_baseline(bent_pair.moving, bent_alignment, bent_pair.fixed, labels=False)
    organ = ndimage.binary_erosion(bent_pair.fixed_mask.array > 0, iterations=2)
    straight = np.corrcoef(bent_pair.moving.array[organ], bent_pair.fixed.array[organ])[0, 1]
    assert np.corrcoef(drawn.array[organ], bent_pair.fixed.array[organ])[0, 1] > max(0.9, straight)
    assert drawn.array.min() >= -1024
    mask = resample_to_baseline(bent_pair.moving_mask, bent_alignment, bent_pair.fixed, labels=True)
    assert mask.array.dtype == np.uint8
    assert set(np.unique(mask.array)) == {0, 1}
