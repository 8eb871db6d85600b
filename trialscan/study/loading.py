"""From the name of a protocol to a valid `Protocol`, and back to YAML."""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from trialscan.errors import ProtocolError
from trialscan.study.conflicts import measure_conflicts
from trialscan.study.diagnosis import placed_faults
from trialscan.study.faults import PlacedFault, as_faults
from trialscan.study.protocol import Protocol
from trialscan.study.sections import SegmentationSettings
from trialscan.study.shipped import find_protocol
from trialscan.study.yaml_source import FieldPath, Plain, YamlSource, read_yaml

CLASS_FIELDS = ("model", "lesion_labels", "reader_lesion_labels")


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Read and check a protocol given as a file or as the name of a shipped one.

    Values are taken as YAML 1.2 writes them and never converted: `NO` is text, `"3"` is no number.
    Raises ProtocolError with every fault, in the order of the file, as `protocol.yaml:14:5: endpoints.primary: …`.
    """
    source = read_yaml(find_protocol(name_or_path))
    faults = list(source.faults)
    try:
        protocol = Protocol.model_validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        faults += placed_faults(error, source)
        told = {fault.path for fault in faults}
        faults += [fault for fault in _unknown_measures(source) if fault.path not in told]
    if faults:
        raise ProtocolError(as_faults(source.name, faults))
    return protocol


def _unknown_measures(source: YamlSource) -> Iterator[PlacedFault]:
    """Endpoints that name no class, told even where other faults keep the whole protocol from being checked."""
    fields = _mapping(_mapping(source.data).get("segmentation"))
    try:
        settings = SegmentationSettings.model_validate_json(
            json.dumps({name: fields[name] for name in CLASS_FIELDS if name in fields}), strict=True
        )
    except ValidationError:
        return
    for path, message in measure_conflicts(_measures(source.data), settings.class_names.values()):
        yield PlacedFault(source.place(path).value, path, message)


def _measures(data: Plain) -> dict[FieldPath, str]:
    endpoints = _mapping(_mapping(data).get("endpoints"))
    secondary = endpoints.get("secondary")
    entries: list[tuple[FieldPath, Plain]] = [(("endpoints", "primary"), endpoints.get("primary"))]
    if isinstance(secondary, list):
        entries += [(("endpoints", "secondary", str(index)), entry) for index, entry in enumerate(secondary)]
    measures = {(*path, "measure"): _mapping(entry).get("measure") for path, entry in entries}
    return {path: measure for path, measure in measures.items() if isinstance(measure, str)}


def _mapping(value: Plain) -> dict[str, Plain]:
    return value if isinstance(value, dict) else {}
