"""A small trial with drop-out, and imputation with the columns it has."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from trialscan.statistics.imputation import ReferenceBasedResult, reference_based


@pytest.fixture(scope="session")
def trial() -> Callable[..., pd.DataFrame]:
    """Two arms, three visits; two patients in five leave at V2 or V3."""

    def make(seed: int = 1, patients: int = 36) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        S = 0.3 + 0.7 * np.eye(3)
        rows = []
        for number in range(patients):
            arm, base = ("ctl", "act")[number % 2], rng.normal()
            y = rng.multivariate_normal(np.arange(3) * (1.0 if arm == "ctl" else 0.2), S) + base
            event = rng.choice([None, "V2", "V3"], p=[0.6, 0.2, 0.2])
            for visit in range(3):
                gone = event is not None and f"V{visit + 1}" >= event
                rows.append((f"P{number:02d}", arm, base, f"V{visit + 1}", np.nan if gone else y[visit], event))
        return pd.DataFrame(rows, columns=["id", "arm", "base", "visit", "y", "event"])

    return make


@pytest.fixture(scope="session")
def analyse() -> Callable[..., ReferenceBasedResult]:
    def run(table: pd.DataFrame, **settings) -> ReferenceBasedResult:
        given = {
            "patient": "id",
            "visit": "visit",
            "arm": "arm",
            "reference": "ctl",
            "first_affected": "event",
            "covariates": ["base"],
        }
        return reference_based(table, "y ~ base * visit + arm * visit", **(given | settings))

    return run
