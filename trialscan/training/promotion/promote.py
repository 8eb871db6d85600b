"""Promotion: a fit becomes a bundle if it does better than the model in use, or if a person says why it must."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from trialscan.audit import Ledger, LedgerEntry, digest_file, read_ledger
from trialscan.errors import PromotionError, UsageError
from trialscan.imaging import Units
from trialscan.segmentation import folder_sha256, load_bundle
from trialscan.segmentation.bundle import BundleSegmenter
from trialscan.training.comparison import Contest, Contestant, Metric, ModelComparison, compare
from trialscan.training.datasets import AnnotatedCase, Snapshot
from trialscan.training.experiments import SnapshotStore
from trialscan.training.experiments.record import LEDGER, LOCK
from trialscan.training.experiments.tables import as_csv
from trialscan.training.promotion.card import model_card
from trialscan.training.promotion.fits import FinishedFit, pack, read_fit
from trialscan.training.promotion.judging import Reading, judge

CARD, LINEAGE, EVIDENCE, CASES = Path("docs/README.md"), Path("docs/lineage.json"), Path("docs/comparison"), "cases.csv"
CANDIDATE, INCUMBENT = "candidate", "incumbent"


@dataclass(frozen=True)
class PromotionRequest:
    """What is asked for.

    fit : folder of the fit, `EXPERIMENT/<variant>/seed-<s>/fold-<k>`.
    out : the bundle's folder, which is new; its name is the model's.
    against : bundle of the model in use; None where there is none yet.
    judged_by : the class, or union of classes, that decides; None takes the first.
    incumbent_labels : what a class of the fit is called by the model in use, where it has another name for it or
        several (`{"lesion": ("ground_glass", "consolidation")}`).
    by : who promotes. reason : why it is promoted although it is not better.
    """

    fit: Path
    out: Path
    version: str
    by: str
    against: Path | None = None
    judged_by: str | None = None
    metric: Metric = "dice"
    incumbent_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Promotion:
    """What came of it. `better`: the 95 % interval of the paired difference lies above 0; None without a rival."""

    bundle: Path
    weights_sha256: str
    better: bool | None
    evidence: str
    comparison: ModelComparison | None


@dataclass(frozen=True, eq=False)
class _Judged:
    """How the candidate stands: on which cases, and beside the model in use."""

    evidence: str
    cases: pd.DataFrame
    comparison: ModelComparison | None
    better: bool | None


def promote(request: PromotionRequest, store: SnapshotStore) -> Promotion:
    """Judge a fit beside the model in use, pack it as a bundle with card and lineage, and record the act.

    Both models run, as bundles, on the cases that the snapshot holds out; where it holds none out, on those that the
    fit's fold did not learn from. The ledger of the act is `ledger.jsonl` beside the bundle.

    Raises
    ------
    PromotionError
        The candidate is not better, or there is no case to judge it on, and no reason is given. Nothing is written.
    InputError
        The fit, its snapshot or a case is not as recorded.
    UsageError
        `out` exists, or a label is not known.
    """
    if request.out.exists():
        raise UsageError(str(request.out), "it exists", "a new folder", "A model is never written over.")
    if not request.by.strip():
        raise UsageError("--by", "nobody", "the name of the person who promotes")
    fit = read_fit(request.fit)
    snapshot = store.find(fit.snapshot)
    store.check(snapshot)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=request.out.parent) as scratch:
        draft = Path(scratch) / request.out.name
        digest = pack(fit, draft, request.out.name, request.version, f"{snapshot.name} {snapshot.digest[:12]}")
        judged = _judged(request, fit, snapshot, store, load_bundle(draft, "auto"))
        _require_better(request, judged)
        lineage = _lineage(request, fit, snapshot, judged, draft)
        _document(draft, fit, judged, lineage)
        shutil.move(draft, request.out)
    _record(request, fit, judged, lineage)
    return Promotion(request.out, digest, judged.better, judged.evidence, judged.comparison)


def _judged(
    request: PromotionRequest, fit: FinishedFit, snapshot: Snapshot, store: SnapshotStore, candidate: BundleSegmenter
) -> _Judged:
    cases, evidence = _cases(fit, snapshot)
    if not cases:
        return _Judged(evidence, pd.DataFrame(), None, False if request.against else None)
    measured = list(fit.measured)
    decisive = request.judged_by or measured[0]
    if decisive not in measured:
        raise UsageError("--judged-by", repr(decisive), f"one of {', '.join(measured)}")

    def table(segmenter: BundleSegmenter, readings: Mapping[str, Reading]) -> pd.DataFrame:
        units = Units(segmenter.spec.units)
        return judge(segmenter, cases, lambda path: store.path_of(snapshot, path), units, readings)

    own = {name: fit.reading(name) for name in measured}
    tables = {CANDIDATE: table(candidate, own)}
    if request.against is not None:
        incumbent = load_bundle(request.against, "auto")
        labels = _labels_of(incumbent, measured, request.incumbent_labels)
        tables[INCUMBENT] = table(incumbent, {name: replace(own[name], model=labels[name]) for name in measured})
    rows = pd.concat([found.assign(contestant=name) for name, found in tables.items()], ignore_index=True)
    contestants = tuple(Contestant(name, snapshot.digest, "") for name in tables)
    contest = Contest(request.metric, contestants, rows.rename(columns={request.metric: "score"}))
    comparison = compare(contest)
    better = None if request.against is None else _is_better(comparison, decisive)
    return _Judged(evidence, rows, comparison, better)


def _cases(fit: FinishedFit, snapshot: Snapshot) -> tuple[Sequence[AnnotatedCase], str]:
    if snapshot.held_out_cases:
        return snapshot.held_out_cases, "held out"
    left = tuple(case for case in snapshot.training_cases if case.case_id in fit.predicted)
    return left, "not learnt by this fold" if left else "none"


def _labels_of(
    model: BundleSegmenter, measured: Sequence[str], renamed: Mapping[str, tuple[str, ...]]
) -> dict[str, frozenset[int]]:
    """The model's labels of each thing that is judged."""
    numbers = {name: label for label, name in model.labels.items()}
    found = {}
    for name in measured:
        wanted = renamed.get(name, (name,))
        if unknown := [label for label in wanted if label not in numbers]:
            raise UsageError(
                f"model {model.identity.name}",
                f"no label {', '.join(unknown)}",
                f"one of {', '.join(numbers)} for {name}",
                f"Say which it is: --incumbent-labels {name}=<label>+<label>.",
            )
        found[name] = frozenset(numbers[label] for label in wanted)
    return found


