"""Pictures of visits: the same physical slice, right values, right orientation, honest facts."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the alias of its own manual
from numpy.typing import NDArray
from PIL import Image

from trialscan.imaging import Units, Volume, affine_from
from trialscan.registration import Alignment, AlignmentStatus
from trialscan.reports import SlicePosition, choose_slice, write_panels
from trialscan.reports.panel_files import read_panel

WINDOW = (-600.0, 1500.0)
SHAPE = (60, 50, 20)


def thorax(shift: int = 0) -> tuple[Volume, Volume, Volume]:
    """Image, organ and lesions on 2×2×4 mm; everything moved by whole voxels along i and k."""
    affine = affine_from((2.0, 2.0, 4.0))
    image = np.full(SHAPE, -1000, dtype=np.int16)
    organ, lesions = np.zeros(SHAPE, dtype=np.uint8), np.zeros(SHAPE, dtype=np.uint8)
    image[8 + shift : 42 + shift, 8:42, 2 + shift : 16 + shift] = -800
    organ[8 + shift : 42 + shift, 8:42, 2 + shift : 16 + shift] = 1
    image[12 + shift : 20 + shift, 30:36, 9 + shift] = 50
    lesions[12 + shift : 20 + shift, 30:36, 9 + shift] = 2
    return (
        Volume(image, affine, Units.HU),
        Volume(organ, affine, Units.LABEL),
        Volume(lesions, affine, Units.LABEL),
    )


def moved_by(offset: tuple[float, float, float], status: AlignmentStatus = AlignmentStatus.PASS) -> Alignment:
    transform = sitk.CompositeTransform(sitk.TranslationTransform(3, offset))
    inverse = sitk.CompositeTransform(sitk.TranslationTransform(3, tuple(-value for value in offset)))
    return Alignment(status, "rigid", "simpleitk", {}, (), transform, inverse)


def show(
    folder: Path,
    scan: tuple[Volume, Volume | None, Volume | None],
    baseline: SlicePosition | None,
    alignment: Alignment | None = None,
    window: tuple[float, float] | None = WINDOW,
) -> dict[str, object]:
    image, organ, lesions = scan
    write_panels(
        folder,
        visit="BL",
        study_day=0,
        image=image,
        organ=organ,
        lesions=lesions,
        baseline=baseline,
        alignment=alignment,
        window=window,
    )
    facts: dict[str, object] = json.loads((folder / "panel.json").read_text())
    return facts


def rows(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def test_baseline_picture_holds_the_slice_of_the_scan(tmp_path: Path) -> None:
    image, organ, lesions = thorax()
    position = choose_slice(lesions, organ, image)
    facts = show(tmp_path, (image, organ, lesions), position)
    grey, classes = rows(tmp_path / "panel.png"), rows(tmp_path / "panel_lesions.png")
    assert grey.shape == classes.shape == (44, 44)
    lesion = round((50 + 1350) / 1500 * 255)
    assert (grey[classes == 2] == lesion).all()
    assert (classes == 2).sum() == 8 * 6
    lungs = rows(tmp_path / "panel_organ.png") == 1
    assert (grey[lungs & (classes == 0)] == round(550 / 1500 * 255)).all()
    first_row, first_column = (int(n) for n in np.argwhere(classes == 2).min(axis=0))
    assert (first_row, first_column) == (30 - 3, 12 - 3)
    assert facts == {
        "visit": "BL",
        "study_day": 0,
        "spacing_mm": 2.0,
        "window": [-600.0, 1500.0],
        "orientation": {"left": "R", "right": "L", "top": "A", "bottom": "P"},
        "slice_center_mm": [49.0, 49.0, 36.0],
        "chosen_by": "lesion area",
        "units": "HU",
        "slice": "baseline",
        "resampled": False,
    }


def test_followup_is_shown_at_the_same_physical_slice(tmp_path: Path) -> None:
    position = choose_slice(thorax()[2], thorax()[1], thorax()[0])
    show(tmp_path / "BL", thorax(), position)
    facts = show(tmp_path / "W04", thorax(shift=3), position, moved_by((6.0, 0.0, 12.0)))
    assert facts["resampled"] is True
    assert facts["slice"] == "baseline"
    for name in ("panel.png", "panel_lesions.png", "panel_organ.png"):
        assert np.array_equal(rows(tmp_path / "BL" / name), rows(tmp_path / "W04" / name))


@pytest.mark.parametrize("linked", [True, False])
def test_without_a_usable_alignment_a_visit_shows_its_own_slice(tmp_path: Path, linked: bool) -> None:
    position = choose_slice(thorax()[2], thorax()[1], thorax()[0])
    failed = moved_by((0.0, 0.0, 0.0), AlignmentStatus.FAIL)
    facts = show(tmp_path, thorax(shift=3), position if linked else None, failed if linked else None)
    assert facts["slice"] == "own"
    assert facts["resampled"] is False
    assert facts["slice_center_mm"] == [55.0, 49.0, 48.0]
    assert (rows(tmp_path / "panel_lesions.png") == 2).sum() == 8 * 6


def test_planar_picture_is_whole_and_has_no_scale(tmp_path: Path) -> None:
    array = np.tile(np.linspace(0, 255, 1200).astype(np.uint8)[:, None, None], (1, 900, 1))
    image = Volume(array, np.eye(4), Units.INTENSITY, spacing_known=False)
    mask = Volume((array > 127).astype(np.uint8), np.eye(4), Units.LABEL, spacing_known=False)
    position = choose_slice(mask, mask, image)
    facts = show(tmp_path, (image, mask, mask), position, window=(127.5, 255.0))
    assert rows(tmp_path / "panel.png").shape == (450, 600)
    assert facts["spacing_mm"] is None
    assert facts["orientation"] is None
    assert facts["slice_center_mm"] is None
    assert facts["slice"] == "own"
    grey = rows(tmp_path / "panel.png")
    assert grey[200, 0] < 2
    assert grey[200, -1] > 253
    assert set(np.unique(rows(tmp_path / "panel_lesions.png"))) == {0, 1}


def test_own_range_where_the_protocol_sets_no_window(tmp_path: Path) -> None:
    image, organ, lesions = thorax()
    facts = show(tmp_path, (image, organ, lesions), choose_slice(lesions, organ, image), window=None)
    low, high = np.percentile(image.array, (0.5, 99.5))
    assert facts["window"] == [(low + high) / 2, high - low]


def test_voxels_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    image, _, _ = thorax()
    holed = image.array.astype(np.float32)
    holed[5, 5, :] = np.nan
    show(tmp_path, (image.with_array(holed), None, None), choose_slice(None, None, image))
    assert rows(tmp_path / "panel.png")[5, 5] == 0
    assert not (tmp_path / "panel_organ.png").exists()


def test_pictures_of_an_earlier_run_are_withdrawn_and_bytes_repeat(tmp_path: Path) -> None:
    image, organ, lesions = thorax()
    position = choose_slice(lesions, organ, image)
    show(tmp_path, (image, organ, lesions), position)
    first = {path.name: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    show(tmp_path, (image, organ, lesions), position)
    assert {path.name: path.read_bytes() for path in sorted(tmp_path.iterdir())} == first
    show(tmp_path, (image, None, lesions), position)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["panel.json", "panel.png", "panel_lesions.png"]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    image, organ, lesions = thorax()
    show(tmp_path, (image, organ, lesions), choose_slice(lesions, organ, image))
    panel = read_panel(tmp_path)
    assert panel is not None
    assert panel.lesions is not None
    assert panel.lesions.max() == 2
    assert read_panel(tmp_path / "absent") is None
