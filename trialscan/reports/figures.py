"""The figures of a trial, each as SVG with the CSV of the numbers drawn."""

from pathlib import Path

from trialscan.reports.comparison import Comparison
from trialscan.reports.drawing import Absent, Picture
from trialscan.reports.figure_change import spider_picture, waterfall_picture
from trialscan.reports.figure_covariance import covariance_picture
from trialscan.reports.figure_forest import forest_pictures, subgroup_picture
from trialscan.reports.figure_means import means_picture
from trialscan.reports.figure_missing import missing_picture
from trialscan.reports.figure_residuals import residual_picture
from trialscan.reports.figure_tipping import tipping_picture
from trialscan.reports.figure_trajectories import trajectories_picture
from trialscan.reports.run_folder import RunFolder


def write_figures(run: Path) -> list[Path]:
    """Write every figure that the data allow to `statistics/figures/`, as SVG and CSV.

    Raises
    ------
    ReportError
        A table of the run is absent or unreadable.
    """
    target = run / "statistics" / "figures"
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, found in draw_figures(RunFolder(run), Comparison(run)).items():
        if isinstance(found, Absent):
            continue
        picture, numbers = target / f"{name}.svg", target / f"{name}.csv"
        picture.write_text(found.svg, encoding="utf-8")
        found.table.to_csv(numbers, index=False, lineterminator="\n", float_format=_number)
        written += [picture, numbers]
    return written


def draw_figures(folder: RunFolder, comparison: Comparison) -> dict[str, Picture | Absent]:
    """Every figure by name, in the order of the report, or the reason why there is none."""
    return {
        "trajectories": trajectories_picture(folder, comparison),
        "waterfall": waterfall_picture(folder, comparison),
        "spider": spider_picture(folder, comparison),
        "ls_means": means_picture(folder, comparison),
        **forest_pictures(comparison),
        "subgroups": subgroup_picture(comparison),
        "covariance": covariance_picture(folder, comparison),
        "residuals": residual_picture(folder, comparison),
        "tipping_point": tipping_picture(folder, comparison),
        "missing_visits": missing_picture(folder),
    }


def _number(value: object) -> str:
    return repr(float(str(value)))
