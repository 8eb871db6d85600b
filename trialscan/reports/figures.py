"""The figures of a trial, each as SVG with the CSV of the numbers drawn."""

from pathlib import Path

import pandas as pd

from trialscan.reports.comparison import Comparison
from trialscan.reports.figure_arms import arm_svg, arm_table, in_percent
from trialscan.reports.figure_missing import missing_svg, missing_table, visit_order
from trialscan.reports.figure_trajectories import trajectories_svg, trajectories_table
from trialscan.reports.run_folder import RunFolder

FIGURES = ("trajectories", "arm_comparison", "missing_visits")


def write_figures(run: Path) -> list[Path]:
    """Write trajectories, arm_comparison (both of the primary endpoint) and missing_visits to `statistics/figures/`.

    Raises
    ------
    ReportError
        A table of the run is absent or unreadable.
    """
    folder, comparison = RunFolder(run), Comparison(run)
    target = run / "statistics" / "figures"
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, (svg, table) in draw_figures(folder, comparison).items():
        picture, numbers = target / f"{name}.svg", target / f"{name}.csv"
        picture.write_text(svg, encoding="utf-8")
        table.to_csv(numbers, index=False, lineterminator="\n", float_format=_number)
        written += [picture, numbers]
    return written


def draw_figures(folder: RunFolder, comparison: Comparison) -> dict[str, tuple[str, pd.DataFrame]]:
    """Every figure by name: its SVG, and the table of what it shows."""
    primary = comparison.primary
    least = folder.protocol.analysis.min_patients_per_arm
    means = [row for row in comparison.of(primary, "descriptive") if (row.get("n") or 0) >= least]
    courses = trajectories_table(comparison, primary.parameter, means)
    arms = arm_table(comparison, primary)
    percent = in_percent(comparison, primary)
    drawn = {
        "trajectories": (trajectories_svg(courses, comparison.arms, primary.label), courses),
        "arm_comparison": (
            arm_svg(arms, comparison.assigned_arms, visit_order(folder), primary.label, percent=percent),
            arms,
        ),
        "missing_visits": (missing_svg(folder), missing_table(folder)),
    }
    return {name: drawn[name] for name in FIGURES}


def _number(value: object) -> str:
    return repr(float(str(value)))
