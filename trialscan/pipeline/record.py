"""The record a run leaves: protocol.lock.yaml, run.json, ledger, timeline and SHA256SUMS."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trialscan.audit import (
    Ledger,
    LedgerEntry,
    TimelineEntry,
    append_timeline,
    digest_file,
    read_ledger,
    recorded_files,
    write_sums,
)
from trialscan.audit.json_file import write_json
from trialscan.audit.software import software
from trialscan.pipeline.outcome import RunSummary
from trialscan.pipeline.setting import Setting
from trialscan.pipeline.tasks import Outcome, Ran, Task
from trialscan.study import dump_protocol

RUN, LOCK, LEDGER, TIMELINE, SUMS = "run.json", "protocol.lock.yaml", "ledger.jsonl", "timeline.jsonl", "SHA256SUMS"
_OWN = {RUN, LOCK, LEDGER, TIMELINE}


def open_record(run: Path, setting: Setting, arms: Path | None) -> dict[str, Any]:
    """Begin: the protocol's lock and the facts that every report names. An earlier list of digests is withdrawn."""
    run.mkdir(parents=True, exist_ok=True)
    (run / SUMS).unlink(missing_ok=True)
    (run / LOCK).write_text(dump_protocol(setting.protocol), encoding="utf-8")
    facts: dict[str, Any] = {
        "status": "running",
        "study": setting.protocol.study.id,
        "protocol_sha256": setting.protocol_sha256,
        "manifest_sha256": digest_file(setting.study.manifest),
        "arms_sha256": digest_file(arms) if arms else None,
        "model": _model_facts(setting),
        "device": setting.device,
        "software": software(),
    }
    write_json(run / RUN, facts)
    return facts


def _model_facts(setting: Setting) -> dict[str, Any] | None:
    """Which model, by the digest of all in its folder that decides its answer, and whether it ran code of its own."""
    model = setting.model
    if model is None:
        return None
    return {
        "bundle": model.bundle.name,
        "kind": model.kind,
        "bundle_sha256": model.sha256,
        "weights_sha256": model.weights_sha256,
        "code_trusted": model.trusted,
    }


def close_record(
    run: Path, facts: Mapping[str, Any], tasks: Sequence[Task], outcomes: Mapping[str, Outcome], summary: RunSummary
) -> None:
    """End: every outcome into the ledger in the plan's order, what an earlier plan left removed, all digests listed."""
    _remove_stale(run, outcomes)
    ledger = Ledger(run / LEDGER)
    begin = LedgerEntry("run", facts["study"], "ok", outputs={LOCK: digest_file(run / LOCK)}, facts=_decisive(facts))
    ran: dict[str, Ran | None] = {f"{task.kind} {task.subject}": outcomes[task.id].ran for task in tasks}
    for entry in (begin, *(_entry(task, outcomes[task.id]) for task in tasks)):
        for written, digest in ledger.append(entry):
            _append_time(run / TIMELINE, digest, ran.get(f"{written.kind} {written.subject}"))
    (run / TIMELINE).touch()
    write_json(
        run / RUN,
        {
            **facts,
            "status": summary.status,
            "counts": summary.counts,
            "failures": [vars(failure) for failure in summary.failures],
            "comparison_absent": summary.absent,
            "ledger": {"entries": len(ledger), "head": ledger.head},
        },
    )
    write_sums(run)


def _decisive(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "status"}


def _entry(task: Task, outcome: Outcome) -> LedgerEntry:
    facts = {"key": outcome.key, "version": task.version, "parameters": task.parameters}
    if outcome.message:
        facts["message"] = outcome.message
    return LedgerEntry(task.kind, task.subject, outcome.status, outcome.inputs, outcome.outputs, facts)


def _append_time(path: Path, digest: str, ran: Ran | None) -> None:
    if ran is not None:
        append_timeline(path, TimelineEntry(digest, ran.started, ran.seconds, ran.host, ran.device, ran.stages))


def _remove_stale(run: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Delete files that an earlier run of this folder wrote and this one did not; a stranger's file stays."""
    current = {name for outcome in outcomes.values() for name in outcome.outputs} | _OWN
    earlier = _earlier_outputs(run / LEDGER)
    for name in recorded_files(run):
        if name in earlier - current:
            (run / name).unlink()
    for folder in sorted((path for path in run.glob("patients/**/") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _earlier_outputs(ledger: Path) -> set[str]:
    entries = read_ledger(ledger) if ledger.exists() else []
    return {name for entry in entries for name in entry["outputs"]}
