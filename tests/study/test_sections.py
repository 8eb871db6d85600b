"""Sections are valid, or do not exist; classes are numbered by first label."""

from datetime import date

import pytest
from pydantic import ValidationError

from trialscan.study import Protocol
from trialscan.study.sections import Endpoint, EndpointSettings, SegmentationSettings, StudySettings, VisitSettings


@pytest.mark.parametrize(
    ("model", "lesion_labels", "reader_labels", "names"),
    [
        (None, {2: "lesion"}, {1: "lesion"}, {1: "lesion"}),
        (None, {2: "lesion"}, {2: "consolidation", 1: "ground_glass"}, {1: "ground_glass", 2: "consolidation"}),
        (None, {2: "lesion"}, {1: "opacity", 2: "opacity"}, {1: "opacity"}),
        (None, {2: "lesion"}, {5: "b", 9: "a", 7: "b", 3: "c"}, {1: "c", 2: "b", 3: "a"}),
        ("net", {3: "b", 2: "a"}, {1: "b"}, {1: "a", 2: "b"}),
        ("net", {2: "opacity", 3: "opacity", 4: "effusion"}, {1: "effusion"}, {1: "opacity", 2: "effusion"}),
    ],
)
def test_class_names_are_unique_and_ordered_by_first_label(
    model: str | None, lesion_labels: dict[int, str], reader_labels: dict[int, str], names: dict[int, str]
):
    settings = SegmentationSettings(model=model, lesion_labels=lesion_labels, reader_lesion_labels=reader_labels)
    assert settings.class_names == names


def test_a_protocol_built_in_python_is_checked_across_sections():
    with pytest.raises(ValidationError, match=r"endpoints\.secondary\.0\.measure: found 'tumour_ml'"):
        Protocol(
            study=StudySettings(id="t", title="T", modality="CT", data_cutoff=date(2024, 1, 31)),
            segmentation=SegmentationSettings(),
            endpoints=EndpointSettings(
                primary=Endpoint(measure="lesion_percent"), secondary=(Endpoint(measure="tumour_ml"),)
            ),
        )


def test_sections_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        VisitSettings().baseline = "BL"  # type: ignore[misc]


@pytest.mark.parametrize("setting", ["sandwich: CR2", "covariance_by_arm: true"])
def test_what_only_an_mmrm_has_is_refused_beside_random_slopes(minimal: str, protocol_faults, setting):
    faults = protocol_faults(f"{minimal}analysis: {{{setting}}}\n")
    assert len(faults) == 1
    assert f"analysis.{setting.split(':')[0]}: set, but the model is random_slope; only an MMRM has it" in faults[0]
    assert protocol_faults(f"{minimal}analysis: {{model: mmrm, {setting}}}\n") == []
