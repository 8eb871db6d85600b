"""The loop of an experiment: snapshot, prepared cases, folds, training, predictions of what was not learnt, tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from trialscan.audit import digest_bytes, digest_file
from trialscan.errors import Fault, InputError
from trialscan.imaging import write_volume
from trialscan.segmentation import choose_device
from trialscan.segmentation.network import build_network
from trialscan.training.datasets import AnnotatedCase, Snapshot
from trialscan.training.experiments import record
from trialscan.training.experiments.cases import CaseSet, SnapshotStore
from trialscan.training.experiments.design import Design, make_design
from trialscan.training.experiments.fit import Fit, Watch, loaded, run_fit
from trialscan.training.experiments.folds import Fold, final_fold, fold_rows, make_folds, part, strata
from trialscan.training.experiments.learner import repeatable
from trialscan.training.experiments.network import initialised
from trialscan.training.experiments.patches import patch_faults
from trialscan.training.experiments.prediction import measure_case, predict_case
from trialscan.training.experiments.reading import Experiment, load_experiment
from trialscan.training.experiments.rehearsal import Rehearse, rehearse
from trialscan.training.experiments.tables import as_csv, case_table, summary_table

MASKS = "masks"


@dataclass(frozen=True)
class TrainRequest:
    """What is asked for. `masks` keeps the predictions; `dry_run` ends before the first fit."""

    config: Path
    out: Path
    device: str = "auto"
    masks: bool = False
    dry_run: bool = False


@dataclass(frozen=True, eq=False)
class Ready:
    """An experiment that has passed every check."""

    experiment: Experiment
    snapshot: Snapshot
    designs: Mapping[str, Design]
    cases: Mapping[str, CaseSet]
    members: Sequence[AnnotatedCase]
    folds: tuple[Fold, ...]
    folds_csv: str

    @property
    def lock(self) -> str:
        """Every decision, written out."""
        return record.lock_text(self.experiment, self.snapshot, self.designs)


@dataclass(frozen=True)
class TrainOutcome:
    """What came of it: the folder, how many fits there were, and the summary (empty after a dry run)."""

    folder: Path
    fits: int
    summary: pd.DataFrame


def train_experiment(
    request: TrainRequest, store: SnapshotStore, watch: Watch, rehearsal: Rehearse = rehearse
) -> TrainOutcome:
    """Run an experiment, or what is left of it.

    Raises
    ------
    InputError
        The configuration, the snapshot or its cases have faults: every one is told.
    UsageError
        The folder holds something else, memory does not suffice, or the network refuses the patch.
    SegmentationError
        The start's bundle is damaged.
    """
    device = choose_device(request.device)
    ready = check_experiment(load_experiment(request.config), store, watch)
    record.require_own(request.out, ready.lock)
    plan = _plan(ready, device)
    left = [fit for fit in plan if record.finished(request.out / fit.name, fit.key) is None]
    for design in {fit.design.name: fit.design for fit in left}.values():
        took = rehearsal(design, device)
        steps = sum(fit.iterations * fit.design.settings.epochs for fit in left if fit.design is design)
        watch.say(
            f"{design.name}: a step takes {took.seconds:.2f} s and {took.peak_bytes / 2**30:.1f} GiB; "
            f"{steps} steps, about {steps * took.seconds / 60:.0f} min"
        )
    if request.dry_run:
        return TrainOutcome(request.out, len(plan), pd.DataFrame())
    request.out.mkdir(parents=True, exist_ok=True)
    (request.out / record.LOCK).write_text(ready.lock, encoding="utf-8")
    (request.out / record.FOLDS).write_text(ready.folds_csv, encoding="utf-8")
    with repeatable(wanted=ready.experiment.shared.deterministic):
        return _run(ready, plan, request, watch)


def check_experiment(experiment: Experiment, store: SnapshotStore, watch: Watch) -> Ready:
    """Everything that can be found wrong before a network is trained; raises InputError."""
    shared = experiment.shared
    snapshot = store.find(shared.snapshot)
    store.check(snapshot)
    members = snapshot.training_cases
    if not members:
        raise InputError([Fault(snapshot.name, "every case is held out; nothing to learn from")])
    designs = {name: make_design(experiment, name, snapshot) for name in experiment.variants}
    sets: dict[str, CaseSet] = {}
    for design in designs.values():
        if design.preparation_key not in sets:
            watch.say(f"preparing {len(members)} cases of {snapshot.name} {snapshot.digest[:12]}")
            sets[design.preparation_key] = CaseSet(
                members, lambda path: store.path_of(snapshot, path), design.preparation, shared.cache
            )
    cases = {name: sets[design.preparation_key] for name, design in designs.items()}
    if faults := sorted({f for name, design in designs.items() for f in patch_faults(cases[name], design)}):
        raise InputError(faults)
    sizes = [_foreground(case.reference.array) for case in next(iter(cases.values()))]
    stratum = strata(members, sizes, shared.folds)
    of = part(members, stratum, shared.folds, experiment.folder)
    folds = make_folds(members, stratum, of, shared.folds, shared.validation.share)
    if shared.folds.final:
        number = max(of) + 1
        folds += (final_fold(members, stratum, number, shared.folds, shared.validation.share),)
    table = pd.DataFrame(fold_rows(members, stratum, of, {fold.number: fold for fold in folds}))
    for name, design in designs.items():
        _tell_head(name, design, experiment, watch)
    return Ready(experiment, snapshot, designs, cases, members, folds, as_csv(table))


def _foreground(classes: np.ndarray) -> float:
    return float(np.count_nonzero(classes)) / classes.size


def _tell_head(name: str, design: Design, experiment: Experiment, watch: Watch) -> None:
    """Say what becomes of the head; InputError where the start's weights are another network's."""
    with experiment.placing(name):
        _, head = initialised(
            design.network, 0, weights=design.start.weights, old=design.start.labels, new=design.classes.output_names
        )
    if design.start.weights is None:
        watch.say(f"{name}: weights drawn from the seed")
    elif head.replaced:
        kept = ", ".join(head.kept) or "none"
        watch.say(
            f"{name}: from {design.start.name}, its head replaced for {', '.join(design.classes.names)}; "
            f"kept by name: {kept}"
        )
    else:
        watch.say(f"{name}: from {design.start.name} with its own head")


def _plan(ready: Ready, device: torch.device) -> list[Fit]:
    """Every fit: by variant, seed and fold."""
    digest = digest_bytes(ready.folds_csv.encode())
    return [
        Fit(design, seed, fold, record.fit_key(design, ready.snapshot, seed, fold.number, digest), device)
        for design in ready.designs.values()
        for seed in ready.experiment.shared.seeds
        for fold in ready.folds
    ]


def _run(ready: Ready, plan: Sequence[Fit], request: TrainRequest, watch: Watch) -> TrainOutcome:
    watch.plan(len(plan), sum(fit.design.settings.epochs for fit in plan))
    log = record.Record(request.out, request.device)
    begin = record.Clock.start()
    inputs = {"snapshot": ready.snapshot.digest}
    inputs |= {f"start {name}": design.start.digest for name, design in ready.designs.items()}
    name = ready.experiment.shared.name
    facts = {"snapshot": ready.snapshot.name}
    log.write("run", name, inputs=inputs, outputs=[record.LOCK, record.FOLDS], facts=facts, clock=begin)
    rows: list[dict[str, Any]] = []
    for fit in plan:
        clock = record.Clock.start()
        result = _fit_result(ready, fit, request, watch)
        rows += [
            {"variant": fit.design.name, "seed": fit.seed, "fold": fit.fold.number, **row} for row in result["rows"]
        ]
        outputs = [f"{fit.name}/{file}" for file in (record.WEIGHTS, record.CURVES, record.PICTURE, record.RESULT)]
        outputs += [
            path.relative_to(request.out).as_posix() for path in sorted((request.out / fit.name).glob(f"{MASKS}/*"))
        ]
        own = {"snapshot": ready.snapshot.digest, "start": fit.design.start.digest}
        own["folds.csv"] = digest_file(request.out / record.FOLDS)
        log.write("fit", fit.name, inputs=own, outputs=outputs, facts={"key": fit.key}, clock=clock)
    clock = record.Clock.start()
    table = case_table(rows, ready.members)
    summary = summary_table(table)
    for file, content in ((record.CASES, table), (record.SUMMARY, summary)):
        (request.out / file).write_text(as_csv(content), encoding="utf-8")
    weights = {f"{fit.name}/{record.RESULT}": digest_file(request.out / fit.name / record.RESULT) for fit in plan}
    log.write("tables", name, inputs=weights, outputs=[record.CASES, record.SUMMARY], facts={}, clock=clock)
    return TrainOutcome(request.out, len(plan), summary)


def _fit_result(ready: Ready, fit: Fit, request: TrainRequest, watch: Watch) -> dict[str, Any]:
    """The result of a fit: read where it is done, else trained and predicted."""
    folder = request.out / fit.name
    done = record.finished(folder, fit.key)
    if done is not None:
        watch.say(f"{fit.name}: done before")
        return done
    cases = ready.cases[fit.design.name]
    fitted = run_fit(fit, cases, folder, watch)
    network = loaded(fit, _with_weights(fit, fitted.weights))
    rows: list[dict[str, Any]] = []
    for index in fit.fold.predict:
        case = cases[index]
        predicted = predict_case(network, case, fit.design.classes)
        if request.masks:
            (folder / MASKS).mkdir(exist_ok=True)
            write_volume(folder / MASKS / f"{case.case_id.replace('/', '_')}.nii.gz", predicted)
        rows += [
            {"case_id": case.case_id, **row} for row in measure_case(predicted, case.reference, fit.design.classes)
        ]
    return record.write_fit(fit, fitted, rows, folder)


def _with_weights(fit: Fit, weights: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """The network filled with weights, on its device."""
    network = build_network(fit.design.network, "experiment")
    network.load_state_dict(weights)
    return network.to(fit.device)
