"""The errors that trialscan raises on purpose.

Each one answers four questions (where, what was found, what was expected, what to do) and carries the exit code of
the command that ends with it. Anything else that escapes is a defect of the program and exits with 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class TrialscanError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    where : the file, line, patient, visit or argument concerned.
    found : what is there.
    expected : what should have been there.
    remedy : what the reader can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(where, found, expected, remedy)
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        """One line: where: found; expected …. Remedy."""
        text = f"{self.where}: {self.found}"
        if self.expected:
            text += f"; expected {self.expected}"
        return f"{text}. {self.remedy}" if self.remedy else text


class UsageError(TrialscanError):
    """A command was called with arguments that do not go together."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Fault:
    """One fault in an input file; `where` is `file:line[:column][: field]`."""

    where: str
    message: str

    def __str__(self) -> str:
        """The fault as one line."""
        return f"{self.where}: {self.message}"


class InputError(TrialscanError):
    """A protocol or manifest is invalid. Holds every fault found, not only the first."""

    exit_code = 3

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        super().__init__(first.where, first.message)

    def __str__(self) -> str:
        """Every fault, one a line."""
        return "\n".join(str(fault) for fault in self.faults)

    def __reduce__(self) -> tuple[type["InputError"], tuple[tuple[Fault, ...]]]:
        """Pickle by the faults, so that the error survives a worker process."""
        return type(self), (self.faults,)


class ProtocolError(InputError):
    """The protocol cannot be used; faults read `protocol.yaml:14:5: endpoints.primary: …`."""


class ManifestError(InputError):
    """The manifest cannot be used; faults read `manifest.csv:14: scan: …`."""


class TrustError(TrialscanError):
    """A model would run code of its own that the user or the protocol has not vouched for."""

    exit_code = 3


class ScanError(TrialscanError):
    """One scan or patient cannot be processed. In a run it costs that visit, not the trial."""

    exit_code = 4


class ImagingError(ScanError):
    """A scan or mask cannot be read, or its geometry cannot be trusted."""


class GeometryError(ImagingError):
    """Two grids that must agree do not, or millimetres were asked of an image that has none."""


class SegmentationError(ScanError):
    """A scan cannot be segmented, or a model bundle cannot be used."""


class RegistrationError(ScanError):
    """A follow-up cannot be aligned to its baseline."""


class LesionError(ScanError):
    """Lesions cannot be measured or followed."""


class StatisticsError(TrialscanError):
    """A model cannot be fitted to the data given; names the patient, visit or column."""

    exit_code = 4


class PromotionError(TrialscanError):
    """A model was not shown to be better than the one in use."""

    exit_code = 4


class ReportError(TrialscanError):
    """A report cannot be drawn from the tables found."""

    exit_code = 4


class VerificationError(TrialscanError):
    """A run folder does not match its own record."""

    exit_code = 5
