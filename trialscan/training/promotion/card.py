"""The model card of a promoted bundle: what it is, what it learnt from, how it does and where it may fail."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from trialscan.training.comparison import ModelComparison
from trialscan.training.promotion.fits import FinishedFit

_FEW_GROUPS = 20


def model_card(fit: FinishedFit, comparison: ModelComparison | None, lineage: Mapping[str, Any]) -> str:
    """The card as Markdown; every figure is a cell of the tables beside it."""
    model, snapshot, judged = lineage["model"], lineage["snapshot"], lineage["judged"]
    names = ", ".join(f"{name} ({label})" for label, name in fit.spec.labels.items() if label)
    data = (
        f"Snapshot `{snapshot['name']}` ({snapshot['sha256'][:12]}): {snapshot['cases']} cases, "
        f"{fit.result['learnt_from']} of them learnt from, {snapshot['held_out_cases']} held out of every training. "
        f"Source: {snapshot['source']}. **Licence of the data: {snapshot['licence']}**; whether weights made from them "
        "may be passed on depends on it."
    )
    making = (
        f"Started from {lineage['start']['name']}; head {fit.result['head']}. Weights of epoch "
        f"{fit.result['kept_epoch']} ({fit.result['kept']})."
    )
    sections = {
        f"# {model['name']} {model['version']}": (f"Labels {names}. Not for diagnosis.", "", _input(fit)),
        "## Data": (data, "", making),
        "## Figures": _figures(comparison, judged),
        "## Limits": _limits(comparison, judged, lineage["promoted"]),
        "## Lineage": ("In `lineage.json` and `experiment.lock.yaml`.",),
    }
    lines = [line for title, text in sections.items() for line in (title, "", *text, "")]
    return "\n".join(lines)


def _input(fit: FinishedFit) -> str:
    spec, network = fit.spec, fit.result["network"]["_target_"]
    if spec.spacing_mm is not None:
        edges = " × ".join(f"{edge:g}" for edge in spec.spacing_mm)
        return f"**Input** a volume in {spec.units}, brought to {edges} mm. **Network** {network}."
    levels = {"equalise": "equalised", "stretch": "stretched"}[spec.grey_levels]
    seen = f"its longer side {spec.planar_size} pixels, grey levels {levels}"
    return f"**Input** a single image, {seen}. **Network** {network}."


def _figures(comparison: ModelComparison | None, judged: Mapping[str, Any]) -> Iterator[str]:
    if comparison is None:
        yield "None: there was no case that it did not learn from."
        return
    yield f"{comparison.contest.metric} on the {judged['cases']} cases {judged['on']}, mean with 95 % interval."
    yield ""
    yield from _table(
        comparison.tables["ranking"], ["label", "contestant", "cases", "groups", "mean", "lower", "upper"]
    )
    if len(comparison.tables["pairs"]):
        yield ""
        columns = ["label", "contestant", "compared_with", "difference", "lower", "upper", "p_permutation"]
        yield from _table(comparison.tables["pairs"], columns)
    own = comparison.tables["subgroups"]
    own = own[own["contestant"] == comparison.contest.contestants[0].name]
    if len(own):
        yield ""
        yield from _table(own, ["label", "attribute", "level", "cases", "mean", "lower", "upper", "p_holm"])


def _table(table: pd.DataFrame, columns: list[str]) -> Iterator[str]:
    yield f"| {' | '.join(column.replace('_', ' ') for column in columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in table[columns].to_dict("records"):
        yield f"| {' | '.join(_cell(value) for value in row.values())} |"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _limits(
    comparison: ModelComparison | None, judged: Mapping[str, Any], promoted: Mapping[str, Any]
) -> Iterator[str]:
    yield "- Scans unlike those of the data above are outside what it was made for."
    if comparison is not None:
        groups = int(comparison.tables["ranking"]["groups"].min())
        if groups < _FEW_GROUPS:
            yield f"- It was judged on {groups} patients or groups only."
        unlike = comparison.unlike_subgroups
        unlike = unlike[unlike["contestant"] == comparison.contest.contestants[0].name]
        for attribute in dict.fromkeys(unlike["attribute"]):
            yield f"- Its score differs by {attribute} beyond chance (Holm), see above."
    if judged["better"] is False:
        yield "- **It was not shown to be better than the model before it.**"
        yield f"- Promoted all the same by {promoted['by']}: {promoted['reason']}"
    if judged["better"] is None:
        yield "- It was not compared with another model."
