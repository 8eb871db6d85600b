"""What a MONAI bundle's metadata says that it takes and gives, by MONAI's bundle specification."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trialscan.errors import SegmentationError

_BACKGROUND = "background"


@dataclass(frozen=True)
class MonaiFormat:
    """`image` and `answer` are the keys of the one input and the one output; `channel_names` those of the answer.

    overlapping : no channel is the background, so that each channel is a region of its own, over that of the channels
        before it.
    """

    image: str
    answer: str
    channel_names: tuple[str, ...]
    modality: str
    shape: tuple[object, ...]

    @property
    def overlapping(self) -> bool:
        """Whether channels are regions of their own rather than a share of one whole."""
        return self.channel_names[0].lower() != _BACKGROUND

    @property
    def labels(self) -> dict[int, str]:
        """0 background and the model's labels; a region's label is its channel's number plus 1."""
        if self.overlapping:
            return {0: _BACKGROUND, **dict(enumerate(self.channel_names, start=1))}
        return dict(enumerate(self.channel_names))


def read_format(metadata: Mapping[str, Any], name: str) -> MonaiFormat:
    """Read `network_data_format`; raises SegmentationError when it takes or gives more than one image."""
    form = metadata.get("network_data_format")
    inputs, outputs = (_one(form, side, name) for side in ("inputs", "outputs"))
    channels = inputs[1].get("num_channels", 1)
    if channels != 1:
        raise SegmentationError(
            name, f"a model of {channels} input channels", "one: a visit has one scan", "Use a model of one channel."
        )
    meaning = outputs[1].get("channel_def")
    if not isinstance(meaning, Mapping) or not meaning:
        raise SegmentationError(f"{name}: {outputs[0]}", "no channel_def", "what each channel of the answer means")
    names = tuple(str(meaning[key]) for key in sorted(meaning, key=int))
    return MonaiFormat(
        inputs[0], outputs[0], names, str(inputs[1].get("modality", "")), tuple(inputs[1].get("spatial_shape", ()))
    )


def _one(form: object, side: str, name: str) -> tuple[str, Mapping[str, Any]]:
    entries = form.get(side) if isinstance(form, Mapping) else None
    if not isinstance(entries, Mapping) or len(entries) != 1:
        found = ", ".join(map(str, entries)) if isinstance(entries, Mapping) else "nothing"
        raise SegmentationError(f"{name}: network_data_format.{side}", found, "one image")
    ((key, entry),) = entries.items()
    if not isinstance(entry, Mapping):
        raise SegmentationError(f"{name}: network_data_format.{side}.{key}", repr(entry), "a description")
    return str(key), entry
