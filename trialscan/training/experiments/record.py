"""What an experiment's folder says of itself: the lock, the ledger, when each fit ran, and each fit's result."""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from safetensors.torch import save as to_safetensors

from trialscan.audit import Ledger, LedgerEntry, TimelineEntry, append_timeline, digest_file, digest_json
from trialscan.audit.json_file import read_json, write_json
from trialscan.audit.software import software
from trialscan.errors import UsageError
from trialscan.segmentation.device import device_name
from trialscan.study.lock import dump_plain
from trialscan.training.datasets import Snapshot
from trialscan.training.experiments.curves import curve_csv, curve_svg
from trialscan.training.experiments.design import Design
from trialscan.training.experiments.fit import Fit, Fitted
from trialscan.training.experiments.reading import Experiment

LOCK, LEDGER, TIMELINE, FOLDS = "experiment.lock.yaml", "ledger.jsonl", "timeline.jsonl", "folds.csv"
CASES, SUMMARY = "cases.csv", "summary.csv"
WEIGHTS, RESULT, CURVES, PICTURE = "weights.safetensors", "result.json", "curves.csv", "curves.svg"


def lock_text(experiment: Experiment, snapshot: Snapshot, designs: Mapping[str, Design]) -> str:
    """The experiment with every default written out, what it was given by digest, and the software."""
    content = experiment.locked()
    content["snapshot_sha256"] = snapshot.digest
    content["start_sha256"] = {name: design.start.digest for name, design in designs.items()}
    content["prepared"] = {
        name: {
            "network": dict(design.network),
            "patch": design.patch,
            **design.preparation.spec.model_dump(mode="json", exclude={"weights_sha256", "features_sha256"}),
        }
        for name, design in designs.items()
    }
    content["software"] = software()
    return dump_plain(content)


def require_own(out: Path, lock: str) -> None:
    """UsageError where the folder holds something else than this experiment."""
    held = out / LOCK
    if held.exists() and held.read_text(encoding="utf-8") != lock:
        raise UsageError(
            f"{out.name}/{LOCK}",
            "another experiment, or this one with another configuration, snapshot, start or software",
            "a new folder, or that of this experiment to resume it",
            "Choose another --out.",
        )
    if not held.exists() and out.is_dir() and any(out.iterdir()):
        raise UsageError(str(out), "a folder with other things in it", "an empty or a new one", "Choose another --out.")


def fit_key(design: Design, snapshot: Snapshot, seed: int, fold: int, folds_sha256: str) -> str:
    """The digest of all that decides a fit's weights."""
    return digest_json(
        {
            "settings": design.settings.model_dump(mode="json", exclude={"seeds", "name"}),
            "network": dict(design.network),
            "snapshot": snapshot.digest,
            "start": design.start.digest,
            "software": software(),
            "folds": folds_sha256,
            "seed": seed,
            "fold": fold,
        }
    )


def finished(folder: Path, key: str) -> dict[str, Any] | None:
    """The result of a fit that is done already, its weights unchanged; None where it must be run."""
    if not (folder / RESULT).is_file() or not (folder / WEIGHTS).is_file():
        return None
    result = read_json(folder / RESULT)
    if result.get("key") != key or result.get("weights_sha256") != digest_file(folder / WEIGHTS):
        return None
    return result


def write_fit(fit: Fit, fitted: Fitted, rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Weights, curves and, last, the result that marks the fit as done."""
    weights = {name: value.contiguous() for name, value in sorted(fitted.weights.items())}
    (folder / WEIGHTS).write_bytes(to_safetensors(weights))
    (folder / CURVES).write_text(curve_csv(fitted.curve), encoding="utf-8")
    (folder / PICTURE).write_text(curve_svg(fitted.curve, fit.name), encoding="utf-8")
    design, spec = fit.design, fit.design.preparation.spec
    digest = digest_file(folder / WEIGHTS)
    result = {
        "variant": design.name,
        "seed": fit.seed,
        "fold": fit.fold.number,
        "key": fit.key,
        "weights_sha256": digest,
        "kept_epoch": fitted.kept_epoch,
        "kept": fitted.kept,
        "epochs": len(fitted.curve),
        "start": design.start.name,
        "start_sha256": design.start.digest,
        "start_weights": "taken" if design.start.weights is not None else "drawn from the seed",
        "head": _head_words(fit, fitted),
        "head_tensors": list(fitted.head.tensors),
        "classes": list(design.classes.names),
        "outputs": {
            name: design.classes.names[index]
            for name, index in zip(design.classes.output_names, design.classes.outputs, strict=True)
        },
        "network": dict(design.network),
        "model": spec.model_copy(update={"weights_sha256": digest}).model_dump(mode="json"),
        "channels": [channel.model_dump(mode="json") for channel in design.preparation.channels],
        "of": {str(label): index for label, index in design.classes.of.items()},
        "combined": {name: list(members) for name, members in design.classes.combined.items()},
        "learnt_from": len(fit.fold.learn),
        "watched": len(fit.fold.watch),
        "predicted": len(fit.fold.predict),
        "rows": rows,
    }
    write_json(folder / RESULT, result)
    return result


def _head_words(fit: Fit, fitted: Fitted) -> str:
    if fit.design.start.weights is None:
        return "drawn from the seed, as the whole network"
    if not fitted.head.replaced:
        return "the start's"
    kept = ", ".join(fitted.head.kept) or "none"
    return f"replaced, for other classes are learnt; rows taken over from the start by name: {kept}"


@dataclass(frozen=True)
class Clock:
    """When something began, and how long it took."""

    started: str
    begun: float

    @classmethod
    def start(cls) -> "Clock":
        """Now."""
        return cls(datetime.now(UTC).isoformat(timespec="seconds"), perf_counter())


class Record:
    """The experiment's ledger, written as it goes; what a rerun does again is not written twice."""

    def __init__(self, out: Path, device: str) -> None:
        self._out, self._device = out, device
        self._ledger = Ledger(out / LEDGER)

    def write(
        self,
        kind: str,
        subject: str,
        *,
        inputs: Mapping[str, str],
        outputs: Iterable[str],
        facts: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """An entry with the digests of the files that came of it, and when it ran."""
        digests = {name: digest_file(self._out / name) for name in outputs}
        entry = LedgerEntry(kind, subject, "ok", dict(inputs), digests, dict(facts))
        for _, digest in self._ledger.append(entry):
            line = TimelineEntry(
                digest,
                clock.started,
                round(perf_counter() - clock.begun, 3),
                platform.node(),
                device_name(self._device),
            )
            append_timeline(self._out / TIMELINE, line)
