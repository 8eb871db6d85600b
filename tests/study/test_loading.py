"""Every fault of a protocol, at its line and column."""

from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.errors import ProtocolError
from trialscan.study import load_protocol
from trialscan.study.sections import Modality

Check = Callable[[str | bytes], list[str]]

# (text to replace in the minimal protocol, its replacement, the one fault expected)
ONE_FAULT = [
    ("  id: trial\n", "", "1:1: study.id: the field is missing and has no default"),
    ("  id: trial\n", "  id: a b\n", "2:7: study.id: found 'a b'; expected letters, digits, - and _ only"),
    ("  id: trial\n", "  id: trial\n  idd: x\n", "3:3: study.idd: unknown field 'idd'; did you mean 'id'?"),
    (
        "  id: trial\n",
        "  id: trial\n  zzz: x\n",
        "3:3: study.zzz: unknown field 'zzz'; known here: id, title, modality, sponsor, data_cutoff",
    ),
    ("  title: A trial\n", "  title: 12\n", "3:10: study.title: found 12; expected text (put it in quotes)"),
    ("  title: A trial\n", "  title: ''\n", "3:10: study.title: found ''; expected some text"),
    ("  title: A trial\n", "  title: true\n", "3:10: study.title: found true; expected text (put it in quotes)"),
    (
        "modality: CT",
        "modality: CAT",
        "4:13: study.modality: found 'CAT'; expected 'CT', 'MR', 'PET', 'XR' or 'US'",
    ),
    (
        "modality: CT\n",
        "modality: CT\n  data_cutoff: 31.12.2024\n",
        "5:16: study.data_cutoff: found '31.12.2024'; expected a date as YYYY-MM-DD",
    ),
    (
        "modality: CT\n",
        "modality: CT\n  data_cutoff: 2024-13-45\n",
        "5:16: study.data_cutoff: '2024-13-45' cannot be read as timestamp",
    ),
    (
        "modality: CT\n",
        "modality: CT\n  data_cutoff: 20241231\n",
        "5:16: study.data_cutoff: found 20241231; expected a date as YYYY-MM-DD",
    ),
    (
        "modality: CT\n",
        "modality: CT\n  id: again\n",
        "5:3: study.id: the field is already set in line 2; keep one of the two",
    ),
    (
        "segmentation:\n",
        "lesions: 5\nsegmentation:\n",
        "5:10: lesions: found 5; expected a section with fields",
    ),
    ("segmentation:\n", "lesions:\nsegmentation:\n", "5:1: lesions: found nothing; expected a section with fields"),
    (
        "segmentation:\n",
        "lesions: {minimum_ml: '0.1'}\nsegmentation:\n",
        "5:23: lesions.minimum_ml: found '0.1'; expected a number",
    ),
    (
        "segmentation:\n",
        "lesions: {minimum_ml: .inf}\nsegmentation:\n",
        "5:23: lesions.minimum_ml: found inf; expected a finite number",
    ),
    (
        "segmentation:\n",
        "lesions: {minimum_ml: -1}\nsegmentation:\n",
        "5:23: lesions.minimum_ml: found -1; expected 0 or more",
    ),
    (
        "segmentation:\n",
        "lesions: {minimum_pixels: 2.5}\nsegmentation:\n",
        "5:27: lesions.minimum_pixels: found 2.5; expected a whole number",
    ),
    (
        "segmentation:\n",
        "analysis: {alpha: 5}\nsegmentation:\n",
        "5:19: analysis.alpha: found 5; expected less than 1",
    ),
    (
        "segmentation:\n",
        "analysis: {covariates: sex}\nsegmentation:\n",
        "5:24: analysis.covariates: found 'sex'; expected a list, as in [1, 2]",
    ),
    (
        "segmentation:\n",
        "analysis: {covariates: [sex, age, sex]}\nsegmentation:\n",
        "5:35: analysis.covariates.2: covariate 'sex' is listed twice",
    ),
    (
        "segmentation:\n",
        "analysis: {covariates: [sex, Arm]}\nsegmentation:\n",
        "5:30: analysis.covariates.1: 'Arm' is a column with a meaning of its own and cannot be a covariate",
    ),
    (
        "segmentation:\n",
        "report: {window: [40]}\nsegmentation:\n",
        "5:18: report.window: found a list of 1; expected another item",
    ),
    (
        "segmentation:\n",
        "report: {window: [40, 400, 3]}\nsegmentation:\n",
        "5:18: report.window: found a list of 3; expected 2 items at most",
    ),
    (
        "segmentation:\n",
        "registration: {limits: {min_organ_dice: 90}}\nsegmentation:\n",
        "5:41: registration.limits.min_organ_dice: found 90; expected 1 or less",
    ),
    (
        "segmentation:\n",
        "registration: {limits: {min_organ_dise: 0.9}}\nsegmentation:\n",
        "5:25: registration.limits.min_organ_dise: unknown field 'min_organ_dise'; did you mean 'min_organ_dice'?",
    ),
    (
        "segmentation:\n",
        "visits: {baseline: BL, schedule: [{visit: W0, day: 0}, {visit: W4, day: 28}]}\nsegmentation:\n",
        "5:20: visits.baseline: 'BL' is not in the schedule; expected 'first' or one of W0, W4",
    ),
    (
        "segmentation:\n",
        "visits:\n  schedule:\n    - {visit: W0, day: 0}\n    - {visit: W0, day: 28}\nsegmentation:\n",
        "8:15: visits.schedule.1.visit: visit 'W0' is scheduled twice; name each visit once",
    ),
    (
        "segmentation:\n",
        "visits:\n  schedule:\n    - {visit: W0, day: 0}\n    - {visit: W4, day: 0}\nsegmentation:\n",
        "8:24: visits.schedule.1.day: day 0 follows day 0 of visit 'W0'; expected rising days",
    ),
    (
        "segmentation:\n",
        "visits:\n  schedule:\n    - visit: W0\nsegmentation:\n",
        "7:7: visits.schedule.0.day: the field is missing and has no default",
    ),
    (
        "segmentation:\n",
        "visits:\n  schedule:\n    - {visit: W0, day: 0, windows_days: [-3, 3]}\nsegmentation:\n",
        "7:27: visits.schedule.0.windows_days: unknown field 'windows_days'; did you mean 'window_days'?",
    ),
    (
        "segmentation:\n",
        "visits:\n  schedule:\n    - {visit: W0, day: 0, window_days: [1, 3]}\nsegmentation:\n",
        (
            "7:40: visits.schedule.0.window_days: found [1, 3]; expected days before (0 or less) and after "
            "(0 or more), as in [-3, 3]"
        ),
    ),
    (
        "{1: lesion}",
        "{one: lesion}",
        "6:26: segmentation.reader_lesion_labels.one: found 'one'; expected a whole number",
    ),
    ("{1: lesion}", "{0: lesion}", "6:26: segmentation.reader_lesion_labels.0: found '0'; expected 1 or more"),
    ("{1: lesion}", "{256: lesion}", "6:26: segmentation.reader_lesion_labels.256: found '256'; expected 255 or less"),
    ("{1: lesion}", "{}", "6:25: segmentation.reader_lesion_labels: found no fields; expected 1 or more"),
    (
        "{1: lesion}",
        "[lesion]",
        "6:25: segmentation.reader_lesion_labels: found a list of 1; expected fields, as in '1: name'",
    ),
    (
        "{1: lesion}",
        "{1: Lesion A}",
        (
            "6:29: segmentation.reader_lesion_labels.1: found 'Lesion A'; expected small letters, digits and _ only, "
            "starting with a letter"
        ),
    ),
    (
        "{1: lesion}",
        "{1: organ}",
        (
            "6:29: segmentation.reader_lesion_labels.1: a class may not be called 'organ', because organ_ml is "
            "a column of its own"
        ),
    ),
    (
        "{1: lesion}\n",
        "{1: lesion}\n  intensity_range: [600, -1024]\n",
        "7:20: segmentation.intensity_range: found [600, -1024]; expected a rising pair, as in [-1024, 600]",
    ),
    (
        "{1: lesion}\n",
        "{1: lesion}\n  organ_labels: [1, 1]\n",
        "7:21: segmentation.organ_labels.1: label '1' is listed twice",
    ),
    (
        "{1: lesion}\n",
        "{1: lesion}\n  model: net\n  organ_labels: [1, 2]\n",
        "5:1: segmentation.lesion_labels.2: label 2 is in organ_labels too; a label means one thing",
    ),
    (
        "{1: lesion}\n",
        "{1: lesion}\n  model: net\n  lesion_labels: {2: opacity}\n",
        "6:29: segmentation.reader_lesion_labels.1: 'lesion' is not a class of the model; expected one of opacity",
    ),
    (
        "{1: lesion}\n",
        "{1: lesion}\n  model: ../net\n",
        "7:10: segmentation.model: found '../net'; expected letters, digits, - and _ only",
    ),
    (
        "{1: lesion}\n",
        "{1: lesion}\n  weights_sha256: 12ab\n",
        "7:19: segmentation.weights_sha256: found '12ab'; expected a sha256 digest: 64 characters 0-9 and a-f",
    ),
    (
        "{1: lesion}\n",
        "{1: lesion}\n  limits: {min_organ_ml: 9000, max_organ_ml: 1500}\n",
        "7:46: segmentation.limits.max_organ_ml: 1500.0 is not above min_organ_ml 9000.0",
    ),
    (
        "measure: burden_ml",
        "measure: volume",
        (
            "8:22: endpoints.primary.measure: found 'volume'; expected a measure such as burden_ml, burden_percent or "
            "lesion_count"
        ),
    ),
    (
        "measure: burden_ml",
        "measure: tumour_ml",
        (
            "8:22: endpoints.primary.measure: found 'tumour_ml'; expected one of burden_ml, burden_percent, organ_ml, "
            "lesion_count, lesion_ml, lesion_percent"
        ),
    ),
    (
        "{measure: burden_ml}",
        "{measure: burden_ml, transform: log}",
        "8:44: endpoints.primary.transform: found 'log'; expected 'log1p' or 'none'",
    ),
    (
        "{measure: burden_ml}\n",
        "{measure: burden_ml}\n  secondary:\n    - {measure: lesion_ml}\n    - {measure: burden_ml}\n",
        "11:7: endpoints.secondary.1: burden_ml with transform log1p is already an endpoint",
    ),
    ("  id: trial\n", "  id: &x trial\n", "2:7: study.id: anchor &x is not allowed; write the value out in each place"),
    ("  id: trial\n", "  id: !!bool x\n", "2:7: study.id: 'x' cannot be read as bool"),
    ("  id: trial\n", "  id: !!binary dHJpYWw=\n", "2:7: study.id: 'dHJpYWw=' cannot be read as binary"),
    (
        "  id: trial\n",
        "  id: !!python/name:os.system x\n",
        "2:7: study.id: 'x' cannot be read as python/name:os.system",
    ),
    ("  title: A trial\n", '  title: "A\\x00"\n', "3:10: study.title: 'A\\x00' cannot be read as str"),
    ("  title: A trial\n", '  title: "A\\ud800"\n', "3:10: study.title: 'A\\ud800' cannot be read as str"),
    ("  id: trial\n", "  id: trial\n  ? [a, b]\n  : c\n", "3:5: study: a field's name must be plain text"),
]


