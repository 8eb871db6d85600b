"""What an experiment is made of, section by section: every decision, each with its default."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from trialscan.study.conflicts import Conflict
from trialscan.study.section import Name, Positive, Section, Text
from trialscan.training.config import PlanarAugmentation, VolumeAugmentation
from trialscan.training.experiments.augmentation import GenericAugmentation

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Units = Literal["HU", "SUV", "intensity"]
BACKGROUND = "background"


class StartSettings(Section):
    """What the training starts from.

    bundle : name of a shipped model, or the folder of a bundle, relative to the configuration.
    checkpoint : `checkpoint.pt` of a run instead; it brings weights alone, so that network and preparation are named.
    weights : false takes the network and the preparation, and draws the weights anew: training from scratch with
        everything else the same.
    """

    bundle: Text | None = None
    checkpoint: Text | None = None
    weights: bool = True

    def conflicts(self) -> Iterator[Conflict]:
        """Not exactly one source."""
        if (self.bundle is None) == (self.checkpoint is None):
            yield Conflict((), "expected either bundle or checkpoint; write 'start: null' to start from scratch")


class ClassSettings(Section):
    """A class that the network learns, and the snapshot's labels that it is made of."""

    name: Text
    of: Annotated[tuple[Text, ...], Field(min_length=1)]


class ChannelSettings(Section):
    """What the numbers of one of a case's images mean, and the range of volumes that becomes -1 … 1."""

    units: Units = "intensity"
    intensity_range: tuple[float, float] | None = None


class PreparationSettings(Section):
    """How cases become what the network sees; None takes the start's. `planar_size` is for single images."""

    planar_size: Count | None = None
    grey_levels: Literal["equalise", "stretch"] | None = None
    spacing_mm: tuple[Positive, Positive, Positive] | None = None
    channels: Annotated[tuple[ChannelSettings, ...], Field(min_length=1)] | None = None


class AugmentationSettings(Section):
    """Random changes: of a picture, of a chest CT in HU, or of any volume; the section that is given decides.

    Without one, pictures are changed as `planar` says by default and volumes as `generic` does.
    """

    planar: PlanarAugmentation | None = None
    volume: VolumeAugmentation | None = None
    generic: GenericAugmentation | None = None

    def conflicts(self) -> Iterator[Conflict]:
        """More than one kind."""
        given = [name for name in ("planar", "volume", "generic") if getattr(self, name) is not None]
        if len(given) > 1:
            yield Conflict((given[1],), f"{given[0]} is given too; keep one of the two")


class FreezeSettings(Section):
    """Parameters whose names match a pattern (`*` is anything) keep their value, for good or for some epochs."""

    parameters: Text
    epochs: Count | None = None


class LossSettings(Section):
    """MONAI's Dice with cross-entropy or focal loss: the parts' weights, and a weight a class, background first."""

    kind: Literal["dice_ce", "dice_focal"] = "dice_ce"
    dice_weight: Annotated[float, Field(ge=0)] = 1.0
    voxel_weight: Annotated[float, Field(ge=0)] = 1.0
    class_weights: tuple[Positive, ...] | None = None
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0

    def conflicts(self) -> Iterator[Conflict]:
        """Nothing left to learn from."""
        if self.dice_weight + self.voxel_weight == 0:
            yield Conflict(("dice_weight",), "both parts weigh 0; expected one above")


class OptimiserSettings(Section):
    """The optimiser and its learning rate over the steps: a linear warm-up over a share of them, then the schedule."""

    kind: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    momentum: Share = 0.9
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    warm_up: Share = 0.05


class EarlyStopping(Section):
    """End after `patience` epochs in which the inner validation's Dice rose by no more than `least_gain`."""

    patience: Count
    least_gain: Annotated[float, Field(ge=0)] = 0.0


class ValidationSettings(Section):
    """Cases of the training part set aside, by whole groups, to watch and to choose by; 0 sets none aside."""

    share: Share = 0.0
    every_epochs: Count = 1


class InferenceSettings(Section):
    """How the network's answer is read: as a bundle of it would be. `window` None takes the patch."""

    window: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)] | None = None
    overlap: Share = 0.25
    min_component_share: Share = 0.0


