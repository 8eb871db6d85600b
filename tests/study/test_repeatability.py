"""The protocol's table of measurement error: the row of a lesion, what contradicts itself, and what a modality has."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from trialscan.errors import ProtocolError
from trialscan.study import LesionSettings, Modality, Protocol, RepeatabilityBand, dump_protocol, load_protocol
from trialscan.study.repeatability import ACROSS_FACTOR, COEFFICIENT, find_band, find_share_band
from trialscan.study.repeatability_tables import SHIPPED

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
    for modality in Modality:
        assert protocol(modality).lesions.repeatability == SHIPPED[modality]
    assert load_protocol("covid_lung_ct").lesions.repeatability == SHIPPED["CT"]
    assert load_protocol("ct_tumour").lesions.repeatability == ()


def test_shipped_errors_fall_with_size_and_never_shrink_across_scanners():
    for bands in SHIPPED.values():
        for thickness in {band.max_slice_mm for band in bands}:
            rows = [band for band in bands if band.max_slice_mm == thickness and band.from_percent is None]
            assert [band.from_ml for band in rows] == sorted(band.from_ml for band in rows)
            assert [band.sd_log for band in rows] == sorted((band.sd_log for band in rows), reverse=True)
        assert all(math.isfinite(band.upper_percent) and band.sd(across=True) >= band.sd_log for band in bands)
        assert all(band.source for band in bands)


def test_published_limits_are_those_of_the_tables():
    # Lee 2018, one reader: +30.2 and +27.7 %; two readers: +44.1 %, differences over the mean of both readings.
    nodule = find_band(SHIPPED["US"], 0.5, 1.0)
    assert 2 * math.tanh(COEFFICIENT * nodule.sd_log / 2) == pytest.approx((0.302 + 0.277) / 2, abs=0.003)
    assert 2 * math.tanh(COEFFICIENT * nodule.sd(across=True) / 2) == pytest.approx(0.441, abs=0.003)
    # Hatt 2010, best method: -21 to +31 %.
    tumour = find_band(SHIPPED["PET"], 50.0, 4.0)
    assert (tumour.lower_percent, tumour.upper_percent) == pytest.approx((-21, 31), abs=3)
    # Filippi 1999: total loads differ by a coefficient of variation of 18.5 % between scanners.
    assert find_band(SHIPPED["MR"], 20.0, 3.0).sd(across=True) == pytest.approx(0.185, abs=0.001)
    # Shinohara 2017: one lesion, outlined on four scanners.
    one = np.log([0.059, 0.053, 0.033, 0.053])
    assert find_band(SHIPPED["MR"], 0.05, 1.0).sd(across=True) == pytest.approx(one.std(ddof=1), abs=0.02)


def test_lesions_without_millilitres_have_rows_of_their_own():
    shares = tuple(RepeatabilityBand(from_percent=size, sd_log=sd) for size, sd in [(1.0, 0.3), (5.0, 0.1)])
    assert [find_share_band((*BANDS, *shares), size).sd_log for size in (0.2, 1.0, 4.9, 5.0)] == [0.3, 0.3, 0.3, 0.1]
    assert find_band((*shares, *BANDS), 0.2, 1.0).sd_log == 0.4
    assert find_band(shares, 1.0, 1.0) is None
    assert find_share_band(BANDS, 1.0) is None
    with pytest.raises(ValidationError, match=r"a second row from 5 % of the organ"):
        LesionSettings(repeatability=(*shares, shares[1]))
    with pytest.raises(ValidationError, match="neither from_ml nor max_slice_mm"):
        RepeatabilityBand(from_percent=1.0, max_slice_mm=2.0, sd_log=0.2)


def test_the_lock_names_the_source_of_every_figure():
    text = dump_protocol(load_protocol("ms_flair_mri"))
    assert text.count("Filippi 1999") >= len(SHIPPED["MR"])
    assert "assumed" in dump_protocol(load_protocol("ultrasound_2d"))


def test_a_fault_in_the_table_is_told_by_its_line(tmp_path):
    text = (
        "study: {id: t, title: t, modality: CT}\nsegmentation: {}\nlesions:\n  repeatability:\n    - {sd_log: -1.0}\n"
    )
    (tmp_path / "p.yaml").write_text(text + "endpoints: {primary: {measure: burden_ml}}\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"p\.yaml:5:\d+: lesions\.repeatability"):
        load_protocol(tmp_path / "p.yaml")
