"""What the network learns: the snapshot's labels, or classes merged from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trialscan.study.yaml_source import FieldPath
from trialscan.training.experiments.reading import SettingError
from trialscan.training.experiments.sections import BACKGROUND, ClassSettings

Problem = tuple[FieldPath, str]
_LABEL_VALUES = 65536


@dataclass(frozen=True)
class Classes:
    """The network's classes.

    names : of classes 0 … n - 1; 0 is the background. `of` takes a label of the snapshot to its class.
    combined : unions of classes that are measured too.
    outputs : the class of each of the network's outputs, whose names are `output_names`; mostly one each.
    """

    names: tuple[str, ...]
    of: Mapping[int, int]
    combined: Mapping[str, tuple[int, ...]]
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]

    @property
    def measured(self) -> dict[str, tuple[int, ...]]:
        """What Dice is told of: every class but the background, then the unions."""
        return {name: (index,) for index, name in enumerate(self.names) if index} | dict(self.combined)

    def told(self, labels: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The network's labels as classes."""
        told: NDArray[np.uint8] = np.array(self.outputs, dtype=np.uint8)[labels]
        return told

    def learnt(self, labels: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The snapshot's labels as classes."""
        table = np.zeros(_LABEL_VALUES, dtype=np.uint8)
        table[list(self.of)] = list(self.of.values())
        learnt: NDArray[np.uint8] = table[labels]
        return learnt


def class_problems(
    labels: Mapping[int, str], settings: tuple[ClassSettings, ...] | None, combined: Mapping[str, tuple[str, ...]]
) -> Iterator[Problem]:
    """Labels that no class takes or two take, names that there are not: path in the variant, and what is wrong."""
    names = list(labels.values())
    taken: dict[str, str] = {}
    for index, entry in enumerate(settings or ()):
        for place, label in enumerate(entry.of):
            path = ("classes", str(index), "of", str(place))
            if label not in names:
                yield path, f"{label!r} is no label of the snapshot; expected one of {', '.join(names)}"
            elif label in taken:
                yield path, f"{label!r} is taken by {taken[label]} already; a label goes into one class"
            taken.setdefault(label, entry.name)
    untaken = [label for label in list(names)[1:] if settings and label not in taken]
    if untaken:
        yield ("classes",), f"no class takes {', '.join(untaken)}; name {BACKGROUND} as a class of them to drop them"
    learnt = [entry.name for entry in settings] if settings else names
    if not [name for name in learnt if name not in {BACKGROUND, names[0]}]:
        yield ("classes",), "nothing but background; expected a class to learn"
    for name, members in combined.items():
        for place, member in enumerate(members):
            if member not in learnt:
                yield ("combined", name, str(place)), f"{member!r} is no class; expected one of {', '.join(learnt)}"


def make_classes(
    labels: Mapping[int, str], settings: tuple[ClassSettings, ...] | None, combined: Mapping[str, tuple[str, ...]]
) -> Classes:
    """The classes of settings that `class_problems` finds nothing wrong with."""
    first = labels[0]
    groups = [(first, (first,)), *((entry.name, entry.of) for entry in settings or ())]
    if settings is None:
        groups = [(name, (name,)) for _, name in sorted(labels.items())]
    names = [first, *(name for name, _ in groups if name not in {first, BACKGROUND})]
    index_of = {label: names.index(name) for name, of in groups if name in names for label in of}
    of = {value: index_of.get(label, 0) for value, label in labels.items()}
    unions = {name: tuple(names.index(member) for member in members) for name, members in combined.items()}
    return Classes(tuple(names), of, unions, tuple(range(len(names))), tuple(names))


def merged_outputs(
    classes: Classes, outputs: Mapping[str, tuple[str, ...]] | None, labels: Sequence[str] | None
) -> Classes:
    """The same classes, told by the outputs of a network with `labels`; SettingError where they do not go together."""
    if outputs is None:
        return classes
    if labels is None:
        raise SettingError(("outputs",), "there is no start bundle whose head could be kept")
    class_of = {label: name for name, members in outputs.items() for label in members}
    if sorted(outputs) != sorted(classes.names):
        raise SettingError(
            ("outputs",), f"of {', '.join(outputs)}; expected one for each of {', '.join(classes.names)}"
        )
    if sorted(label for members in outputs.values() for label in members) != sorted(labels):
        raise SettingError(("outputs",), f"expected each of the start's labels once: {', '.join(labels)}")
    if class_of[labels[0]] != classes.names[0]:
        raise SettingError(("outputs",), f"{labels[0]} of the start must be {classes.names[0]}")
    return replace(
        classes, outputs=tuple(classes.names.index(class_of[label]) for label in labels), output_names=tuple(labels)
    )
