"""A description is read whole or refused with every fault at its line and column."""

from pathlib import Path

import pytest

from trialscan.errors import InputError
from trialscan.training.datasets import read_description
from trialscan.training.datasets.description import Rule

GOOD = """\
name: set
licence: CC0
source: here
labels: {1: lung, 2: opacity}
held_out: {share: 0.2, seed: 3, stratified_by: sex}
sources:
  - table:
      name: one
      masks:
        - {column: organ_mask, any_value: lung}
      attributes: [sex]
      tags: {site: A}
  - pattern:
      name: two
      root: [s3://bucket/a, /mnt/b]
      images: ['{case}_0.nii.gz', '{case}_1.nii.gz']
      masks:
        - {path: '{case}_mask.nii.gz', values: {1: lung, 3: opacity}}
      group: {regex: '^([a-z]+)'}
  - dicom:
      name: three
      series: '{case}/image'
      drawings: '{case}/rtstruct.dcm'
      structures: {GTV-1: opacity}
  - nnunet:
      name: four
"""


def read(tmp_path: Path, text: str) -> object:
    (tmp_path / "dataset.yaml").write_text(text)
    return read_description(tmp_path / "dataset.yaml")


def test_all_kinds_are_read(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(GOOD)
    description = read_description(tmp_path / "dataset.yaml")
    assert [type(source.place).__name__ for source in description.sources] == [
        "TableSource",
        "PatternSource",
        "DicomSource",
        "NnunetSource",
    ]
    assert description.label_of == {"background": 0, "lung": 1, "opacity": 2}
    assert description.sources[1].place.roots == ("s3://bucket/a", "/mnt/b")


FAULTY = [
    (
        "labels: {1: lung, 2: opacity}",
        "labels: {1: lung, 2: lung}",
        "dataset.yaml:4:13: labels.1: 'lung' is also label 2",
    ),
    ("share: 0.2", "share: 1.5", "dataset.yaml:5:19: held_out.share: found 1.5; expected less than 1"),
    ("share: 0.2, ", "", "dataset.yaml:5:11: held_out: expected either groups or share"),
    ("any_value: lung", "any_value: lungs", "label 'lungs' is not among the labels; expected one of background, lung"),
    (", any_value: lung", "", "dataset.yaml:10:11: sources.0.table.masks.0: expected either values"),
    ("      name: two\n", "", "sources.1.pattern.name: expected a name of its own"),
    (
        "attributes:",
        "attribute:",
        "dataset.yaml:11:7: sources.0.table.attribute: unknown field 'attribute'; did you mean",
    ),
    ("^([a-z]+)", "^([a-z]+", "sources.1.pattern.group.regex: not a regular expression"),
    ("^([a-z]+)", "^[a-z]+", "0 groups in parentheses; expected one"),
    ("GTV-1: opacity", "GTV-1: tumour", "label 'tumour' is not among the labels"),
    ("licence: CC0\n", "", "dataset.yaml:1:1: licence: the field is missing"),
    ("  - nnunet:\n      name: four\n", "  - {}\n", "sources.3: 0 kinds; expected one of table, pattern"),
    ("{1: lung, 3: opacity}", "{1: lung, -3: opacity}", "expected 0 or more"),
    ("name: set", "name: a set", "letters, digits, - and _ only"),
]


@pytest.mark.parametrize(("old", "new", "message"), FAULTY)
def test_a_fault_is_told_at_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(caught.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(
            tmp_path, GOOD.replace("licence: CC0\n", "").replace("share: 0.2", "share: 2").replace("name: set", "name:")
        )
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    ("rule", "case", "expected"),
    [
        (Rule(blocks_of=10), "7", "0-9"),
        (Rule(blocks_of=10), "slice_010", "10-19"),
        (Rule(blocks_of=4), "7", "4-7"),
        (Rule(blocks_of=4), "none", None),
        (Rule(regex="^([^_]+)_"), "p1_v2", "p1"),
        (Rule(regex="^([^_]+)_"), "p1", None),
    ],
)
def test_rules(rule: Rule, case: str, expected: str | None) -> None:
    assert rule.of(case) == expected
