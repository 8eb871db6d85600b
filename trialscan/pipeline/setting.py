"""All that a run is planned from, gathered once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trialscan.pipeline.sources import SourceDigests
from trialscan.study import Patient, Protocol, Scan, Study, Visit


@dataclass(frozen=True)
class Model:
    """The network a run uses: its folder, kind, and the sha256 of all in it that decides its answer.

    `weights_sha256` is the weights' alone, where the bundle names it. `trusted`: the user lets its own code run.
    """

    bundle: Path
    kind: str
    sha256: str
    weights_sha256: str | None
    trusted: bool


@dataclass(frozen=True)
class VisitInput:
    """One visit, its scan's digest, and whether it is the baseline; `unreadable` says why there is no digest."""

    visit: Visit
    image_sha256: str | None
    is_baseline: bool
    unreadable: str = ""

    @property
    def subject(self) -> str:
        """`<patient>/<visit>`."""
        return f"{self.visit.patient_id}/{self.visit.visit}"

    @property
    def folder(self) -> str:
        """Folder of this scan's results, relative to the run."""
        return f"patients/{self.subject}"


@dataclass(frozen=True)
class Setting:
    """The study, its protocol, the digests of its scans, the model and the kind of device."""

    study: Study
    protocol: Protocol
    protocol_sha256: str
    digests: Mapping[Scan, SourceDigests]
    model: Model | None
    device: Literal["cpu", "cuda"]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Lesion classes in the order of their numbers, each once."""
        names = self.protocol.segmentation.class_names
        return tuple(dict.fromkeys(names[number] for number in sorted(names)))

    def entries(self, patient: Patient) -> tuple[VisitInput, ...]:
        """A patient's visits by day, with what is known of their scans."""
        found = []
        for visit in patient.visits:
            digests = self.digests[visit.scan]
            found.append(VisitInput(visit, digests.image, visit == patient.baseline, digests.problem))
        return tuple(found)
