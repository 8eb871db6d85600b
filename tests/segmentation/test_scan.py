"""Masks of readers and models together, quality numbers and flags."""

import numpy as np
import pytest

from trialscan.errors import GeometryError, SegmentationError
from trialscan.imaging import Units, Volume, affine_from
from trialscan.segmentation import LabelMap, ModelIdentity, segment_scan
from trialscan.study.sections import SegmentationSettings

SHAPE = (20, 20, 20)
INNER = (slice(4, 16), slice(4, 16), slice(4, 16))


class Painter:
    """A segmenter that answers with a given label array."""

    identity = ModelIdentity("painter", "1", "0" * 64)

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels
        self.calls = 0

    def __call__(self, volume: Volume) -> LabelMap:
        self.calls += 1
        return LabelMap(volume.with_array(self.labels, Units.LABEL), {0: 0.9, 1: 0.8, 2: 0.7, 3: 0.5})


def scan(spacing=(2.0, 2.0, 2.0), *, known=True, value: float | None = None) -> Volume:
    array = np.random.default_rng(0).uniform(-900, 400, SHAPE).astype(np.float32)
    if value is not None:
        array[0, 0, 0] = value
    return Volume(array, affine_from(spacing), Units.HU, spacing_known=known)


def labels(lesion: int = 2) -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[INNER] = 1
    array[6:8, 6:8, 6:8] = lesion
    array[10:12, 6:8, 6:8] = 3
    return array


def reader(array: np.ndarray, spacing=(2.0, 2.0, 2.0)) -> Volume:
    return Volume(array.astype(np.uint8), affine_from(spacing), Units.LABEL)


def test_the_model_gives_both_masks(settings):
    result = segment_scan(scan(), settings=settings, segmenter=Painter(labels()), organ_mask=None, lesion_mask=None)
    assert (result.organ_source, result.lesion_source) == ("model", "model")
    assert result.class_names == {1: "ground_glass", 2: "consolidation"}
    assert result.organ is not None
    np.testing.assert_array_equal(result.organ.array > 0, labels() > 0)
    assert np.count_nonzero(result.lesions.array == 1) == 8
    assert np.count_nonzero(result.lesions.array == 2) == 8
    assert result.quality["organ_ml"] == pytest.approx(12**3 * 8 / 1000)
    assert result.quality["lesion_probability"] == pytest.approx(0.6)
    assert result.quality["lesion_outside_organ_percent"] == 0
    assert result.model == Painter.identity
    assert result.flags == ()


def test_with_both_masks_of_a_reader_no_network_runs(settings):
    organ, lesions = reader(labels() > 0), reader(np.where(labels() == 2, 9, 0))
    painter = Painter(labels())
    for segmenter in (None, painter):
        result = segment_scan(scan(), settings=settings, segmenter=segmenter, organ_mask=organ, lesion_mask=lesions)
        assert (result.organ_source, result.lesion_source, result.model) == ("reader", "reader", None)
        assert result.quality["lesion_probability"] is None
    assert painter.calls == 0


def test_a_readers_labels_are_mapped_by_the_protocols_names(settings):
    lesions = reader(np.where(labels() == 2, 9, np.where(labels() == 3, 7, 0)))
    result = segment_scan(scan(), settings=settings, segmenter=None, organ_mask=None, lesion_mask=lesions)
    np.testing.assert_array_equal(result.lesions.array == 1, labels() == 2)
    np.testing.assert_array_equal(result.lesions.array == 2, labels() == 3)
    assert result.organ is None
    assert result.organ_source == "none"
    assert result.quality["organ_ml"] is None


def test_an_unknown_label_of_a_reader_is_named(settings):
    with pytest.raises(SegmentationError, match=r"label 5.*7 consolidation, 9 ground_glass"):
        segment_scan(
            scan(), settings=settings, segmenter=None, organ_mask=None, lesion_mask=reader(5 * (labels() == 2))
        )


def test_a_readers_organ_replaces_the_models_and_is_compared_with_it(settings):
    organ = np.zeros(SHAPE)
    organ[4:10, 4:16, 4:16] = 2
    result = segment_scan(
        scan(), settings=settings, segmenter=Painter(labels()), organ_mask=reader(organ), lesion_mask=None
    )
    assert (result.organ_source, result.lesion_source) == ("reader", "model")
    assert result.quality["model_organ_dice"] == pytest.approx(2 / 3)
    assert result.quality["model_organ_volume_ratio"] == pytest.approx(2)
    assert result.quality["lesion_outside_organ_percent"] == pytest.approx(50)
    assert np.count_nonzero(result.lesions.array) == 16
    assert result.flags == ("lesion_outside_organ",)


def test_nobody_to_outline_lesions_is_an_error(settings):
    with pytest.raises(SegmentationError, match="neither a model nor a reader's mask"):
        segment_scan(scan(), settings=settings, segmenter=None, organ_mask=reader(labels()), lesion_mask=None)


def test_a_mask_on_another_grid_is_refused(settings):
    with pytest.raises(GeometryError, match="organ mask"):
        segment_scan(
            scan(),
            settings=settings,
            segmenter=None,
            organ_mask=reader(labels(), (1.0, 2.0, 2.0)),
            lesion_mask=reader(0 * labels()),
        )


def flags(settings: SegmentationSettings, volume: Volume, answer: np.ndarray) -> tuple[str, ...]:
    return segment_scan(volume, settings=settings, segmenter=Painter(answer), organ_mask=None, lesion_mask=None).flags


def test_flags_of_the_protocols_limits(settings):
    assert flags(settings, scan((2.0, 2.0, 6.0)), labels()) == ("slice_thickness",)
    assert flags(settings, scan((5.0, 5.0, 5.0)), labels()) == ("organ_large",)
    assert flags(settings, scan((0.5, 0.5, 0.5)), labels()) == ("organ_small",)
    assert flags(settings, scan(value=np.nan), labels()) == ("nan_voxels",)


def test_flags_of_an_empty_and_of_a_cut_organ(settings):
    assert flags(settings, scan(), 0 * labels()) == ("empty_organ", "organ_small")
    everywhere = np.ones(SHAPE, dtype=np.uint8)
    assert flags(settings, scan(), everywhere) == ("field_of_view_cut",)


def test_a_scan_of_other_units_is_flagged(settings):
    grey = Volume(np.arange(8000, dtype=np.uint8).reshape(SHAPE), affine_from((2.0, 2.0, 2.0)), Units.HU)
    assert flags(settings, grey, labels()) == ("intensity_range",)


def test_without_spacing_no_millilitres_and_no_flag_on_them(settings):
    result = segment_scan(
        scan((90.0, 90.0, 90.0), known=False),
        settings=settings,
        segmenter=Painter(labels()),
        organ_mask=None,
        lesion_mask=None,
    )
    assert result.quality["organ_ml"] is None
    assert result.quality["slice_thickness_mm"] is None
    assert result.flags == ()