@pytest.mark.parametrize(("old", "new", "fault"), ONE_FAULT)
def test_one_fault_is_told_once_at_its_place(protocol_faults: Check, minimal: str, old: str, new: str, fault: str):
    assert protocol_faults(minimal.replace(old, new, 1)) == [f"protocol.yaml:{fault}"]


def test_a_misspelt_section_is_unknown_and_missing(protocol_faults: Check, minimal: str):
    assert protocol_faults(minimal.replace("study:", "studdy:")) == [
        "protocol.yaml:1:1: studdy: unknown field 'studdy'; did you mean 'study'?",
        "protocol.yaml:1:1: study: the field is missing and has no default",
    ]


def test_every_fault_is_told_at_once_in_the_order_of_the_file(protocol_faults: Check):
    text = """\
# A comment shifts the lines.
study:
  id: NO
  title: 3
  modalty: CT
visits:
  schedule:
    - {visit: W4, day: 28}
    - {visit: W4, day: 7}
segmentation:
  reader_lesion_labels: {1: lesion}
  limits: {max_slice_thickness_mm: 0}
endpoints:
  primary: {measure: tumour_ml, transform: none}
  primary: {measure: burden_ml}
  secondary: [{measure: lesion_ml}, {measure: nodule_percent}]
analysis:
  alpha: "0.05"
"""
    assert [line.split(": ", 2)[:2] for line in protocol_faults(text)] == [
        ["protocol.yaml:2:1", "study.modality"],
        ["protocol.yaml:4:10", "study.title"],
        ["protocol.yaml:5:3", "study.modalty"],
        ["protocol.yaml:9:15", "visits.schedule.1.visit"],
        ["protocol.yaml:9:24", "visits.schedule.1.day"],
        ["protocol.yaml:12:36", "segmentation.limits.max_slice_thickness_mm"],
        ["protocol.yaml:14:22", "endpoints.primary.measure"],
        ["protocol.yaml:15:3", "endpoints.primary"],
        ["protocol.yaml:16:47", "endpoints.secondary.1.measure"],
        ["protocol.yaml:18:10", "analysis.alpha"],
    ]


