"""Small trials with known truth, and tables in the shape of tables/analysis.csv."""

import numpy as np
import pandas as pd
import pytest


def simulate(
    seed: int, patients: int = 24, visits: int = 4, intercept_sd=1.0, slope_sd=0.01, residual_sd=0.3, jitter=5
):
    """Two arms, visits about every four weeks on each patient's own days, arm b falling 0.01 a day faster."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        arm = "ab"[number % 2]
        intercept, slope = rng.normal(size=2) * [intercept_sd, slope_sd]
        for visit in range(visits):
            day = visit * 28 + (int(rng.integers(-jitter, jitter + 1)) if visit and jitter else 0)
            mean = 3 + intercept + (slope + (0.005 if arm == "a" else -0.005)) * day
            rows.append((f"P{number:02d}", arm, f"V{visit}", visit, day, mean + rng.normal() * residual_sd))
    return pd.DataFrame(rows, columns=["id", "arm", "visit", "number", "day", "y"])


def as_analysis(table: pd.DataFrame, code: str = "BURDENML", label: str = "Burden (ml)") -> pd.DataFrame:
    """tables/analysis.csv of a simulated trial; its values are exp(y)."""
    value = np.exp(table["y"])
    base = table["id"].map(dict(zip(table["id"][table["number"] == 0], value[table["number"] == 0], strict=True)))
    return pd.DataFrame(
        {
            "USUBJID": table["id"],
            "TRT01P": table["arm"],
            "PARAMCD": code,
            "PARAM": label,
            "AVISIT": table["visit"],
            "AVISITN": table["number"],
            "ADY": table["day"],
            "AVAL": value,
            "BASE": base,
            "CHG": value - base,
            "ABLFL": np.where(table["number"] == 0, "Y", None),
            "ANL01FL": "Y",
        }
    )


@pytest.fixture
def trial() -> pd.DataFrame:
    return simulate(7)


@pytest.fixture
def analysis(trial: pd.DataFrame) -> pd.DataFrame:
    return as_analysis(trial)
