"""A protocol written out in full, byte for byte the same for equal protocols."""

from collections.abc import Mapping
from enum import Enum
from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from trialscan.study.protocol import Protocol


class _Representer(RoundTripRepresenter):
    """Writes None as `null` instead of as nothing."""

    def represent_none(self, _data: None) -> ScalarNode:
        """The scalar `null`."""
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def dump_protocol(protocol: Protocol) -> str:
    """YAML 1.2 with every field and default, sections in the order of the types, labels rising.

    `load_protocol` reads it back to an equal protocol.
    """
    return dump_plain(protocol.model_dump())


def dump_plain(value: Mapping[str, object]) -> str:
    """Plain values as YAML 1.2 in their own order, byte for byte the same for equal values."""
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 1_000_000
    yaml.allow_unicode = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.Representer = _Representer
    stream = StringIO()
    yaml.dump(_plain(dict(value)), stream)
    return stream.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        labels = bool(value) and all(isinstance(key, int) for key in value)
        return CommentedMap((key, _plain(value[key])) for key in (sorted(value) if labels else value))
    if isinstance(value, tuple | list):
        items = CommentedSeq(_plain(item) for item in value)
        if not any(isinstance(item, dict) for item in value):
            items.fa.set_flow_style()
        return items
    return value