UNREADABLE = [
    (b"", "protocol.yaml:1:1: the file is empty; expected the sections of a protocol, as in 'study:'"),
    (b"# nothing\n", "protocol.yaml:1:1: the file is empty; expected the sections of a protocol, as in 'study:'"),
    (b"- a\n- b\n", "protocol.yaml:1:1: the file holds no fields; expected the sections of a protocol, as in 'study:'"),
    (b"text", "protocol.yaml:1:1: the file holds no fields; expected the sections of a protocol, as in 'study:'"),
    (
        b"study: [1\nb: 2\n",
        "protocol.yaml:2:2: not valid YAML: expected ',' or ']', but got ':', while parsing a flow sequence",
    ),
    (
        b"study:\n\tid: x\n",
        (
            "protocol.yaml:2:1: not valid YAML: found character '\\t' that cannot start any token, "
            "while scanning for the next token"
        ),
    ),
    (
        b"a: 1\n---\nb: 2\n",
        "protocol.yaml:2:1: not valid YAML: but found another document, expected a single document in the stream",
    ),
    (b"a: *b\n", "protocol.yaml:1:4: not valid YAML: found undefined alias 'b'"),
    (b"a: 1\nb: \x01\n", "protocol.yaml:2:4: character 1 is not allowed in YAML; remove it"),
    (b"a: 1\nb: \xe9\n", "protocol.yaml:2: byte 0xe9 is not UTF-8 text; save the file in the encoding UTF-8"),
    (b"\xef\xbb\xbfa: \xe9", "protocol.yaml:1: byte 0xe9 is not UTF-8 text; save the file in the encoding UTF-8"),
    (b"a: " + b"[" * 600, "protocol.yaml:1:1: nested too deeply"),
]


