"""The validation table, docs/validation.md: this engine against every recorded reference.

`python tests/statistics/test_validation.py DATA` writes the document anew; the test holds it to the engine as it is.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reference_fits import (
    COLUMNS,
    OPTIONS,
    REFERENCES,
    STRUCTURES,
    TIGHT,
    fit_like,
    in_their_order,
    reference_covariance,
    reference_fit,
)

from trialscan.statistics import MixedModelResult, fit_mmrm
from trialscan.statistics.imputation import reference_based

DOCUMENT = Path(__file__).parents[2] / "docs" / "validation.md"
COLUMNS_SHOWN = ("−2 log-likelihood", "estimates", "SE", "df")
LOOSE = 50  # R's own distance from the minimum where its gradient is above TIGHT
HEADING = """# Validation of the statistics

Every reference fit that the tests know, beside this engine's fit of the same model to the same table. Cells hold the
largest difference over all values: absolute for −2 log-likelihoods (REML and ML), relative for estimates (coefficients,
variances, LS-means, contrasts), standard errors (SE) and degrees of freedom (df) by every method recorded. Bounds held:

| reference | −2 log-likelihood | estimates | SE | df |
|---|---|---|---|---|
| R mmrm with emmeans | 1e-6 | 1e-6 | 1e-6 | 1e-5 |
| \\* where R stopped at a gradient above 1e-5 and is good to about 1e-6 itself | 1e-6 | 5e-5 | 5e-5 | 5e-5 |
| R nlme gls, which stops earlier | 1e-6 | 1e-3 | 1e-3 | |
| SAS PROC MIXED, printed to 4–6 digits | | 5e-5 | 2e-4 | 5e-4 |
| R lme4, lmerTest, pbkrtest (variances 2e-5) | 1e-6 | 1e-6 | 1e-6 | 1e-5 |
| R rbmi, jackknife (estimates relative to estimate + SE) | | 1e-5 | 1e-4 | |

