"""The tables of the benchmarks: seeded, so that every run and every program has the same."""

import numpy as np
import pandas as pd


def visits_table(patients: int, visits: int, *, missing: float = 0.1, seed: int = 1) -> pd.DataFrame:
    """Two arms, planned visits, correlated outcomes; after the first visit a share is missing, each on its own."""
    rng = np.random.default_rng(seed)
    at = np.arange(visits)
    sd = 1 + 0.1 * at
    root = np.linalg.cholesky(np.outer(sd, sd) * 0.7 ** np.abs(np.subtract.outer(at, at)))
    arm = np.arange(patients) % 2
    y = rng.standard_normal((patients, visits)) @ root.T - 0.1 * at * arm[:, None]
    y[:, 1:][rng.random((patients, visits - 1)) < missing] = np.nan
    who = np.repeat(np.arange(patients), visits)
    table = pd.DataFrame(
        {
            "id": [f"P{number:05d}" for number in who],
            "arm": np.where(arm[who], "treated", "control"),
            "visit": [f"V{number:02d}" for number in np.tile(at + 1, patients)],
            "y": y.ravel(),
        }
    )
    return table.dropna(ignore_index=True)


def slopes_table(patients: int, visits: int, *, seed: int = 2) -> pd.DataFrame:
    """Two arms, a line for each patient, visits within a week of every fourth week."""
    rng = np.random.default_rng(seed)
    days = 28 * np.arange(visits) + rng.integers(-7, 8, (patients, visits))
    days[:, 0] = 0
    arm = np.arange(patients) % 2
    lines = rng.standard_normal((patients, 2)) * [1.0, 0.01]
    y = 4 + lines[:, :1] + (lines[:, 1:] - 0.005 * arm[:, None]) * days + 0.3 * rng.standard_normal(days.shape)
    who = np.repeat(np.arange(patients), visits)
    return pd.DataFrame(
        {
            "id": [f"P{number:05d}" for number in who],
            "arm": np.where(arm[who], "treated", "control"),
            "day": days.ravel(),
            "y": y.ravel(),
        }
    )


def events_table(patients: int, visits: int, *, seed: int = 3) -> pd.DataFrame:
    """A row for every patient and visit with a baseline, outcomes missing from a patient's intercurrent event on."""
    rng = np.random.default_rng(seed)
    full = visits_table(patients, visits, missing=0.0, seed=seed)
    base = rng.standard_normal(patients)
    first = np.where(rng.random(patients) < 0.3, rng.integers(2, visits + 1, patients), visits + 1)
    number = np.tile(np.arange(1, visits + 1), patients)
    event = np.repeat(first, visits)
    return full.assign(
        base=np.repeat(base, visits),
        y=np.where(number >= event, np.nan, full["y"] + np.repeat(base, visits)),
        event=[f"V{at:02d}" if at <= visits else None for at in event],
    )
