"""What a variant comes to once its snapshot and its start are known: nothing is left to be looked up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from trialscan.audit import digest_json
from trialscan.segmentation.specification import ModelSpecification
from trialscan.training.datasets import Snapshot
from trialscan.training.experiments.classes import Classes, class_problems, make_classes, merged_outputs
from trialscan.training.experiments.network import complete_definition, require_matches, require_network, resizable
from trialscan.training.experiments.preparation import Preparation
from trialscan.training.experiments.reading import Experiment, SettingError
from trialscan.training.experiments.sections import ChannelSettings, ExperimentSettings
from trialscan.training.experiments.start import Start, find_start
from trialscan.training.export import NOT_YET


@dataclass(frozen=True, eq=False)
class Design:
    """One variant, ready to be trained. `patch` has as many lengths as the network has axes."""

    name: str
    settings: ExperimentSettings
    start: Start
    network: Mapping[str, Any]
    preparation: Preparation
    patch: tuple[int, ...]

    @property
    def classes(self) -> Classes:
        """What is learnt."""
        return self.preparation.classes

    @property
    def preparation_key(self) -> str:
        """The same for variants whose cases are prepared alike."""
        classes = self.classes
        return digest_json(
            {
                "spec": self.preparation.spec.model_dump(mode="json", exclude={"window", "overlap"}),
                "channels": [channel.model_dump(mode="json") for channel in self.preparation.channels],
                "names": classes.names,
                "of": {str(label): index for label, index in classes.of.items()},
            }
        )


def make_design(experiment: Experiment, variant: str, snapshot: Snapshot) -> Design:
    """Settle a variant; InputError, at the place in the configuration, where it does not fit snapshot or start."""
    settings = experiment.variants[variant]
    start = find_start(experiment, variant)
    if problems := list(class_problems(snapshot.labels, settings.classes, settings.combined)):
        raise experiment.faults(variant, problems)
    classes = make_classes(snapshot.labels, settings.classes, settings.combined)
    with experiment.placing(variant):
        classes = merged_outputs(classes, settings.outputs, start.labels)
        channels, spec = _specification(settings, start.spec, classes)
        asked = settings.network or resizable(start.network or {})
        network = complete_definition(asked, len(channels), len(classes.outputs))
        require_matches(require_network(network), settings.freeze)
        _require_weights(settings, len(classes.names))
        patch = _patch(settings, spec, start)
        axes = network.get("spatial_dims", 3)
        if axes != len(patch):
            raise SettingError(("network", "spatial_dims"), f"{axes}, and patches of {len(patch)} lengths")
    spec = spec.model_copy(update={"window": settings.inference.window or patch})
    if len(spec.window) != len(patch):
        raise experiment.fault(variant, ("inference", "window"), f"{len(spec.window)} lengths; expected {len(patch)}")
    return Design(variant, settings, start, network, Preparation(spec, channels, classes), patch)


def _specification(
    settings: ExperimentSettings, start: ModelSpecification | None, classes: Classes
) -> tuple[tuple[ChannelSettings, ...], ModelSpecification]:
    """The channels, and the specification of a bundle of the network; what is not told is the start's."""
    own = settings.preparation
    planar_size, spacing = own.planar_size, own.spacing_mm
    if planar_size is None and spacing is None and start is not None:
        planar_size, spacing = start.planar_size, start.spacing_mm
    if (planar_size is None) == (spacing is None):
        found = "neither" if planar_size is None else "both"
        raise SettingError(("preparation",), f"{found} of planar_size and spacing_mm; expected one, or a start bundle")
    channels = own.channels
    if channels is None:
        inherited = start is not None and (start.kind == "planar") == (planar_size is not None)
        channels = (
            (ChannelSettings(units=start.units, intensity_range=start.intensity_range),)
            if start is not None and inherited
            else (ChannelSettings(),)
        )
    for index, channel in enumerate(channels):
        if planar_size is None and channel.intensity_range is None:
            path = ("preparation", "channels", str(index))
            raise SettingError(path, "no intensity_range; volumes need the values that become -1 and 1")
    if planar_size is not None and len(channels) > 1:
        raise SettingError(("preparation", "channels"), f"{len(channels)}; expected one for single images")
    levels = own.grey_levels or (start.grey_levels if start is not None else "equalise")
    content = {
        "kind": "volume" if planar_size is None else "planar",
        "labels": dict(enumerate(classes.output_names)),
        "units": channels[0].units,
        "spacing_mm": spacing,
        "planar_size": planar_size,
        "grey_levels": levels,
        "intensity_range": channels[0].intensity_range,
        "window": (1,) * (3 if planar_size is None else 2),
        "overlap": settings.inference.overlap,
        "min_component_share": settings.inference.min_component_share,
        "weights_sha256": NOT_YET,
    }
    try:
        return channels, ModelSpecification.model_validate(content)
    except ValidationError as error:
        raise SettingError(("preparation",), "; ".join(str(fault["msg"]) for fault in error.errors())) from error


def _patch(settings: ExperimentSettings, spec: ModelSpecification, start: Start) -> tuple[int, ...]:
    """As told, else the whole picture, else the start's window."""
    axes = 2 if spec.planar_size is not None else 3
    patch = settings.patch
    if patch is None and spec.planar_size is not None:
        patch = (spec.planar_size, spec.planar_size)
    if patch is None and start.spec is not None:
        patch = start.spec.window
    if patch is None:
        raise SettingError(("patch",), "the field is missing and there is no start to take it from")
    if len(patch) != axes:
        raise SettingError(("patch",), f"{len(patch)} lengths; expected {axes}")
    if spec.planar_size is not None and patch != (spec.planar_size, spec.planar_size):
        size = spec.planar_size
        larger = "larger than" if max(patch) > size else "other than"
        raise SettingError(("patch",), f"{larger} the picture of {size} × {size} that the network sees; leave it out")
    return patch


def _require_weights(settings: ExperimentSettings, classes: int) -> None:
    weights = settings.loss.class_weights
    if weights is not None and len(weights) != classes:
        raise SettingError(("loss", "class_weights"), f"{len(weights)} weights; expected {classes}, one a class")
