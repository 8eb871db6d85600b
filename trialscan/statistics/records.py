"""Fits as plain values for models.json: numbers, text, lists and dictionaries; what is not finite is null."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trialscan.statistics.results import MixedModelResult


def result_record(result: MixedModelResult) -> dict[str, Any]:
    """Everything a fitted mixed model reports."""
    method = result.inference.method
    return {
        "formula": result.formula,
        "estimation": "REML" if result.reml else "ML",
        "inference": method.description,
        "df_method": method.name,
        "information": method.information,
        "parameterisation": method.parameterisation,
        "n_patients": result.n_patients,
        "n_observations": result.n_obs,
        "coefficients": coefficient_records(result.coefficients),
        "aliased": list(result.design.aliased),
        "vcov": matrix(result.vcov),
        "covariance": plain(result.covariance.record()),
        "minus2loglik": number(result.minus2loglik),
        "convergence": plain(asdict(result.convergence)),
    }


def coefficient_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A dictionary each row of a table of estimates, its index under "name"."""
    return [
        {"name": str(name), **{str(column): number(value) for column, value in row.items()}}
        for name, row in table.iterrows()
    ]


def matrix(values: NDArray[np.float64]) -> list[list[float | None]]:
    """Rows of numbers."""
    return [[number(value) for value in row] for row in values]


def number(value: float) -> float | None:
    """A float; None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def plain(value: object) -> object:
    """Tuples as lists, floats finite or None, all the way down."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return number(value) if isinstance(value, float) else value
