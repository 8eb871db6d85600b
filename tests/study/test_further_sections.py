"""Further analyses in a protocol: what may be named, and every contradiction at its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.study import dump_protocol, load_protocol

HEAD = """\
study: {id: trial, title: A trial, modality: CT}
visits: {schedule: [{visit: BL, day: 0}, {visit: W4, day: 28}]}
segmentation: {reader_lesion_labels: {1: lesion}}
endpoints: {primary: {measure: burden_ml}, secondary: [{measure: lesion_count}]}
analysis:
"""
EVERYTHING = """\
  model: mmrm
  ancova: [W4]
  responders:
    - {name: partial, measure: burden_ml, visit: W4, at_most: -30}
    - {name: small, measure: lesion_ml, visit: W4, quantity: value, at_most: 5.0, missing: excluded, transform: none}
  counts: [{name: new}, {name: early, visit: W4}]
  events: [{name: growth, measure: burden_ml, above: baseline, at_least_percent: 20.0, at_least: 1.5}]
  subgroups: [sex, {column: age, cuts: [50.0, 65.0]}]
  multiplicity:
    method: gatekeeping
    families: [{endpoints: [primary]}, {endpoints: [secondary1], method: hochberg}]
"""


def test_every_analysis_can_be_named_and_written_out(tmp_path: Path):
    path = tmp_path / "protocol.yaml"
    path.write_text(HEAD + EVERYTHING, encoding="utf-8")
    protocol = load_protocol(path)
    analysis = protocol.analysis
    assert [each.at_most for each in analysis.responders] == [-30.0, 5.0]
    assert [each.visit for each in analysis.counts] == [None, "W4"]
    assert [each.column for each in analysis.subgroups] == ["sex", "age"]
    assert analysis.manifest_columns == ("sex", "age")
    assert analysis.multiplicity.families[1].method == "hochberg"
    lock = tmp_path / "lock.yaml"
    lock.write_text(dump_protocol(protocol), encoding="utf-8")
    assert load_protocol(lock) == protocol


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ancova: [W8]", "6:12: analysis.ancova.0: 'W8' is not in the schedule; expected one of BL, W4"),
        (
            "responders: [{name: r, measure: burden_ml, visit: W4}]",
            "6:16: analysis.responders.0: neither at_most nor at_least is given; a response has one bound",
        ),
        (
            "responders: [{name: r, measure: burden_ml, visit: W4, at_most: 1.0, at_least: 2.0}]",
            "6:16: analysis.responders.0: both at_most and at_least is given; a response has one bound",
        ),
        (
            "responders: [{name: r, measure: burden_ml, visit: W9, at_most: 1.0}]",
            "6:53: analysis.responders.0.visit: 'W9' is not in the schedule; expected one of BL, W4",
        ),
        (
            "responders: [{name: r, measure: tumour_ml, visit: W4, at_most: 1.0}]",
            (
                "6:35: analysis.responders.0.measure: found 'tumour_ml'; expected one of burden_ml, burden_percent, "
                "organ_ml, lesion_count, lesion_ml, lesion_percent"
            ),
        ),
        ("counts: [{name: n}, {name: n}]", "6:23: analysis.counts.1: name 'n' is listed twice"),
        (
            "counts: [{name: n, measure: burden_ml}]",
            "6:31: analysis.counts.0.measure: found 'burden_ml'; expected 'new_lesion_count'",
        ),
        (
            "events: [{name: e, measure: burden_ml}]",
            "6:12: analysis.events.0.at_least_percent: the field is missing and has no default",
        ),
        (
            "events: [{name: e, measure: burden_ml, at_least_percent: 0.0}]",
            "6:60: analysis.events.0.at_least_percent: found 0.0; expected more than 0",
        ),
        ("subgroups: [sex, sex]", "6:20: analysis.subgroups.1: covariate 'sex' is listed twice"),
        (
            "subgroups: [arm]",
            "6:15: analysis.subgroups.0: 'arm' is a column with a meaning of its own and cannot be a covariate",
        ),
        (
            "subgroups: [{column: age, cuts: [65.0, 50.0]}]",
            "6:35: analysis.subgroups.0.cuts: found 65, 50; expected rising numbers",
        ),
        (
            "multiplicity: {method: holm, families: [{endpoints: [primary]}]}",
            "6:42: analysis.multiplicity.families: families belong to method gatekeeping; the method is holm",
        ),
        (
            "multiplicity: {method: gatekeeping, families: [{endpoints: [primary, secondary2]}]}",
            (
                "6:72: analysis.multiplicity.families.0.endpoints.1: there is no endpoint 'secondary2'; expected one "
                "of primary, secondary1"
            ),
        ),
        (
            "multiplicity: {method: gatekeeping, families: [{endpoints: [primary]}, {endpoints: [primary]}]}",
            "6:87: analysis.multiplicity.families.1.endpoints.0: endpoint 'primary' is in a family already",
        ),
        (
            "multiplicity: {method: gatekeeping, families: [{endpoints: [burden_ml]}]}",
            (
                "6:63: analysis.multiplicity.families.0.endpoints.0: found 'burden_ml'; expected an endpoint: primary, "
                "secondary1, secondary2, …"
            ),
        ),
    ],
)
def test_contradictions_are_told_at_their_place(text: str, fault: str, protocol_faults: Callable[[str], list[str]]):
    assert protocol_faults(f"{HEAD}  {text}\n") == [f"protocol.yaml:{fault}"]


def test_a_subgroup_must_be_a_column_of_the_manifest(manifest_faults: Callable[..., list[str]]):
    text = "patient_id,visit,study_day,scan\np1,BL,0,a.nii\n"
    faults = manifest_faults(text, extra="analysis: {subgroups: [sex]}\n")
    assert faults == ["manifest.csv:1: sex: the column is missing; the protocol names it as a covariate"]
