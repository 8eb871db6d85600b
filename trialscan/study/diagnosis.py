"""What pydantic found wrong with a protocol, told in words and at the place in the file."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trialscan.study.conflicts import ConflictError
from trialscan.study.faults import PlacedFault
from trialscan.study.protocol import Protocol
from trialscan.study.section import Section
from trialscan.study.yaml_source import FieldPath, YamlSource

KEY_MARK = "[key]"

# pydantic's error types, and what was expected in the words of this project; braces hold the error's context.
EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "bool_type": "true or false",
        "date_from_datetime_parsing": "a date as YYYY-MM-DD",
        "date_parsing": "a date as YYYY-MM-DD",
        "date_type": "a date as YYYY-MM-DD",
        "dict_type": "fields, as in '1: name'",
        "enum": "{expected}",
        "finite_number": "a finite number",
        "float_type": "a number",
        "greater_than": "more than {gt:g}",
        "greater_than_equal": "{ge:g} or more",
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "less_than": "less than {lt:g}",
        "less_than_equal": "{le:g} or less",
        "literal_error": "{expected}",
        "model_type": "a section with fields",
        "string_too_long": "at most {max_length} characters",
        "string_too_short": "some text",
        "string_type": "text (put it in quotes)",
        "too_long": "{max_length} items at most",
        "too_short": "{min_length} or more",
        "tuple_type": "a list, as in [1, 2]",
    }
)

PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        r"^[A-Za-z0-9_-]+$": "letters, digits, - and _ only",
        r"^[a-z][a-z0-9_]*$": "small letters, digits and _ only, starting with a letter",
        r"^(primary|secondary[1-9][0-9]*)$": "an endpoint: primary, secondary1, secondary2, …",
        r"^[0-9a-f]{64}$": "a sha256 digest: 64 characters 0-9 and a-f",
        r"^([a-z0-9_]+_(ml|percent)|lesion_count)$": "a measure such as burden_ml, burden_percent or lesion_count",
    }
)


def placed_faults(error: ValidationError, source: YamlSource, whole: type[Section] = Protocol) -> Iterator[PlacedFault]:
    """Every fault of a failed validation of `source`, at the value concerned or, for names of fields, at the name."""
    for detail in error.errors(include_url=False):
        path = tuple(str(step) for step in detail["loc"])
        if source.is_spoiled(path):
            continue
        conflict = detail.get("ctx", {}).get("error")
        if isinstance(conflict, ConflictError):
            for inner, message in conflict.conflicts:
                full = (*path, *inner)
                yield PlacedFault(source.place(full).value, full, message)
        else:
            yield _placed(detail, path, source, whole)


def _placed(detail: ErrorDetails, path: FieldPath, source: YamlSource, whole: type[Section]) -> PlacedFault:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return PlacedFault(source.place(path).key, path, _unknown_field(path, whole))
    if kind == "missing" and isinstance(detail["loc"][-1], int):
        message = f"found a list of {len(detail['input'])}; expected another item"
        return PlacedFault(source.place(path[:-1]).value, path[:-1], message)
    if kind == "missing":
        return PlacedFault(source.place(path[:-1]).key, path, "the field is missing and has no default")
    if path[-1] == KEY_MARK:
        return PlacedFault(source.place(path[:-1]).key, path[:-1], _message(detail))
    return PlacedFault(source.place(path).value, path, _message(detail))


def _message(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        expected = PATTERNS[context["pattern"]]
    elif kind in EXPECTED:
        expected = EXPECTED[kind].format(**context)
    else:
        expected = f"otherwise: {detail['msg']}"
    return f"found {_shown(detail['input'])}; expected {expected}"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "fields" if value else "no fields"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _unknown_field(path: FieldPath, whole: type[Section]) -> str:
    known = list(_section_at(path[:-1], whole).model_fields)
    nearest = get_close_matches(path[-1], known, n=1)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"known here: {', '.join(known)}"
    return f"unknown field '{path[-1]}'; {hint}"


def _section_at(path: FieldPath, whole: type[Section]) -> type[Section]:
    """The section type at a path of which only the last step may be unknown to the whole."""
    section = whole
    for step in path:
        if step in section.model_fields:
            annotation = section.model_fields[step].annotation
            candidates = (annotation, *get_args(annotation))
            section = next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), section)
    return section