def _is_better(comparison: ModelComparison, decisive: str) -> bool:
    pairs = comparison.tables["pairs"]
    row = pairs[pairs["label"] == decisive].iloc[0]
    if pd.isna(row["lower"]):
        return False
    sure = row["upper"] < 0 if comparison.contest.lower_wins else row["lower"] > 0
    return bool(row["contestant"] == CANDIDATE and sure)


def _require_better(request: PromotionRequest, judged: _Judged) -> None:
    if request.reason or judged.better or (judged.better is None and judged.evidence != "none"):
        return
    found = "no case that it did not learn from, so that nothing is known of it"
    if judged.comparison is not None:
        pairs = judged.comparison.tables["pairs"].to_dict("records")
        told = "; ".join(
            f"{row['label']}: {row['contestant']} ahead by {row['difference']:.3f} ({_interval(row)})" for row in pairs
        )
        found = f"not better than the model in use: {told}"
    raise PromotionError(
        str(request.fit),
        found,
        "a difference whose 95 % interval lies above 0",
        "Keep the model in use, or give --force with a --reason, which is recorded.",
    )


def _interval(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["lower"]):
        return f"no interval from {row['groups']} groups"
    return f"{row['lower']:.3f} to {row['upper']:.3f}"


def _lineage(
    request: PromotionRequest, fit: FinishedFit, snapshot: Snapshot, judged: _Judged, draft: Path
) -> dict[str, Any]:
    pairs = None if judged.comparison is None else judged.comparison.tables["pairs"]
    return {
        "model": {
            "name": request.out.name,
            "version": request.version,
            "bundle_sha256": folder_sha256(draft),
            "weights_sha256": digest_file(draft / "models/model.safetensors"),
        },
        "experiment": {
            "fit": fit.name,
            "key": fit.result["key"],
            "fit_weights_sha256": fit.result["weights_sha256"],
            "lock_sha256": digest_file(fit.experiment / LOCK),
            "ledger_head": read_ledger(fit.experiment / LEDGER)[-1]["hash"],
        },
        "start": {"name": fit.result["start"], "sha256": fit.result["start_sha256"]},
        "snapshot": {
            "name": snapshot.name,
            "sha256": snapshot.digest,
            "parent": snapshot.parent,
            "licence": snapshot.licence,
            "source": snapshot.source,
            "files": len(snapshot.files),
            "cases": len(snapshot.cases),
            "held_out_cases": len(snapshot.held_out_cases),
        },
        "judged": {
            "on": judged.evidence,
            "cases": 0 if judged.cases.empty else int(judged.cases["case_id"].nunique()),
            "against": None if request.against is None else folder_sha256(request.against),
            "better": judged.better,
            "differences": [] if pairs is None else json.loads(pairs.to_json(orient="records", double_precision=15)),
        },
        "promoted": {"by": request.by, "at": datetime.now(UTC).isoformat(timespec="seconds"), "reason": request.reason},
    }


def _document(draft: Path, fit: FinishedFit, judged: _Judged, lineage: Mapping[str, Any]) -> None:
    (draft / LINEAGE).parent.mkdir(parents=True, exist_ok=True)
    (draft / LINEAGE).write_text(json.dumps(lineage, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copy(fit.experiment / LOCK, draft / LINEAGE.with_name(LOCK))
    if judged.comparison is not None:
        judged.comparison.write(draft / EVIDENCE)
        (draft / EVIDENCE / CASES).write_text(as_csv(judged.cases), encoding="utf-8")
    (draft / CARD).write_text(model_card(fit, judged.comparison, lineage), encoding="utf-8")


def _record(request: PromotionRequest, fit: FinishedFit, judged: _Judged, lineage: Mapping[str, Any]) -> None:
    inputs = {
        "fit": fit.result["weights_sha256"],
        "experiment": lineage["experiment"]["lock_sha256"],
        "snapshot": fit.snapshot,
    }
    if request.against is not None:
        inputs["model in use"] = lineage["judged"]["against"]
    outputs = {"bundle": lineage["model"]["bundle_sha256"]}
    outputs |= {path.as_posix(): digest_file(request.out / path) for path in (LINEAGE, CARD)}
    facts = {**lineage["promoted"], "better": judged.better, "judged on": judged.evidence}
    subject = f"{request.out.name} {request.version}"
    status = "forced" if request.reason and not judged.better else "ok"
    Ledger(request.out.parent / LEDGER).add(LedgerEntry("promote", subject, status, inputs, outputs, facts))
