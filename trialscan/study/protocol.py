"""The protocol: every decision of a trial in one validated, frozen value."""

from collections.abc import Iterator

from trialscan.study.conflicts import Conflict, measure_conflicts
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

    def conflicts(self) -> Iterator[Conflict]:
        """Endpoints that measure a class the segmentation does not have."""
        measures: dict[tuple[str, ...], str] = {("endpoints", "primary", "measure"): self.endpoints.primary.measure}
        for index, endpoint in enumerate(self.endpoints.secondary):
            measures["endpoints", "secondary", str(index), "measure"] = endpoint.measure
        return measure_conflicts(measures, self.segmentation.class_names.values())
