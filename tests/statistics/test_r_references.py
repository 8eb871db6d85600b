"""Against random-slope fits by R's lme4, recorded at full precision.

`python tests/statistics/test_r_references.py DATA` prints the validation table of docs/statistics.md.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from trialscan.statistics import MixedModelResult, check_random_slope, fit_random_slope

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


def ours(result: MixedModelResult, lmer: dict) -> pd.DataFrame:
    """Our coefficients in R's order."""
    return result.coefficients.loc[[NAMES.get(name, name) for name in lmer["coef_names"]]]


def reference_covariance(lmer: dict) -> tuple[np.ndarray, float]:
    """G and sigma² of lmer."""
    intercept, slope, both, residual = (row["vcov"] for row in lmer["varcorr"])
    return np.array([[intercept, both], [both, slope]]), residual


def relative(ours: object, theirs: object) -> float:
    """Largest relative difference."""
    return float(np.max(np.abs(np.asarray(ours, dtype=float) / np.asarray(theirs, dtype=float) - 1)))


def validation_table(folder: Path) -> str:
    """The table of docs/statistics.md, as Markdown: this engine beside lme4."""
    heads = ["data", "rows", "−2 log REML (lme4)", "ours − lme4", "estimates, rel.", "SE, rel.", "G and σ², rel."]
    heads += ["gradient: ours", "lme4's"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for reference in REFERENCES:
        lmer = reference.expected(folder)["lmer"]
        result = reference.fit(folder)
        table = ours(result, lmer)
        estimate, se = ([row[key] for row in lmer["wald_z"]] for key in ("estimate", "se"))
        G, sigma2 = reference_covariance(lmer)
        components = [*result.covariance.G[np.triu_indices(2)], result.covariance.sigma2]
        lines.append(
            f"| {reference.name} | {result.n_obs} | {lmer['minus2_reml']:.9f} "
            f"| {result.minus2loglik - lmer['minus2_reml']:.0e} | {relative(table['estimate'], estimate):.0e} "
            f"| {relative(table['se'], se):.0e} | {relative(components, [*G[np.triu_indices(2)], sigma2]):.0e} "
            f"| {result.convergence.gradient_norm:.0e} | {lmer['max_abs_grad']:.0e} |"
        )
    return "\n".join(lines)


each_reference = pytest.mark.parametrize("reference", REFERENCES, ids=lambda each: each.name)


@each_reference
def test_restricted_likelihood_is_lme4s(reference, real_data):
    lmer = reference.expected(real_data)["lmer"]
    result = reference.fit(real_data)
    assert (result.n_obs, result.n_patients) == (lmer["n_obs"], lmer["n_subjects"])
    assert abs(result.minus2loglik - lmer["minus2_reml"]) < 1e-9
    assert result.convergence.gradient_norm < 1e-6


@each_reference
def test_estimates_errors_and_normal_inference_are_lme4s(reference, real_data):
    lmer = reference.expected(real_data)["lmer"]
    table = ours(reference.fit(real_data, df="asymptotic"), lmer)
    for column in ("estimate", "se", "t", "lower", "upper"):
        assert_allclose(table[column], [row[column] for row in lmer["wald_z"]], rtol=1e-6)
    assert_allclose(np.log(table["p"] + 1e-300), np.log([row["p"] + 1e-300 for row in lmer["wald_z"]]), rtol=1e-6)
    assert np.isinf(table["df"]).all()


@each_reference
@pytest.mark.parametrize(
    ("df", "information", "theirs"),
    [("satterthwaite", "observed", "satterthwaite"), ("kenward-roger", "expected", "kenward_roger")],
)
def test_degrees_of_freedom_are_lmertests_and_pbkrtests(reference, df, information, theirs, real_data):
    lmer = reference.expected(real_data)["lmer"]
    result = reference.fit(real_data, df=df, information=information)
    table = ours(result, lmer)
    for column, tolerance in {"estimate": 1e-6, "se": 1e-6, "df": 1e-5, "lower": 1e-5, "upper": 1e-5}.items():
        assert_allclose(table[column], [row[column] for row in lmer[theirs]], rtol=tolerance)


@each_reference
def test_covariances_are_lme4s(reference, real_data):
    lmer = reference.expected(real_data)["lmer"]
    result = reference.fit(real_data, df="satterthwaite")
    order = [result.names.index(name) for name in ours(result, lmer).index]
    size = np.sqrt(np.outer(np.diag(lmer["vcov"]), np.diag(lmer["vcov"])))
    assert_allclose(result.vcov[np.ix_(order, order)] / size, np.array(lmer["vcov"]) / size, atol=1e-6)
    G, sigma2 = reference_covariance(lmer)
    assert_allclose(result.covariance.G, G, rtol=2e-5)  # lme4 stops at a gradient of 1e-5 or more
    assert_allclose(result.covariance.sigma2, sigma2, rtol=1e-6)
    assert not result.convergence.singular


@pytest.mark.parametrize(("reference", "by"), [(REFERENCES[1], "Sex"), (REFERENCES[2], "arm")], ids=str)
def test_slopes_by_arm_are_emmeans(reference, by, real_data):
    theirs = reference.expected(real_data)["emtrends"][0]
    result = reference.fit(real_data, df="satterthwaite")
    slopes = result.slopes(by)
    trend = next(key for key in theirs["slopes"][0] if key.endswith(".trend"))
    assert list(slopes.index) == [row[by] for row in theirs["slopes"]]
    assert_allclose(slopes["estimate"], [row[trend] for row in theirs["slopes"]], rtol=1e-6)
    assert_allclose(slopes["se"], [row["SE"] for row in theirs["slopes"]], rtol=1e-6)
    assert_allclose(slopes["df"], [row["df"] for row in theirs["slopes"]], rtol=1e-5)
    difference = theirs["difference"][0]
    first, second = difference["contrast"].split(" - ")
    row = result.slope_differences(by, reference=second).loc[first]
    assert_allclose(row[["estimate", "se"]].to_numpy(float), [difference["estimate"], difference["SE"]], rtol=1e-6)


@each_reference
def test_statsmodels_agrees(reference, real_data):
    check = check_random_slope(reference.fit(real_data))
    assert check.verdict == "agrees", check
    assert abs(check.loglik_difference) < 1e-4
    assert check.effect_difference_se < 1e-2


def test_documented_agreement_covers_every_reference(real_data):
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    for line in validation_table(real_data).splitlines()[2:]:
        assert "|".join(line.split("|")[:4]) in text


if __name__ == "__main__":
    sys.stdout.write(validation_table(Path(sys.argv[1])) + "\n")
