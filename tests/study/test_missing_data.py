"""What a protocol may say of intercurrent events and missing data, and the days of events in a manifest."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.study import Protocol, dump_protocol, load_protocol, load_study

FULL = """\
analysis:
  covariates: [age]
  estimand:
    population: all randomised patients
    treatment: drug against placebo, as assigned
    intercurrent_events:
      - {event: discontinuation, strategy: hypothetical, event_day: stop_day}
      - {event: rescue, strategy: treatment_policy, event_day: rescue_day}
    summary: ratio of geometric means
  missing_data:
    strategies: [MAR, JR]
    method: rubin
    imputations: 50
    seed: 7
    tipping_point: {deltas: [-1, 1.5], steps: 10, strategy: JR, shifted_arms: all}
"""


def test_every_key_is_read_and_survives_the_lock(make_protocol: Callable[[str], Protocol], tmp_path: Path):
    protocol = make_protocol(FULL)
    events = protocol.analysis.estimand.intercurrent_events
    assert [(event.strategy, event.event_day) for event in events] == [
        ("hypothetical", "stop_day"),
        ("treatment_policy", "rescue_day"),
    ]
    missing = protocol.analysis.missing_data
    assert (missing.method, missing.imputations, missing.seed) == ("rubin", 50, 7)
    assert missing.tipping_point is not None
    assert missing.tipping_point.deltas == (-1.0, 1.5)
    lock = tmp_path / "protocol.lock.yaml"
    lock.write_text(dump_protocol(protocol), encoding="utf-8")
    assert load_protocol(lock) == protocol


EVENT = "estimand: {intercurrent_events: [%s]}"


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        (
            EVENT % "{event: death, strategy: composite}",
            "intercurrent_events.0.strategy: 'composite' is not carried out by trialscan; expected treatment_policy or",
        ),
        (
            EVENT % "{event: stop, strategy: while_on_treatment}",
            "analysis.estimand.intercurrent_events.0.strategy: 'while_on_treatment' is not carried out",
        ),
        (
            EVENT % "{event: stop, strategy: principal_stratum}",
            "analysis.estimand.intercurrent_events.0.strategy: 'principal_stratum' is not carried out",
        ),
        (EVENT % "{event: stop, strategy: imputed}", "intercurrent_events.0.strategy: found 'imputed'"),
        (
            EVENT % "{event: stop, strategy: hypothetical, event_day: arm}",
            "event_day: 'arm' is a column with a meaning of its own and cannot hold the day of an event",
        ),
        (
            EVENT % "{event: a, strategy: hypothetical}, {event: b, strategy: hypothetical}",
            "intercurrent_events.1.event_day: no event_day, as an event before it; name a column for each",
        ),
        (
            EVENT % "{event: a, strategy: hypothetical}, {event: a, strategy: hypothetical, event_day: x}",
            "intercurrent_events.1.event: event 'a' is listed twice",
        ),
        (
            "covariates: [x], " + EVENT % "{event: a, strategy: hypothetical, event_day: x}",
            "analysis.estimand.intercurrent_events.0.event_day: 'x' is a covariate too; a column means one thing",
        ),
        ("missing_data: {strategies: [MAR, J2R]}", "analysis.missing_data.strategies.1: found 'J2R'"),
        ("missing_data: {strategies: [JR, JR]}", "analysis.missing_data.strategies.1: strategy 'JR' is listed twice"),
        ("missing_data: {imputations: 1}", "analysis.missing_data.imputations: found 1; expected 2 or more"),
        (
            "missing_data: {tipping_point: {deltas: [1, -1]}}",
            "analysis.missing_data.tipping_point.deltas: found [1, -1]; expected a rising pair",
        ),
    ],
)
def test_faults_stand_at_their_field(minimal: str, protocol_faults: Callable[[str], list[str]], setting, fault):
    faults = protocol_faults(f"{minimal}analysis: {{{setting}}}\n")
    assert len(faults) == 1
    assert faults[0].startswith("protocol.yaml:9:")
    assert fault in faults[0]


STOP = "analysis: {estimand: {intercurrent_events: [{event: stop, strategy: hypothetical, event_day: stop_day}]}}\n"


def test_a_day_in_the_manifest_travels_like_a_covariate(make_protocol, trial_folder: Path):
    manifest = trial_folder / "manifest.csv"
    manifest.write_text(
        "patient_id,visit,study_day,scan,stop_day\np1,BL,0,a.nii,30\np1,W4,28,b.nii,30\np2,BL,0,c.nii,\n",
        encoding="utf-8",
    )
    study = load_study(manifest, make_protocol(STOP))
    assert study.covariate_names == ("stop_day",)
    assert [patient.visits[0].covariates["stop_day"] for patient in study.patients] == ["30", ""]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            "patient_id,visit,study_day,scan\np1,BL,0,a.nii\n",
            ["1: stop_day: the column is missing; the protocol names it as the day of 'stop'"],
        ),
        (
            "patient_id,visit,study_day,scan,stop_day\np1,BL,0,a.nii,2024-03-01\n",
            ["2: stop_day: '2024-03-01' is not a whole number of days"],
        ),
        (
            "patient_id,visit,study_day,scan,stop_day\np1,BL,0,a.nii,30\np1,W4,28,b.nii,\n",
            ["3: stop_day: an empty cell, but line 2 has '30' for patient p1; all rows need the same"],
        ),
        (
            "patient_id,visit,study_day,scan,stop_day\np1,BL,0,a.nii,\np1,W4,28,b.nii,31\n",
            ["3: stop_day: '31', but line 2 has an empty cell for patient p1; all rows need the same"],
        ),
    ],
)
def test_days_that_cannot_be_used(manifest_faults: Callable[..., list[str]], rows: str, expected: list[str]):
    assert manifest_faults(rows, extra=STOP) == [f"manifest.csv:{fault}" for fault in expected]
