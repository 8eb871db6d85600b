"""A model formula: parsed by formulaic, with faults that point into its text."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from formulaic import Formula, SimpleFormula, StructuredFormula
from formulaic.errors import FormulaicError
from formulaic.transforms import TRANSFORMS

from trialscan.errors import StatisticsError
from trialscan.statistics.columns import require_columns

FUNCTIONS = {"log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt}
_MARKED = re.compile("⧛\x1b\\[1;31m(.*?)\x1b\\[0m⧚")
_NAME = re.compile(r"`([^`]+)`|([^\W\d]\w*)")


@dataclass(frozen=True)
class ParsedFormula:
    """A two-sided formula and the columns of the table that each side reads."""

    text: str
    formula: StructuredFormula
    outcome_columns: tuple[str, ...]
    model_columns: tuple[str, ...]


def parse_formula(text: str, data: pd.DataFrame) -> ParsedFormula:
    """Parse `outcome ~ terms` (Wilkinson & Rogers 1973, as formulaic reads it) against the table's columns.

    Raises
    ------
    StatisticsError : bad syntax, with the column of the formula; no outcome; a `|` part; an unknown column.
    """
    try:
        formula = Formula(text)
    except FormulaicError as error:
        raise _pointing(text, str(error)) from error
    except SyntaxError as error:
        raise _pointing_at_python(text, error) from error
    if not isinstance(formula, StructuredFormula) or not hasattr(formula, "lhs"):
        raise StatisticsError(f"formula {text!r}", "no outcome", "outcome ~ terms, as in 'volume ~ arm * day'")
    if not isinstance(formula.rhs, SimpleFormula) or not isinstance(formula.lhs, SimpleFormula):
        raise StatisticsError(
            f"formula {text!r}, column {text.find('|') + 1}",
            "more than one part",
            "fixed effects only",
            "Random effects follow from the arguments patient and time",
        )
    left, right = text.split("~", maxsplit=1)
    _refuse_unknown(text, formula, data)
    outcome, model = _columns_in(left, data), _columns_in(right, data)
    require_columns(data, (*outcome, *model), f"formula {text!r}")
    return ParsedFormula(text, formula, outcome, model)


def _columns_in(text: str, data: pd.DataFrame) -> tuple[str, ...]:
    names = [quoted or plain for quoted, plain in _NAME.findall(text)]
    return tuple(name for name in dict.fromkeys(names) if name in data.columns)


def _refuse_unknown(text: str, formula: StructuredFormula, data: pd.DataFrame) -> None:
    known = {*data.columns, *FUNCTIONS, *TRANSFORMS}
    for name in sorted(formula.lhs.required_variables | formula.rhs.required_variables):
        if name not in known:
            match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)
            column = match.start() + 1 if match else 1
            raise StatisticsError(
                f"formula {text!r}, column {column}",
                f"no column named {name!r}",
                f"one of {', '.join(map(str, data.columns))}",
            )


def _pointing_at_python(text: str, error: SyntaxError) -> StatisticsError:
    """A fault in the Python between braces or in a function's arguments."""
    part = (error.text or "").strip()
    column = text.find(part) + (error.offset or 1) if part and part in text else text.find("{") + 1
    return StatisticsError(
        f"formula {text!r}, column {max(column, 1)}",
        f"{error.msg} in {part or text!r}",
        "an expression such as {w + 1}",
    )


def _pointing(text: str, message: str) -> StatisticsError:
    reason, _, marked = message.partition("\n\n")
    expected = "a formula such as 'volume ~ arm * day'"
    found = _MARKED.search(marked)
    if found is None:
        return StatisticsError(f"formula {text!r}", message.rstrip("."), expected)
    column = found.start() + 1
    return StatisticsError(f"formula {text!r}, column {column}", f"at {found[1]!r}: {reason.rstrip('.')}", expected)
