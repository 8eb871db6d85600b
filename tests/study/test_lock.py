"""A protocol written out reads back as the same protocol, and always as the same bytes."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trialscan.study import Protocol, dump_protocol, load_protocol
from trialscan.study.sections import (
    Endpoint,
    EndpointSettings,
    LesionSettings,
    ReportSettings,
    ScheduledVisit,
    SegmentationSettings,
    StudySettings,
    VisitSettings,
)

SHIPPED = ["chest_xray", "covid_ct_slice", "covid_lung_ct", "ct_tumour", "ms_flair_mri", "ultrasound_2d"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_protocol_survives_the_round_trip(name: str, tmp_path: Path):
    protocol = load_protocol(name)
    lock = tmp_path / "protocol.lock.yaml"
    lock.write_text(dump_protocol(protocol), encoding="utf-8")
    assert load_protocol(lock) == protocol
    assert dump_protocol(load_protocol(lock)) == lock.read_text(encoding="utf-8")


def test_every_field_is_written_in_the_order_of_the_types(tmp_path: Path, minimal: str):
    path = tmp_path / "protocol.yaml"
    text = minimal.replace("modality: CT", "modality: US") + "lesions: {repeatability_percent: 30.0}\n"
    path.write_text(text, encoding="utf-8")
    assert (
        dump_protocol(load_protocol(path))
        == """\
study:
  id: trial
  title: A trial
  modality: US
  sponsor: null
  data_cutoff: null
visits:
  baseline: first
  schedule: []
segmentation:
  model: null
  weights_sha256: null
  bundle_sha256: null
  mirroring: none
  organ_name: organ
  organ_labels: [1]
  lesion_labels:
    2: lesion
  reader_lesion_labels:
    1: lesion
  units: intensity
  intensity_range: null
  limits:
    max_slice_thickness_mm: null
    min_organ_ml: null
    max_organ_ml: null
    max_outside_organ_percent: null
    max_voxels: null
    min_mirror_dice: null
    max_outlier_ratio: null
    max_organ_change_percent: null
    max_burden_change_points: null
registration:
  method: deformable
  engine: simpleitk
  spacing_mm: 2.0
  max_stretch_percent: 0.0
  check_backwards: false
  limits:
    min_organ_dice: 0.9
    min_organ_dice_linear: null
    min_local_correlation: null
    max_folding_percent: 0.5
lesions:
  minimum_ml: 0.1
  minimum_pixels: 25
  matching_tolerance_mm: 5.0
  repeatability_percent: 30.0
  repeatability: []
  repeatability_common: 0.0
endpoints:
  primary:
    measure: burden_ml
    transform: log1p
  secondary: []
analysis:
  model: random_slope
  covariance: [us, toeph, ar1h, csh, cs]
  covariance_by_arm: false
  df: kenward-roger
  information: null
  sandwich: null
  covariates: []
  reference_arm: null
  alpha: 0.05
  min_patients_per_arm: 3
  ancova: null
  responders: []
  counts: []
  events: []
  subgroups: []
  multiplicity:
    method: none
    families: []
  estimand:
    population: all patients with an arm and a baseline value
    treatment: null
    intercurrent_events: []
    summary: null
  missing_data:
    strategies: []
    method: conditional_mean
    imputations: 100
    seed: 1
    tipping_point: null
report:
  window: null
  notice: Not for diagnosis.
"""
    )


def test_equal_protocols_are_written_alike_whatever_the_order_of_their_labels():
    def protocol(labels: dict[int, str]) -> Protocol:
        return Protocol(
            study=StudySettings(id="t", title="T", modality="CT"),
            segmentation=SegmentationSettings(reader_lesion_labels=labels),
            endpoints=EndpointSettings(primary=Endpoint(measure="burden_ml")),
        )

    one, other = protocol({1: "a", 10: "b", 2: "c"}), protocol({10: "b", 2: "c", 1: "a"})
    assert one == other
    assert dump_protocol(one) == dump_protocol(other)


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs"), include_characters="\n\t"), min_size=1).filter(
    lambda text: text.strip() == text
)


@settings(deadline=None, derandomize=True, database=None)
@given(
    title=TEXT,
    notice=TEXT,
    cutoff=st.none() | st.dates(),
    minimum_ml=st.floats(0, 1e300),
    tolerance_mm=st.floats(1e-300, 1e300),
    day=st.integers(-1000, 1000),
    visit=st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True),
    class_name=st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True).filter(lambda n: n not in ("organ", "burden")),
)
def test_any_values_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    title: str,
    notice: str,
    cutoff: date | None,
    minimum_ml: float,
    tolerance_mm: float,
    day: int,
    visit: str,
    class_name: str,
):
    protocol = Protocol(
        study=StudySettings(id=visit, title=title, modality="US", data_cutoff=cutoff),
        visits=VisitSettings(schedule=(ScheduledVisit(visit=visit, day=day, window_days=(-3, 3)),)),
        segmentation=SegmentationSettings(reader_lesion_labels={1: class_name, 200: "other"}),
        lesions=LesionSettings(minimum_ml=minimum_ml, matching_tolerance_mm=tolerance_mm),
        endpoints=EndpointSettings(primary=Endpoint(measure=f"{class_name}_ml", transform="none")),
        report=ReportSettings(window=(-minimum_ml, tolerance_mm), notice=notice),
    )
    lock = tmp_path_factory.mktemp("lock") / "protocol.lock.yaml"
    lock.write_text(dump_protocol(protocol), encoding="utf-8", newline="")
    assert load_protocol(lock) == protocol
