"""A design as a YAML file: read into its model, with faults that tell line, column and field."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from trialscan.errors import Fault, InputError

Model = TypeVar("Model", bound=BaseModel)


def read_design(path: Path, model: type[Model]) -> Model:
    """Read a design from YAML; raises InputError with every fault as `design.yaml:14:5: arms.active: …`."""
    data = _parse(path)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(_faults(path.name, data, error)) from None


def _parse(path: Path) -> CommentedMap:
    try:
        data = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Fault(path.name, f"cannot be read as text: {error.__class__.__name__}")]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        raise InputError([Fault(where, f"not valid YAML: {error.problem}")]) from None
    except YAMLError as error:
        raise InputError([Fault(path.name, f"not valid YAML: {error}")]) from None
    if not isinstance(data, CommentedMap):
        raise InputError([Fault(f"{path.name}:1", "the file holds no fields; expected a design, as in 'arms:'")])
    return data


def _faults(name: str, data: CommentedMap, error: ValidationError) -> Iterable[Fault]:
    for detail in error.errors(include_url=False):
        path = [step for step in detail["loc"] if step != "[key]"]
        line, column = _place(data, path)
        where = f"{name}:{line}:{column}"
        field = ".".join(map(str, path))
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] not in {"missing", "value_error"}:
            message = f"found {detail['input']!r}; {message[0].lower()}{message[1:]}"
        yield Fault(f"{where}: {field}" if field else where, message)


def _place(data: CommentedMap | CommentedSeq, path: list[Any]) -> tuple[int, int]:
    """Line and column, from 1, of the field at the path, or of the nearest one around it."""
    place, node = (0, 0), data
    for step in path:
        try:
            place = node.lc.item(step) if isinstance(step, int) else node.lc.key(step)
        except (KeyError, TypeError):
            continue
        if not isinstance(node[step], CommentedMap | CommentedSeq):
            break
        node = node[step]
    return place[0] + 1, place[1] + 1