Against mmrm, Kenward–Roger is taken in its log-Cholesky parameters; against SAS in natural ones, the default.
Versions: R 4.2.2, mmrm 0.3.18, emmeans 1.8.4.1, nlme 3.1.162, lme4 1.1.31, lmerTest 3.1.3, pbkrtest 0.5.2, rbmi 1.6.0;
SAS as published with mmrm. Written by `python tests/statistics/test_validation.py DATA`.
"""


@dataclass
class Agreement:
    """The largest differences from one reference fit, how many values were compared, and the bounds they must keep."""

    reference: str
    model: str
    bounds: dict[str, float]
    differences: dict[str, float] = field(default_factory=dict)
    values: int = 0

    def add(self, quantity: str, ours: Sequence[float], theirs: Sequence[float], size: object = None) -> None:
        """`size` is what differences are relative to; None: to their value, and for −2 log-likelihoods to 1."""
        ours, theirs = np.ravel(np.asarray(ours, float)), np.ravel(np.asarray(theirs, float))
        if size is None:
            size = 1.0 if quantity == COLUMNS_SHOWN[0] else np.abs(theirs)
        worst = float(np.max(np.abs(ours - theirs) / size))
        self.differences[quantity] = max(worst, self.differences.get(quantity, 0.0))
        self.values += len(ours)

    def line(self) -> str:
        cells = [f"{self.differences[name]:.0e}" if name in self.differences else "" for name in COLUMNS_SHOWN]
        return f"| {self.reference} | {self.model} | {self.values} | {' | '.join(cells)} |"


def agreements(folder: Path) -> list[Agreement]:
    return [*mmrm(folder), *gls(folder), *sas(folder), *slopes(folder), *imputation(folder)]


def mmrm(folder: Path) -> Iterator[Agreement]:
    for name in COLUMNS:
        for structure in STRUCTURES:
            fit = reference_fit(folder, name, structure)
            rough = fit["reml"]["max_abs_grad"] >= TIGHT
            close = 1e-6 * (LOOSE if rough else 1)
            bounds = {"−2 log-likelihood": 1e-6, "estimates": close, "SE": close, "df": max(1e-5, close)}
            row = Agreement("R mmrm, emmeans", f"{name}, {structure}{'*' if rough else ''}", bounds)
            for key in ("reml", "ml"):
                result = fit_like(folder, name, structure, reml=key == "reml")
                row.add("−2 log-likelihood", [result.minus2loglik], [fit[key]["minus2loglik"]])
            for method, options in OPTIONS.items():
                theirs = next(
                    each
                    for each in (*fit["inference"], fit["sandwich"])
                    if each["vcov_method"] == method and each["df_method"] in ("Satterthwaite", "Kenward-Roger")
                )
                _inference(row, fit_like(folder, name, structure, **options), theirs, name)
            yield row


def _inference(row: Agreement, result: MixedModelResult, theirs: dict, name: str) -> None:
    """Coefficients, LS-means and contrasts by visit."""
    arm, visit = COLUMNS[name]["arm"], COLUMNS[name]["visit"]
    means = result.lsmeans((arm, visit)).loc[[(each[arm], str(each[visit])) for each in theirs["lsmeans"]]]
    keys = [(each["contrast"].split(" - ")[0], str(each[visit])) for each in theirs["contrasts"]]
    other = theirs["contrasts"][0]["contrast"].split(" - ")[1]
    contrasts = result.lsmeans_differences(arm, visit, reference=other).loc[keys]
    for table, rows, estimate, se in (
        (result.coefficients, theirs["coefficients"], "estimate", "se"),
        (means, theirs["lsmeans"], "emmean", "SE"),
        (contrasts, theirs["contrasts"], "estimate", "SE"),
    ):
        row.add("estimates", table["estimate"], [each[estimate] for each in rows])
        row.add("SE", table["se"], [each[se] for each in rows])
        row.add("df", table["df"], [each["df"] for each in rows])


def gls(folder: Path) -> Iterator[Agreement]:
    for name in COLUMNS:
        theirs = json.loads((folder / "statistics" / f"{name}_gls_us.json").read_text())
        result = fit_like(folder, name, "us", df="asymptotic")
        row = Agreement("R nlme gls", f"{name}, us", {"−2 log-likelihood": 1e-6, "estimates": 1e-3, "SE": 1e-3})
        row.add("−2 log-likelihood", [result.minus2loglik], [-2 * theirs["reml_loglik_nlme"]])
        rows = theirs["coefficients_residual_df"]
        row.add("estimates", result.coefficients["estimate"], [each["estimate"] for each in rows])
        row.add("SE", result.coefficients["se"], [each["se"] for each in rows])
        yield row


def sas(folder: Path) -> Iterator[Agreement]:
    data = pd.read_csv(folder / "statistics" / "fev_data.csv")
    names = {"estimates": ("estimate", "Estimate"), "SE": ("se", "StdErr"), "df": ("df", "DF")}
    for file, (df, option) in {"kr": ("kenward-roger", "kr"), "kr1": ("kenward-roger-linear", "kr(linear)")}.items():
        for structure in ("us", "csh", "toeph", "ar1"):
            theirs = pd.read_csv(folder / "statistics" / "sas" / f"{file}_{structure}.csv").iloc[0]
            result = fit_mmrm(data, "FEV1 ~ ARMCD", patient="USUBJID", visit="AVISIT", covariance=structure, df=df)
            ours = result.coefficients.loc["ARMCD[T.TRT]"]
            row = Agreement(f"SAS ddfm={option}", f"fev, {structure}", {"estimates": 5e-5, "SE": 2e-4, "df": 5e-4})
            for quantity, (mine, their) in names.items():
                row.add(quantity, [ours[mine]], [theirs[their]])
            yield row


def slopes(folder: Path) -> Iterator[Agreement]:
    for reference in REFERENCES:
        lmer = reference.expected(folder)["lmer"]
        bounds = {"−2 log-likelihood": 1e-6, "estimates": 1e-6, "SE": 1e-6, "df": 1e-5, "G and σ²": 2e-5}
        row = Agreement("R lme4, lmerTest, pbkrtest", f"{reference.name}, random slope", bounds)
        plain = reference.fit(folder)
        row.add("−2 log-likelihood", [plain.minus2loglik], [lmer["minus2_reml"]])
        row.add("estimates", in_their_order(plain, lmer)["estimate"], [each["estimate"] for each in lmer["wald_z"]])
        G, sigma2 = reference_covariance(lmer)
        upper = np.triu_indices(2)
        row.add("G and σ²", [*plain.covariance.G[upper], plain.covariance.sigma2], [*G[upper], sigma2])
        for df in ("satterthwaite", "kenward-roger"):
            table = in_their_order(reference.fit(folder, df=df), lmer)
            theirs = lmer[df.replace("-", "_")]
            row.add("SE", table["se"], [each["se"] for each in theirs])
            row.add("df", table["df"], [each["df"] for each in theirs])
        yield row


def imputation(folder: Path) -> Iterator[Agreement]:
    data = pd.read_csv(folder / "statistics" / "lesion_trial.csv")
    data["event"] = data["ice_week"].map(dict(zip(data["week"], data["visit"], strict=True)))
    ours = reference_based(
        data,
        "chg_log ~ base_log * visit + arm * visit",
        patient="id",
        visit="visit",
        arm="arm",
        reference="control",
        first_affected="event",
        covariates=["base_log"],
    )
    for theirs in json.loads((folder / "statistics" / "lesion_rbmi.json").read_text())["results"]:
        row = Agreement("R rbmi", f"lesion, {theirs['strategy']}", {"estimates": 1e-5, "SE": 1e-4})
        for each in theirs["pooled"]:
            kind, visit = each["parameter"].rsplit("_", 1)
            table = ours.differences if kind == "trt" else ours.adjusted_means
            found = table.loc[(theirs["strategy"], "control" if kind == "lsm_ref" else "active", visit)]
            row.add("estimates", [found["estimate"]], [each["est"]], size=abs(each["est"]) + each["se"])
            row.add("SE", [found["se"]], [each["se"]])
        yield row


def document(rows: Sequence[Agreement]) -> str:
    head = f"| reference | model | values | {' | '.join(COLUMNS_SHOWN)} |\n{'|---' * 7}|"
    return "\n".join([HEADING, head, *(row.line() for row in rows)]) + "\n"


@pytest.fixture(scope="module")
def rows(real_data):
    return agreements(real_data)


def test_every_reference_is_met(rows):
    for row in rows:
        beyond = {name: value for name, value in row.differences.items() if not value <= row.bounds[name]}
        assert not beyond, (row.reference, row.model)


def test_the_document_says_what_the_engine_does(rows):
    """Every row stands there; its differences have at most grown tenfold, as rounding on another machine may."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.startswith(HEADING)
    lines = [line for line in text.splitlines() if line.startswith(("| R ", "| SAS ")) and line.count("|") == 8]
    assert len(lines) == len(rows)
    for row, line in zip(rows, lines, strict=True):
        documented = [cell.strip() for cell in line.strip("|").split("|")]
        current = [cell.strip() for cell in row.line().strip("|").split("|")]
        assert documented[:3] == current[:3]
        for was, now in zip(documented[3:], current[3:], strict=True):
            assert bool(was) == bool(now)
            assert not now or float(now) <= max(10 * float(was), 1e-8)


if __name__ == "__main__":
    DOCUMENT.write_text(document(agreements(Path(sys.argv[1]))), encoding="utf-8")
