"""What every section of a protocol is made of: the base type, and the kinds of values that several sections use."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trialscan.study.conflicts import Conflict, ConflictError

Positive = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
Text = Annotated[str, Field(min_length=1)]
Measure = Annotated[str, Field(pattern=r"^([a-z0-9_]+_(ml|percent)|lesion_count)$")]
Transform = Literal["log1p", "none"]


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
