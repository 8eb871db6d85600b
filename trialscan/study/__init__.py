"""What a trial is: protocol, manifest, patients, visits and arms, parsed once and frozen."""

from trialscan.study.entities import Arms, Patient, Scan, Study, Visit
from trialscan.study.further_sections import (
    NEW_LESION_COUNT,
    CountSettings,
    EventSettings,
    FamilySettings,
    MultiplicitySettings,
    ResponderSettings,
    SubgroupSettings,
)
from trialscan.study.loading import load_protocol
from trialscan.study.lock import dump_protocol
from trialscan.study.manifest import load_study
from trialscan.study.missing_data import (
    EstimandSettings,
    IntercurrentEvent,
    MissingDataSettings,
    TippingPointSettings,
)
from trialscan.study.protocol import Protocol
from trialscan.study.repeatability import RepeatabilityBand
from trialscan.study.sections import (
    AnalysisSettings,
    Endpoint,
    EndpointSettings,
    LesionSettings,
    Modality,
    RegistrationLimits,
    RegistrationSettings,
    ReportSettings,
    ScheduledVisit,
    SegmentationLimits,
    SegmentationSettings,
    StudySettings,
    VisitSettings,
)
from trialscan.study.shipped import find_protocol, resolve_model

__all__ = [
    "NEW_LESION_COUNT",
    "AnalysisSettings",
    "Arms",
    "CountSettings",
    "Endpoint",
    "EndpointSettings",
    "EstimandSettings",
    "EventSettings",
    "FamilySettings",
    "IntercurrentEvent",
    "LesionSettings",
    "MissingDataSettings",
    "Modality",
    "MultiplicitySettings",
    "Patient",
    "Protocol",
    "RegistrationLimits",
    "RegistrationSettings",
    "RepeatabilityBand",
    "ReportSettings",
    "ResponderSettings",
    "Scan",
    "ScheduledVisit",
    "SegmentationLimits",
    "SegmentationSettings",
    "Study",
    "StudySettings",
    "SubgroupSettings",
    "TippingPointSettings",
    "Visit",
    "VisitSettings",
    "dump_protocol",
    "find_protocol",
    "load_protocol",
    "load_study",
    "resolve_model",
]
