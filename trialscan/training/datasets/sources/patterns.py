"""Paths by a pattern such as `images/{case}.jpg`: what its fields hold, and the path for given fields."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

_FIELD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Pattern:
    """A path with fields in braces, each any text without a slash; a field that comes twice is the same text."""

    text: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields in the order of the path, each once."""
        return tuple(dict.fromkeys(_FIELD.findall(self.text)))

    def path(self, fields: Mapping[str, str]) -> str:
        """The path for these fields."""
        return _FIELD.sub(lambda found: fields[found.group(1)], self.text)

    def find(self, paths: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The paths of this pattern with what their fields hold."""
        for path in paths:
            found = self._expression.fullmatch(path)
            if found is not None:
                yield path, found.groupdict()

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        seen: set[str] = set()
        parts: list[str] = []
        for index, part in enumerate(_FIELD.split(self.text)):
            if index % 2 == 0:
                parts.append(re.escape(part))
            else:
                parts.append(f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+)")
                seen.add(part)
        return re.compile("".join(parts))
