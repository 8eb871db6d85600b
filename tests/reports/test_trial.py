"""The trial's report and figures: every printed estimate is a cell of results.csv."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pypdf
import pytest

from trialscan.errors import ReportError
from trialscan.reports import write_figures, write_trial_report
from trialscan.reports.comparison import Comparison
from trialscan.reports.words import interval

MakeRun = Callable[..., Path]


def flat(path: Path) -> str:
    return " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(path).pages).split())


@pytest.fixture(scope="module")
def compared(build: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(
        tmp_path_factory.mktemp("trial") / "run",
        patients=tuple(f"P{n:03d}" for n in range(1, 17)),
        arms=("Placebozine", "Verumab <5 mg>"),
        failed=frozenset({("P003", "W04")}),
        missing=frozenset({("P002", "W12")}),
        pictures=False,
        compared=True,
    )


@pytest.fixture
def run(compared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compared, tmp_path / "run"))


def cells(run: Path, analysis_id: str, comparator: str = "") -> dict[str, float]:
    table = pd.read_csv(run / "statistics" / "results.csv", keep_default_na=False)
    rows = table[(table["analysis_id"] == analysis_id) & (table["comparator"] == comparator)]
    return {name: float(value) for name, value in zip(rows["statistic"], rows["value"], strict=True) if value != ""}


def test_further_analyses_are_no_endpoints(run: Path) -> None:
    results = run / "statistics" / "results.csv"
    results.write_text(results.read_text() + "responders.partial,BURDENML,W12,,,fisher_p,0.5,\n")
    lock = run / "protocol.lock.yaml"
    assert "method: none" in lock.read_text()
    assert "p values are not adjusted for multiplicity" in flat(write_trial_report(run))
    lock.write_text(lock.read_text().replace("method: none", "method: fixed_sequence"))
    assert [endpoint.name for endpoint in Comparison(run).endpoints] == ["primary", "secondary1"]
    words = flat(write_trial_report(run))
    assert "p values here are not adjusted for multiplicity" in words
    assert "(fixed sequence) are the rows multiplicity of statistics/results.csv" in words


def test_report_prints_the_cells_of_the_results(run: Path) -> None:
    words = flat(write_trial_report(run))
    primary = cells(run, "primary.random_slope", "Placebozine")
    shown = interval(
        primary["percent_difference_per_28_days"],
        primary["percent_difference_lower"],
        primary["percent_difference_upper"],
    )
    assert f"Difference in change per 28 days: {shown} %, 95 % confidence interval" in words
    assert words.count(shown) == 3
    assert "Burden (ml), primary: Verumab <5 mg> against Placebozine" in words
    assert "degrees of freedom. Negative: it falls faster" in words
    assert "Consolidation (%), secondary 1" in words
    assert "Evidence of convergence" in words


def test_the_headline_gives_the_p_value_that_the_protocol_adjusts(run: Path) -> None:
    assert "adjusted for multiplicity:" not in flat(write_trial_report(run))
    path = run / "statistics" / "models.json"
    models = json.loads(path.read_text(encoding="utf-8"))
    where = {"endpoint": "primary", "visit": "", "arm": "Verumab <5 mg>", "comparator": "Placebozine", "family": 1}
    models["models"].append(
        {
            "analysis_id": "multiplicity",
            "kind": "multiplicity",
            "procedure": "Holm (1979), step-down",
            "alpha": 0.05,
            "hypotheses": [{**where, "p": 0.0123, "p_adjusted": 0.0246, "rejected": True}],
        }
    )
    path.write_text(json.dumps(models), encoding="utf-8")
    assert "(adjusted for multiplicity: 0.025)" in flat(write_trial_report(run))


def test_report_tells_cohort_and_gaps(run: Path) -> None:
    words = flat(write_trial_report(run))
    assert "Patients 8 8" in words
    assert "Visits measured 23 23" in words
    assert "Visits failed 1 0" in words
    assert "Visits missing 0 1" in words
    assert "Sex F 5, M 3 F 5, M 3" in words
    assert "P003 W04: The scan could not be used: scan.nii.gz: truncated" in words
    assert "P002 W12: The visit was planned but there is no scan." in words


def test_absent_comparison_is_explained(build: MakeRun, tmp_path: Path) -> None:
    run = build(tmp_path / "run", arms=(), pictures=False, compared=True)
    words = flat(write_trial_report(run))
    assert "The comparison of the arms is absent. Parameter BURDENML: no patient has an arm" in words
    assert "Analyses that are absent" in words
    assert "no arm (n = 3)" in words


def test_report_is_the_same_twice(run: Path) -> None:
    first = write_trial_report(run).read_bytes()
    write_figures(run)
    assert write_trial_report(run).read_bytes() == first


def test_figures_come_with_their_numbers(run: Path) -> None:
    written = write_figures(run)
    folder = run / "statistics" / "figures"
    names = ["trajectories", "waterfall", "spider", "ls_means", "forest", "covariance", "residuals", "missing_visits"]
    assert written == [folder / f"{name}.{kind}" for name in names for kind in ("svg", "csv")]
    for path in written:
        content = path.read_text(encoding="utf-8")
        assert content.startswith("<?xml") if path.suffix == ".svg" else "," in content
    first = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in write_figures(run)] == first


def test_figure_numbers_are_those_of_the_tables(run: Path) -> None:
    write_figures(run)
    folder = run / "statistics" / "figures"
    courses = pd.read_csv(folder / "trajectories.csv")
    analysis = pd.read_csv(run / "tables" / "analysis.csv")
    measured = analysis[(analysis["PARAMCD"] == "BURDENML") & analysis["AVAL"].notna()]
    assert sorted(courses.loc[courses["patient_id"].notna(), "value"]) == sorted(measured["AVAL"])
    results = pd.read_csv(run / "statistics" / "results.csv")
    means = results[(results["analysis_id"] == "primary.descriptive") & (results["statistic"] == "mean")]
    assert sorted(courses.loc[courses["patient_id"].isna(), "value"]) == sorted(means["value"])
    bars = pd.read_csv(folder / "ls_means.csv")
    slopes = results[results["statistic"] == "percent_change_per_28_days"]["value"]
    assert set(bars.loc[bars["panel"] == "slope", "estimate"]) <= set(slopes)
    states = pd.read_csv(folder / "missing_visits.csv")
    assert states["state"].value_counts().to_dict() == {"ok": 46, "failed": 1, "missing": 1}


def test_figures_hold_text_and_no_date(run: Path) -> None:
    write_figures(run)
    svg = (run / "statistics" / "figures" / "trajectories.svg").read_text(encoding="utf-8")
    assert "Verumab &lt;5 mg&gt; (n = 8)" in svg
    assert "<dc:date>" not in svg


@pytest.mark.parametrize(
    "gone",
    ["tables/analysis.csv", "statistics/results.csv", "statistics/residuals.csv", "statistics/models.json"],
)
def test_a_missing_table_is_named(run: Path, gone: str) -> None:
    (run / gone).unlink()
    with pytest.raises(ReportError, match=Path(gone).name):
        write_trial_report(run)


def test_a_result_that_is_no_number_is_named(run: Path) -> None:
    path = run / "statistics" / "results.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, "value"] = "many"
    table.to_csv(path, index=False)
    with pytest.raises(ReportError, match="'many'"):
        write_trial_report(run)
