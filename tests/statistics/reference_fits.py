"""The recorded fits of other programs, and this engine's fits of the same models to the same tables."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from trialscan.statistics import MixedModelResult, fit_mmrm, fit_random_slope

STRUCTURES = ("us", "toeph", "toep", "ar1h", "ar1", "csh", "cs", "adh", "ad")
TIGHT = 1e-5  # where R's gradient is larger, R itself is good to about 1e-6 only
OPTIONS = {
    "Asymptotic": {"df": "satterthwaite"},
    "Kenward-Roger": {"df": "kenward-roger", "parameters": "log-cholesky"},
    "Kenward-Roger-Linear": {"df": "kenward-roger-linear"},
    "Empirical": {"sandwich": "CR0"},
}
FACTORS = {
    "fev": {"SEX": ("Male", "Female"), "ARMCD": ("PBO", "TRT")},
    "orthodont": {"Sex": ("Male", "Female"), "visit": ("8", "10", "12", "14")},
}
COLUMNS = {
    "fev": {"patient": "USUBJID", "visit": "AVISIT", "arm": "ARMCD", "table": "fev_data.csv"},
    "orthodont": {"patient": "Subject", "visit": "visit", "arm": "Sex", "table": "orthodont.csv"},
}


def table(folder: Path, name: str) -> pd.DataFrame:
    data = pd.read_csv(folder / "statistics" / COLUMNS[name]["table"])
    if name == "orthodont":
        data["visit"] = data["age"].astype(str)
    return data.assign(**{key: pd.Categorical(data[key], levels) for key, levels in FACTORS[name].items()})


@cache
def reference(folder: Path, name: str) -> dict:
    return json.loads((folder / "statistics" / f"{name}_mmrm.json").read_text())


def reference_fit(folder: Path, name: str, structure: str) -> dict:
    return next(fit for fit in reference(folder, name)["fits"] if fit["structure"] == structure)


def fit_like(folder: Path, name: str, structure: str, **options: object) -> MixedModelResult:
    formula, columns = reference(folder, name)["fixed"], COLUMNS[name]
    return fit_mmrm(
        table(folder, name),
        formula,
        patient=columns["patient"],
        visit=columns["visit"],
        covariance=structure,
        **options,
    )


NAMES = {
    "(Intercept)": "Intercept",
    "SexFemale": "Sex[T.Female]",
    "age:SexFemale": "age:Sex[T.Female]",
    "armactive": "arm[T.active]",
    "t:armactive": "t:arm[T.active]",
}


@dataclass(frozen=True)
class Reference:
    name: str
    table: str
    formula: str
    patient: str
    time: str
    factor: tuple[str, tuple[str, ...]] | None

    def fit(self, folder: Path, **settings) -> MixedModelResult:
        data = pd.read_csv(folder / "statistics" / self.table)
        if "week" in data:
            data["t"] = data["week"] / 52
        if self.factor is not None:
            column, levels = self.factor
            data[column] = pd.Categorical(data[column], levels)
        return fit_random_slope(data, self.formula, patient=self.patient, time=self.time, **settings)

    def expected(self, folder: Path) -> dict:
        return json.loads((folder / "statistics" / f"{self.name}.json").read_text())


REFERENCES = (
    Reference("sleepstudy", "sleepstudy.csv", "Reaction ~ Days", "Subject", "Days", None),
    Reference(
        "orthodont_slope", "orthodont.csv", "distance ~ age * Sex", "Subject", "age", ("Sex", ("Male", "Female"))
    ),
    Reference(
        "lesion_slope",
        "lesion_trial.csv",
        "log_vol ~ base_log + t * arm",
        "id",
        "t",
        ("arm", ("control", "active")),
    ),
)


def in_their_order(result: MixedModelResult, lmer: dict) -> pd.DataFrame:
    """Our coefficients in R's order."""
    return result.coefficients.loc[[NAMES.get(name, name) for name in lmer["coef_names"]]]


def reference_covariance(lmer: dict) -> tuple[np.ndarray, float]:
    """G and sigma² of lmer."""
    intercept, slope, both, residual = (row["vcov"] for row in lmer["varcorr"])
    return np.array([[intercept, both], [both, slope]]), residual


def relative(ours: object, theirs: object) -> float:
    """Largest relative difference."""
    return float(np.max(np.abs(np.asarray(ours, dtype=float) / np.asarray(theirs, dtype=float) - 1)))
