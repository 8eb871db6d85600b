"""What the room promises: any network or file of masks behind one call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from trialscan.errors import SegmentationError
from trialscan.imaging import Units, Volume


@dataclass(frozen=True)
class ModelIdentity:
    """Which model made a mask: name, version and SHA-256 digest of its weights, or of its folder where it has code."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A model's answer on the scan's own grid.

    labels : 0 background and the model's labels.
    probability : for each label found but background, the mean probability that the model gave it over the voxels it
        labelled so; empty where the model tells none.
    probability_percent : the probability of all lesion labels together in each voxel, in whole percent, before any
        lesion is taken back for want of certainty; None when the model does not say which labels are lesions.
    evidence : further numbers that only the model can give of how far to trust it, see `measure_quality`.
    seconds : how long each stage took.
    """

    labels: Volume
    probability: Mapping[int, float]
    probability_percent: Volume | None = None
    evidence: Mapping[str, float | str | None] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse anything but labels."""
        if self.labels.units is not Units.LABEL:
            raise SegmentationError("label map", f"{self.labels.units} voxels", "labels")


@runtime_checkable
class Segmenter(Protocol):
    """A model that is ready to label scans."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        ...

    def __call__(self, volume: Volume) -> LabelMap:
        """Label a scan on its own grid; raises SegmentationError for a scan that the model cannot take."""
        ...
