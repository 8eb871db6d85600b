"""From an experiment's YAML file to its checked variants; faults stand at their line and column."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trialscan.errors import InputError
from trialscan.study.diagnosis import placed_faults
from trialscan.study.faults import PlacedFault, as_faults
from trialscan.study.section import Name, Section
from trialscan.study.yaml_source import FieldPath, Plain, YamlSource, read_yaml
from trialscan.training.experiments.sections import ExperimentSettings, VariantSettings

ONLY_VARIANT = "base"
_VARIANTS = "variants"
_WHOLE = frozenset({"network", "combined"})  # replaced, not merged: half of another network is none
_SHARED = sorted(frozenset(ExperimentSettings.model_fields) - frozenset(VariantSettings.model_fields))


class SettingError(ValueError):
    """A setting of a variant that does not fit data, network or start: its path, and what is wrong with it."""

    def __init__(self, path: FieldPath, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message


@dataclass(frozen=True)
class Experiment:
    """A checked experiment: what its variants share, and each variant with every default filled in.

    `folder` is that of the configuration, which relative paths start from.
    """

    shared: ExperimentSettings
    variants: Mapping[str, ExperimentSettings]
    source: YamlSource
    folder: Path

    def fault(self, variant: str, path: FieldPath, message: str) -> InputError:
        """A fault of a field, at its place in the file: in the variant's own section where that has it."""
        return self.faults(variant, [(path, message)])

    def faults(self, variant: str, problems: Iterable[tuple[FieldPath, str]]) -> InputError:
        """Several faults of a variant's fields at once."""
        index = list(self.variants).index(variant)
        placed = [(_own_path(self.source, index, path), message) for path, message in problems]
        return InputError(
            as_faults(self.source.name, [PlacedFault(self.source.place(at).value, at, text) for at, text in placed])
        )

    @contextmanager
    def placing(self, variant: str) -> Iterator[None]:
        """Tell a SettingError raised inside at its place in the file, as InputError."""
        try:
            yield
        except SettingError as error:
            raise self.fault(variant, error.path, error.message) from error

    def locked(self) -> dict[str, object]:
        """Every decision with its defaults, as plain values."""
        shared = {name: self.shared.model_dump(mode="json")[name] for name in _SHARED}
        variants = [
            {"name": name, **settings.model_dump(mode="json", exclude=set(_SHARED))}
            for name, settings in self.variants.items()
        ]
        return {**shared, _VARIANTS: variants}


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment's configuration.

    A variant's fields go into the sections that all have in common; `network` and `combined` are replaced as a whole.
    Raises InputError with every fault, as `experiment.yaml:14:5: optimiser.learning_rate: …`.
    """
    source = read_yaml(path, "the fields of an experiment, as in 'name: …' and 'snapshot: …'", InputError)
    faults = list(source.faults)
    fields = _mapping(source.data)
    own = _variants(fields, source, faults)
    common = {name: value for name, value in fields.items() if name != _VARIANTS}
    variants: dict[str, ExperimentSettings] = {}
    for index, (name, changes) in enumerate(own.items()):
        try:
            variants[name] = ExperimentSettings.model_validate_json(json.dumps(_merged(common, changes)), strict=True)
        except ValidationError as error:
            faults += [_moved(fault, source, index) for fault in placed_faults(error, source, ExperimentSettings)]
    if faults:
        raise InputError(as_faults(source.name, faults))
    return Experiment(next(iter(variants.values())), variants, source, path.resolve().parent)


def _variants(
    fields: Mapping[str, Plain], source: YamlSource, faults: list[PlacedFault]
) -> dict[str, Mapping[str, Plain]]:
    """The variants' own fields by name; the whole configuration is the only one where none are named."""
    if _VARIANTS not in fields:
        return {ONLY_VARIANT: {}}
    entries = fields[_VARIANTS]
    found: dict[str, Mapping[str, Plain]] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        path = (_VARIANTS, str(index))
        content = _mapping(entry)
        for message, at in _faults_of_variant(content, found):
            faults.append(PlacedFault(source.place((*path, *at)).value, (*path, *at), message))
        found[str(content.get("name"))] = {name: value for name, value in content.items() if name != "name"}
    if not found:
        faults.append(PlacedFault(source.place((_VARIANTS,)).value, (_VARIANTS,), "expected a list of variants"))
    return found


def _faults_of_variant(
    content: Mapping[str, Plain], earlier: Mapping[str, Mapping[str, Plain]]
) -> Iterator[tuple[str, FieldPath]]:
    try:
        name = _Named.model_validate_json(json.dumps({"name": content.get("name")}), strict=True).name
    except ValidationError:
        yield "expected a name of letters, digits, - and _", ("name",) if "name" in content else ()
    else:
        if name in earlier:
            yield f"the name {name!r} is taken; expected one that no other variant has", ("name",)
    for field in _SHARED:
        if field in content and field != "name":
            yield "is shared by all variants; set it once, outside of them", (field,)


class _Named(Section):
    name: Name


def _merged(common: object, changes: object) -> object:
    """Mappings field by field, anything else replaced."""
    if not isinstance(common, dict) or not isinstance(changes, dict):
        return changes
    merged: dict[object, object] = dict(common)
    for name, value in changes.items():
        merged[name] = value if name in _WHOLE else _merged(common.get(name), value)
    return merged


def _moved(fault: PlacedFault, source: YamlSource, index: int) -> PlacedFault:
    """A fault found in a merged variant, at the variant's own field where it has one."""
    path = _own_path(source, index, fault.path)
    return fault if path == fault.path else PlacedFault(source.place(path).value, path, fault.message)


def _own_path(source: YamlSource, index: int, path: FieldPath) -> FieldPath:
    own = (_VARIANTS, str(index), *path)
    return own if path and own in source.places else path


def _mapping(value: Plain) -> dict[str, Plain]:
    return value if isinstance(value, dict) else {}
