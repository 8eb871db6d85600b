"""The protocol: every decision of a trial in one validated, frozen value."""

from collections.abc import Iterator
from typing import Self

from pydantic import model_validator

from trialscan.study.conflicts import Conflict, measure_conflicts
from trialscan.study.repeatability_tables import SHIPPED, SHIPPED_COMMON
from trialscan.study.section import Section
from trialscan.study.sections import (
    AnalysisSettings,
    EndpointSettings,
    LesionSettings,
    RegistrationSettings,
    ReportSettings,
    SegmentationSettings,
    StudySettings,
    VisitSettings,
)

_REPEATABILITY = {"repeatability", "repeatability_percent"}


class Protocol(Section):
    """All sections together; read from YAML by `load_protocol`."""

    study: StudySettings
    visits: VisitSettings = VisitSettings()
    segmentation: SegmentationSettings
    registration: RegistrationSettings = RegistrationSettings()
    lesions: LesionSettings = LesionSettings()
    endpoints: EndpointSettings
    analysis: AnalysisSettings = AnalysisSettings()
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _take_shipped_repeatability(self) -> Self:
        """The modality's own table of measurement error, unless the protocol says how well sizes repeat."""
        modality = self.study.modality
        if not self.lesions.model_fields_set & _REPEATABILITY and modality in SHIPPED:
            shipped = {"repeatability": SHIPPED[modality], "repeatability_common": SHIPPED_COMMON[modality]}
            # Not yet handed to anyone: the last step of construction, which a frozen model cannot take otherwise.
            object.__setattr__(self, "lesions", self.lesions.model_copy(update=shipped))
        return self

    def conflicts(self) -> Iterator[Conflict]:
        """Measures of classes, visits and endpoints that other sections do not have."""
        measures: dict[tuple[str, ...], str] = {("endpoints", "primary", "measure"): self.endpoints.primary.measure}
        for index, endpoint in enumerate(self.endpoints.secondary):
            measures["endpoints", "secondary", str(index), "measure"] = endpoint.measure
        for index, responder in enumerate(self.analysis.responders):
            measures["analysis", "responders", str(index), "measure"] = responder.measure
        for index, event in enumerate(self.analysis.events):
            measures["analysis", "events", str(index), "measure"] = event.measure
        yield from measure_conflicts(measures, self.segmentation.class_names.values())
        planned = [entry.visit for entry in self.visits.schedule]
        for path, visit in self._analysed_visits().items():
            if planned and visit not in planned:
                yield Conflict(path, f"{visit!r} is not in the schedule; expected one of {', '.join(planned)}")
        yield from self._unknown_endpoints()

    def _analysed_visits(self) -> dict[tuple[str, ...], str]:
        named: dict[tuple[str, ...], str] = {}
        for index, visit in enumerate(self.analysis.ancova or ()):
            named["analysis", "ancova", str(index)] = visit
        for index, responder in enumerate(self.analysis.responders):
            named["analysis", "responders", str(index), "visit"] = responder.visit
        for index, count in enumerate(self.analysis.counts):
            if count.visit is not None:
                named["analysis", "counts", str(index), "visit"] = count.visit
        return named

    def _unknown_endpoints(self) -> Iterator[Conflict]:
        known = ["primary", *(f"secondary{number + 1}" for number in range(len(self.endpoints.secondary)))]
        for index, family in enumerate(self.analysis.multiplicity.families):
            for place, name in enumerate(family.endpoints):
                if name not in known:
                    path = ("analysis", "multiplicity", "families", str(index), "endpoints", str(place))
                    yield Conflict(path, f"there is no endpoint {name!r}; expected one of {', '.join(known)}")
