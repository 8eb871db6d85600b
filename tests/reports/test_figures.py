"""Figures of a trial with every analysis: what is drawn is what the tables hold, and what cannot be drawn is told."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pypdf
import pytest

from trialscan.reports import write_figures, write_trial_report

MakeRun = Callable[..., Path]
ANALYSIS = {
    "model": "mmrm",
    "ancova": ["W12"],
    "subgroups": [{"column": "sex"}, {"column": "age", "cuts": [55.0]}],
    "multiplicity": {"method": "hochberg"},
    "responders": [{"name": "halved", "measure": "burden_ml", "visit": "W12", "at_most": -50.0}],
    "missing_data": {"strategies": ["MAR", "JR"], "tipping_point": {"deltas": [0.0, 8.0], "steps": 4}},
}


@pytest.fixture(scope="module")
def drawn(build: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose figures and report are written."""
    run = build(
        tmp_path_factory.mktemp("figures") / "run",
        patients=tuple(f"P{n:03d}" for n in range(1, 41)),
        visits=(("BL", 0), ("W04", 28), ("W12", 84)),
        arms=("Placebo", "Verumab"),
        missing=frozenset({("P002", "W12"), ("P004", "W12"), ("P005", "W04"), ("P009", "W04"), ("P009", "W12")}),
        pictures=False,
        compared=True,
        analysis=ANALYSIS,
    )
    write_figures(run)
    write_trial_report(run)
    return run


def words(run: Path) -> str:
    pages = pypdf.PdfReader(run / "reports" / "trial.pdf").pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


def figure(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "statistics" / "figures" / f"{name}.csv", keep_default_na=False, na_values=[""])


def models(run: Path) -> dict[str, dict[str, Any]]:
    records = json.loads((run / "statistics" / "models.json").read_text())["models"]
    return {record["analysis_id"]: record for record in records}


def estimates(run: Path, analysis_id: str, statistic: str) -> pd.DataFrame:
    table = pd.read_csv(run / "statistics" / "results.csv", keep_default_na=False)
    table = table[(table["analysis_id"] == analysis_id) & (table["statistic"] == statistic)]
    return table.assign(value=table["value"].astype(float))


def test_every_figure_is_there(drawn: Path) -> None:
    found = {path.stem for path in (drawn / "statistics" / "figures").glob("*.svg")}
    assert found == {
        "trajectories",
        "waterfall",
        "spider",
        "ls_means",
        "forest",
        "subgroups",
        "covariance",
        "residuals",
        "tipping_point",
        "missing_visits",
    }


def test_waterfall_holds_each_patients_lowest_change(drawn: Path) -> None:
    analysis = pd.read_csv(drawn / "tables" / "analysis.csv")
    after = analysis[(analysis["PARAMCD"] == "BURDENML") & analysis["ABLFL"].isna()]
    lowest = (100 * (after["AVAL"] / after["BASE"] - 1)).groupby(after["USUBJID"]).min().dropna()
    table = figure(drawn, "waterfall").set_index("patient_id")
    np.testing.assert_allclose(table["percent_change"], lowest[table.index])
    assert len(table) == 39
    assert table["percent_change"].is_monotonic_decreasing
    assert set(table["error_lower_percent"]) == {-12.0}
    assert set(table["error_upper_percent"]) == {14.0}
    assert "Not shown: 1 patient without a baseline above 0 or a later value." in words(drawn)


def test_spider_starts_at_the_baseline(drawn: Path) -> None:
    table = figure(drawn, "spider")
    starts = table[table["visit"] == "BL"]
    assert (starts["percent_change"] == 0).all()
    assert len(starts) == table["patient_id"].nunique() == 39
    assert starts["error_upper_percent"].isna().all()


def test_means_and_forest_are_the_mmrms(drawn: Path) -> None:
    means = figure(drawn, "ls_means")
    assert set(means["analysis_id"]) == {"primary.random_slope", "primary.mmrm"}
    at_visits = means[means["panel"] == "visit"].sort_values(["visit", "arm"])
    expected = estimates(drawn, "primary.mmrm", "percent_change").sort_values(["visit", "arm"])
    np.testing.assert_allclose(at_visits["estimate"], expected["value"], rtol=1e-14)
    forest = figure(drawn, "forest")
    differences = forest[forest["analysis_id"] == "primary.mmrm"].sort_values("visit")
    expected = estimates(drawn, "primary.mmrm", "percent_difference").sort_values("visit")
    np.testing.assert_allclose(differences["estimate"], expected["value"], rtol=1e-14)
    assert set(forest.loc[forest["label"] == "Consolidation (%)", "scale"]) == {"own unit", "own unit per day"}