@pytest.mark.parametrize(("content", "fault"), UNREADABLE)
def test_a_file_that_is_no_yaml_mapping_is_refused(protocol_faults: Check, content: bytes, fault: str):
    assert protocol_faults(content) == [fault]


def test_deep_nesting_that_yaml_accepts_is_refused(protocol_faults: Check, minimal: str):
    text = minimal.replace("A trial", "[" * 60 + "]" * 60)
    assert protocol_faults(text) == [
        "protocol.yaml:3:10: study.title: found a list of 1; expected text (put it in quotes)",
        f"protocol.yaml:3:25: study.title.{'.'.join('0' * 15)}: nested too deeply",
    ]


def test_an_endless_alias_is_refused(protocol_faults: Check, minimal: str):
    assert protocol_faults(minimal.replace("A trial", "&x [*x]")) == [
        "protocol.yaml:3:10: study.title: anchor &x is not allowed; write the value out in each place"
    ]


def test_a_repeated_anchor_is_told_twice(protocol_faults: Check, minimal: str):
    text = minimal.replace("id: trial", "id: &x trial").replace("A trial", "&x A trial")
    assert [fault.split(": ")[0] for fault in protocol_faults(text)] == ["protocol.yaml:2:7", "protocol.yaml:3:10"]


def test_words_that_older_yaml_converts_stay_text(tmp_path: Path, minimal: str):
    path = tmp_path / "protocol.yaml"
    text = minimal.replace("id: trial", "id: NO").replace("A trial", "12:30").replace("CT", "CT\n  sponsor: yes")
    path.write_text(text, encoding="utf-8")
    study = load_protocol(path).study
    assert (study.id, study.title, study.sponsor, study.modality) == ("NO", "12:30", "yes", Modality.CT)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(protocol_faults: Check, minimal: str):
    assert protocol_faults(b"\xef\xbb\xbf" + minimal.replace("\n", "\r\n").encode()) == []


def test_a_missing_file_and_a_folder_are_protocol_errors(tmp_path: Path):
    with pytest.raises(ProtocolError, match="is neither a file nor a shipped protocol; Shipped: chest_xray"):
        load_protocol(tmp_path / "absent.yaml")
    with pytest.raises(ProtocolError, match="is a folder"):
        load_protocol(tmp_path)
