"""The protocol: every decision of a trial in one validated, frozen value."""

from trialscan.study.sections import (
    AnalysisSettings,
    EndpointSettings,
    LesionSettings,
    RegistrationSettings,
    ReportSettings,
    Section,
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