def test_covariance_is_the_mmrms(drawn: Path) -> None:
    record = models(drawn)["primary.mmrm"]["covariance"]
    S = np.array(record["matrices"]["all"])
    table = figure(drawn, "covariance").set_index(["visit", "other_visit"])["value"]
    assert table["W04", "W04"] == pytest.approx(np.sqrt(S[0, 0]))
    assert table["W04", "W12"] == pytest.approx(S[0, 1] / np.sqrt(S[0, 0] * S[1, 1]))


def test_residuals_are_those_of_the_primary_model(drawn: Path) -> None:
    table = figure(drawn, "residuals")
    every = pd.read_csv(drawn / "statistics" / "residuals.csv")
    mine = every[every["analysis_id"] == "primary.mmrm"]
    np.testing.assert_array_equal(table["scaled_residual"], mine["scaled_residual"])
    assert len(table) == models(drawn)["primary.mmrm"]["n_observations"]


def test_tipping_point_turns_where_the_grid_does(drawn: Path) -> None:
    table = figure(drawn, "tipping_point")
    assert list(table["delta"]) == [0, 2, 4, 6, 8]
    assert table["estimate"].is_monotonic_increasing
    comparison = models(drawn)["primary.tipping_point"]["comparisons"][0]
    turned = comparison["tipping_delta"]
    assert turned is not None
    assert table.loc[table["delta"] < turned, "p"].max() < 0.05
    assert f"the conclusion turns at delta {turned:.3f}." in words(drawn)


def test_subgroups_stand_beside_all_patients(drawn: Path) -> None:
    table = figure(drawn, "subgroups")
    overall = table[table["level"].isna()]
    assert set(overall["analysis_id"]) == {"primary.subgroup.SEX", "primary.subgroup.AGE"}
    primary = estimates(drawn, "primary.mmrm", "adjusted_mean_difference")
    last = primary.loc[primary["visit"] == "W12", "value"].item()
    np.testing.assert_allclose(overall["estimate"], last, rtol=1e-14)
    levels = table[table["column"] == "SEX"].dropna(subset=["level"])
    assert list(levels["level"]) == ["F", "M"]
    assert levels["patients"].sum() == models(drawn)["primary.subgroup.SEX"]["n_patients"]


def test_report_tells_estimand_gaps_sensitivity_and_multiplicity(drawn: Path) -> None:
    told = words(drawn)
    assert "Primary estimand" in told
    assert "Missing outcomes" in told
    assert "Placebo 20 18 1 1 2 (10 %) 1 (5 %)" in told
    assert "primary.reference_based.JR W12 Verumab − Placebo" in told
    assert "primary.reference_based.JR W04" not in told
    assert "responders.halved" in told
    assert "primary.ancova W12" in told
    assert "Adjustment for multiplicity" in told
    assert "Burden (ml), primary W12 Verumab − Placebo 1 < 0.001 < 0.001 yes" in told


def test_a_last_visit_that_cannot_be_estimated_is_no_headline(build: MakeRun, tmp_path: Path) -> None:
    patients = tuple(f"P{n:03d}" for n in range(1, 25))
    run = build(
        tmp_path / "run",
        patients=patients,
        visits=(("BL", 0), ("W04", 28), ("W08", 56), ("W12", 84)),
        arms=("Placebo", "Verumab"),
        missing=frozenset((name, "W12") for name in patients[1::2]),
        pictures=False,
        compared=True,
        analysis={"model": "mmrm"},
    )
    write_trial_report(run)
    told = words(run)
    assert "The comparison of the arms is absent. Visit W12, arm Verumab: not estimable" in told
    assert "Difference in change from baseline to W08" not in told


def test_many_arms_and_visits_keep_every_number(build: MakeRun, tmp_path: Path) -> None:
    run = build(
        tmp_path / "run",
        patients=tuple(f"SITE-{n % 9}-PATIENT-{n:04d}" for n in range(1, 61)),
        visits=tuple((f"Week-{4 * n}", 28 * n) for n in range(8)),
        arms=tuple(f"Dose group number {n} of the trial" for n in range(1, 6)),
        pictures=False,
        compared=True,
    )
    write_figures(run)
    write_trial_report(run)
    forests = [path.stem for path in sorted((run / "statistics" / "figures").glob("forest*.csv"))]
    assert forests == ["forest_primary", "forest_secondary1"]
    assert len(figure(run, "forest_primary")) == 4 * 8


def test_nothing_drawn_without_reasons(drawn: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(drawn, tmp_path / "run"))
    path = run / "statistics" / "models.json"
    document = json.loads(path.read_text())
    kept = [record for record in document["models"] if record.get("kind") not in {"subgroup", "tipping_point"}]
    path.write_text(json.dumps(document | {"models": kept}))
    write_trial_report(run)
    told = words(run)
    assert "Figures that are absent" in told
    assert "No subgroups were analysed." in told
    assert "No tipping-point analysis was made." in told
