"""What every section of a protocol is: frozen, closed, checked as a whole; and the types that sections share."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trialscan.study.conflicts import Conflict, ConflictError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
Text = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """Frozen, closed to fields it does not know, and free of contradictions once constructed."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    def conflicts(self) -> Iterator[Conflict]:
        """Contradictions between fields that are each valid alone."""
        return iter(())

    @model_validator(mode="after")
    def _refuse_conflicts(self) -> Self:
        found = tuple(self.conflicts())
        if found:
            raise ConflictError(found)
        return self
