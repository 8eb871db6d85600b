"""The protocol's table of measurement error: the row of a lesion, what contradicts itself, and what a modality has."""

import math

import pytest
from pydantic import ValidationError

from trialscan.errors import ProtocolError
from trialscan.study import LesionSettings, Protocol, RepeatabilityBand, load_protocol
from trialscan.study.repeatability import ACROSS_FACTOR, SHIPPED, find_band

BANDS = tuple(
    RepeatabilityBand(from_ml=size, max_slice_mm=limit, sd_log=sd)
    for size, limit, sd in [(0.0, 2.0, 0.4), (1.0, 2.0, 0.2), (10.0, 2.0, 0.1), (0.5, 5.0, 0.6), (1.0, 5.0, 0.3)]
)


@pytest.mark.parametrize(
    ("volume_ml", "slice_mm", "sd_log"),
    [
        (0.2, 1.0, 0.4),
        (1.0, 2.0, 0.2),
        (9.99, 2.0, 0.2),
        (500.0, 0.6, 0.1),
        (0.7, 2.01, 0.6),
        (0.1, 5.0, 0.6),  # smaller than every row: the smallest
        (3.0, 7.0, 0.3),  # thicker than every row: the thickest
    ],
)
def test_the_row_of_a_lesion(volume_ml, slice_mm, sd_log):
    assert find_band(BANDS, volume_ml, slice_mm).sd_log == sd_log


def test_a_row_without_thickness_serves_every_scan_that_no_other_row_does():
    bands = (*BANDS, RepeatabilityBand(sd_log=0.9))
    assert find_band(bands, 50.0, 12.0).sd_log == 0.9
    assert find_band(bands, 50.0, 1.0).sd_log == 0.1


def test_limits_are_asymmetric_in_percent_and_symmetric_as_ratios():
    # Within-subject SD of 0.158 on the log scale: the −35 %/+55 % of tumours on CT.
    band = RepeatabilityBand(sd_log=0.158)
    assert (band.lower_percent, band.upper_percent) == pytest.approx((-35.5, 55.0), abs=0.1)
    assert (1 + band.lower_percent / 100) * (1 + band.upper_percent / 100) == pytest.approx(1)
    assert band.sd(across=True) == ACROSS_FACTOR * 0.158
    assert RepeatabilityBand(sd_log=0.1, sd_log_across=0.3).sd(across=True) == 0.3


def test_contradictions_are_refused():
    with pytest.raises(ValidationError, match="only adds error"):
        RepeatabilityBand(sd_log=0.2, sd_log_across=0.1)
    with pytest.raises(ValidationError, match="a second row from 1 ml"):
        LesionSettings(repeatability=(*BANDS, BANDS[1]))


def protocol(modality, **lesions):
    parts = {"study": {"id": "t", "title": "t", "modality": modality}, "segmentation": {}, "lesions": lesions}
    return Protocol.model_validate(parts | {"endpoints": {"primary": {"measure": "burden_ml"}}})


def test_a_modality_has_its_table_unless_the_protocol_speaks():
    assert protocol("CT").lesions.repeatability == SHIPPED["CT"]
    assert protocol("CT", repeatability_percent=20.0).lesions.repeatability == ()
    assert protocol("CT", repeatability=[{"sd_log": 0.2}]).lesions.repeatability == (RepeatabilityBand(sd_log=0.2),)
    assert protocol("MR").lesions.repeatability == ()
    assert load_protocol("covid_lung_ct").lesions.repeatability == SHIPPED["CT"]
    assert load_protocol("ct_tumour").lesions.repeatability == ()


def test_shipped_errors_fall_with_size_and_never_shrink_across_scanners():
    for bands in SHIPPED.values():
        for thickness in {band.max_slice_mm for band in bands}:
            rows = [band for band in bands if band.max_slice_mm == thickness]
            assert [band.from_ml for band in rows] == sorted(band.from_ml for band in rows)
            assert [band.sd_log for band in rows] == sorted((band.sd_log for band in rows), reverse=True)
        assert all(math.isfinite(band.upper_percent) and band.sd(across=True) >= band.sd_log for band in bands)


def test_a_fault_in_the_table_is_told_by_its_line(tmp_path):
    text = (
        "study: {id: t, title: t, modality: CT}\nsegmentation: {}\nlesions:\n  repeatability:\n    - {sd_log: -1.0}\n"
    )
    (tmp_path / "p.yaml").write_text(text + "endpoints: {primary: {measure: burden_ml}}\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"p\.yaml:5:\d+: lesions\.repeatability"):
        load_protocol(tmp_path / "p.yaml")
