"""Settings of one registration put together by hand: a protocol's section, and what is asked for beside it."""

from collections.abc import Mapping
from typing import TypedDict

from pydantic import ValidationError

from trialscan.errors import UsageError
from trialscan.study.sections import RegistrationSettings


class RegistrationOptions(TypedDict, total=False):
    """Fields of `RegistrationSettings`; None leaves one as it is."""

    method: str | None
    engine: str | None
    spacing_mm: float | None
    max_stretch_percent: float | None
    check_backwards: bool | None


def registration_settings(
    section: RegistrationSettings | None, options: RegistrationOptions | Mapping[str, object]
) -> RegistrationSettings:
    """The section of a protocol (None: all defaults) with the options in place of its fields.

    Raises
    ------
    UsageError
        An option is unknown or has a value that its field cannot have.
    """
    fields = {} if section is None else section.model_dump()
    asked = {name: value for name, value in options.items() if value is not None}
    try:
        return RegistrationSettings.model_validate(fields | asked)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UsageError(f"registration {where}", f"{fault['input']!r}", fault["msg"]) from error