class FoldSettings(Section):
    """How groups are parted.

    count : folds; each is predicted by networks that learnt from the others. 1 parts off one share.
    share : of the cases, where there is one fold.
    stratify : what the parts should be alike in: the size of the `foreground` in `bins` of equal number (absence is a
        bin of its own), its `presence`, nothing, or an attribute of the cases.
    table : a CSV with `case_id` (or `group`) and `fold` instead, relative to the configuration.
    final : besides, one network a seed that learns from every case, as `fold-final`: what may be promoted.
    """

    count: Count = 5
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    stratify: Text = "foreground"
    bins: Count = 3
    seed: Annotated[int, Field(ge=0)] = 0
    table: Text | None = None
    final: bool = False


class VariantSettings(Section):
    """All that may differ between the variants of an experiment.

    network : MONAI's `network_def`; None takes the start's. Channels in and out are filled in.
    classes : what is learnt; None takes the snapshot's labels. `combined` names unions of them to measure too.
    outputs : keeps the start's head: the start's labels that make up each class, the background included. Masks may
        then tell less than the network does, as lesions without lungs.
    patch : voxels, or pixels, along the axes; None takes the whole picture, or the start's window.
    iterations : steps an epoch; None takes as many as pass the training cases once.
    keep : which weights are kept: those of the `last` epoch, or of the `best` by the inner validation.
    """

    start: StartSettings | None = None
    network: dict[str, Any] | None = None
    classes: Annotated[tuple[ClassSettings, ...], Field(min_length=1)] | None = None
    outputs: dict[Text, Annotated[tuple[Text, ...], Field(min_length=1)]] | None = None
    combined: dict[Name, tuple[Text, ...]] = Field(default_factory=dict)
    preparation: PreparationSettings = PreparationSettings()
    patch: Annotated[tuple[Count, ...], Field(min_length=2, max_length=3)] | None = None
    batch: Count = 4
    foreground_centred: Probability = 0.5
    augmentation: AugmentationSettings = AugmentationSettings()
    freeze: tuple[FreezeSettings, ...] = ()
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    epochs: Count
    iterations: Count | None = None
    early_stopping: EarlyStopping | None = None
    keep: Literal["last", "best"] = "last"
    amp: Literal["bf16", "none"] = "none"
    ema: Annotated[float, Field(gt=0, lt=1)] | None = 0.99
    inference: InferenceSettings = InferenceSettings()

    def conflicts(self) -> Iterator[Conflict]:
        """A network that comes from nowhere, and names given twice."""
        if self.network is None and (self.start is None or self.start.bundle is None):
            yield Conflict(("network",), "the field is missing and there is no start bundle to take it from")
        names = [entry.name for entry in self.classes or ()]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Conflict(("classes", str(index), "name"), f"{name!r} is named twice")
        for name in self.combined:
            if name in names:
                yield Conflict(("combined", name), "is a class already; choose another name")


class ExperimentSettings(VariantSettings):
    """A whole experiment but for its variants.

    snapshot : name or digest. cache : share of the cases kept in memory.
    deterministic : refuse operations that do not repeat to the bit on one device.
    """

    name: Name
    snapshot: Text
    folds: FoldSettings = FoldSettings()
    validation: ValidationSettings = ValidationSettings()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    cache: Probability = 1.0
    deterministic: bool = True

    def conflicts(self) -> Iterator[Conflict]:
        """As of the variant, choices that want an inner validation, and seeds that repeat."""
        yield from super().conflicts()
        if self.validation.share == 0:
            for name, wanted in (("early_stopping", self.early_stopping is not None), ("keep", self.keep == "best")):
                if wanted:
                    yield Conflict((name,), "needs an inner validation; set validation.share above 0")
        if self.early_stopping is not None and self.early_stopping.patience < self.validation.every_epochs:
            every = self.validation.every_epochs
            yield Conflict(("early_stopping", "patience"), f"shorter than validation.every_epochs, which is {every}")
        if len(set(self.seeds)) < len(self.seeds):
            yield Conflict(("seeds",), "a seed is listed twice")
