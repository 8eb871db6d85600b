"""The main job: from a manifest and a protocol to a finished, recorded run folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trialscan.audit import digest_bytes
from trialscan.audit.json_file import read_json
from trialscan.errors import UsageError
from trialscan.pipeline.engine import Watch, execute
from trialscan.pipeline.executors import executors_for
from trialscan.pipeline.outcome import RunSummary, failures_of, status_of
from trialscan.pipeline.plan import plan_patient, plan_trial
from trialscan.pipeline.preview import Preview, preview
from trialscan.pipeline.record import close_record, open_record
from trialscan.pipeline.setting import Model, Setting
from trialscan.pipeline.sources import digest_sources
from trialscan.pipeline.tasks import Outcome, Task
from trialscan.study import (
    Patient,
    Protocol,
    Study,
    dump_protocol,
    find_protocol,
    load_protocol,
    load_study,
    resolve_model,
)


@dataclass(frozen=True)
class RunRequest:
    """What a user asks for.

    Parameters
    ----------
    manifest, protocol, out, arms : files and folder; `protocol` is a path or the name of a shipped one.
    device : auto, cpu, cuda or cuda:N.
    jobs : worker processes; results do not depend on it.
    shard : (index from 1, count): only every count-th patient, without the trial's tables and reports.
    patient : only this patient, likewise.
    scheduler : address of a Dask cluster that shares the folders.
    reports : False ends after the lesions' tables.
    trust_bundle : let a model that the protocol pins by `bundle_sha256` run code of its own.
    """

    manifest: Path
    protocol: str | Path
    out: Path
    arms: Path | None = None
    device: str = "auto"
    jobs: int = 1
    shard: tuple[int, int] | None = None
    patient: str | None = None
    scheduler: str | None = None
    reports: bool = True
    trust_bundle: bool = False

    @property
    def is_partial(self) -> bool:
        """Whether only some patients are asked for."""
        return self.shard is not None or self.patient is not None


def run_trial(
    request: RunRequest, on_plan: Callable[[int], None] | None = None, watch: Watch | None = None
) -> RunSummary:
    """Do the main job.

    What an earlier run of the same folder computed is reused; a failure costs its own scan or patient and is named.
    A partial request (a shard, one patient) computes and stores, and leaves the record to the run without it.

    Raises
    ------
    ProtocolError, ManifestError
        An input is invalid; every fault is listed.
    UsageError
        The patient or shard does not exist.
    TrustError
        The protocol's model runs code that nobody has vouched for.
    """
    setting = _gather(request)
    tasks = _plan(request, setting)
    if on_plan:
        on_plan(len(tasks))
    run = request.out.resolve()
    facts = open_record(run, setting, request.arms)
    with executors_for(setting.device, request.device, request.jobs, request.scheduler) as executors:
        outcomes = execute(tasks, run, executors, hide=_private(request, setting, run), watch=watch)
    summary = _summarise(request, setting, tasks, outcomes)
    if not request.is_partial:
        close_record(run, facts, tasks, outcomes, summary)
    return summary


def preview_trial(request: RunRequest) -> Preview:
    """What `run_trial` would do: tasks by kind, and how many of them are already stored. Writes nothing."""
    setting = _gather(request)
    return preview(_plan(request, setting), request.out.resolve())


def _gather(request: RunRequest) -> Setting:
    source = find_protocol(request.protocol)
    protocol = load_protocol(source)
    study = load_study(request.manifest, protocol, request.arms)
    model = _model(protocol, source, study, trusted=request.trust_bundle)
    return Setting(
        study=study,
        protocol=protocol,
        protocol_sha256=digest_bytes(dump_protocol(protocol).encode("utf-8")),
        digests=digest_sources(study, request.jobs),
        model=model,
        device=_device_kind(request.device) if model or protocol.registration.engine == "torch" else "cpu",
    )


def _model(protocol: Protocol, source: Path, study: Study, *, trusted: bool) -> Model | None:
    """The protocol's network, unless every scan comes with both masks of a reader; refuses one that is not trusted."""
    scans = [visit.scan for patient in study.patients for visit in patient.visits]
    if all(scan.organ_mask is not None and scan.lesion_mask is not None for scan in scans):
        return None
    bundle = resolve_model(protocol, source)
    if bundle is None:
        return None
    from trialscan.segmentation import read_model_facts, require_trust  # noqa: PLC0415 - loads torch

    require_trust(bundle, trusted=trusted, bundle_sha256=protocol.segmentation.bundle_sha256)
    facts = read_model_facts(bundle)
    return Model(
        bundle, facts.kind.value, facts.bundle_sha256, facts.weights_sha256, trusted=trusted and facts.needs_trust
    )


def _device_kind(device: str) -> Literal["cpu", "cuda"]:
    from trialscan.segmentation import choose_device  # noqa: PLC0415 - loads torch, which most commands do without

    return "cuda" if choose_device(device).type == "cuda" else "cpu"


def _plan(request: RunRequest, setting: Setting) -> list[Task]:
    if not request.is_partial:
        return plan_trial(setting, reports=request.reports)
    chosen = _chosen(request, setting.study.patients)
    return [task for patient in chosen for task in plan_patient(setting, patient, pictures=request.reports)]


def _chosen(request: RunRequest, patients: Sequence[Patient]) -> list[Patient]:
    chosen = list(patients)
    if request.patient is not None:
        chosen = [patient for patient in patients if patient.patient_id == request.patient]
        if not chosen:
            raise UsageError(
                "--patient", f"no patient {request.patient!r} in {request.manifest.name}", "one of its patients"
            )
    if request.shard is not None:
        index, count = request.shard
        if not 1 <= index <= count:
            raise UsageError("--shard", f"{index}/{count}", "I/N with 1 ≤ I ≤ N")
        chosen = chosen[index - 1 :: count]
    return chosen


def _private(request: RunRequest, setting: Setting, run: Path) -> list[Path]:
    bundle = [setting.model.bundle.parent] if setting.model else []
    return [request.manifest.resolve().parent, request.manifest.parent, run, *bundle]


def _summarise(
    request: RunRequest, setting: Setting, tasks: Sequence[Task], outcomes: Mapping[str, Outcome]
) -> RunSummary:
    failures = failures_of(tasks, outcomes)
    unreadable = [scan for scan, digests in setting.digests.items() if digests.problem]
    segmented = [task for task in tasks if task.kind == "segment"]
    counts = {
        "patients": len({task.subject for task in tasks if task.kind == "track"}),
        "scans": len(segmented) + len(unreadable),
        "scans_ok": sum(outcomes[task.id].status == "ok" for task in segmented),
        "tasks": len(tasks),
        "tasks_failed": sum(outcome.status != "ok" for outcome in outcomes.values()),
    }
    status = "partial" if request.is_partial else status_of(failures, len(unreadable))
    return RunSummary(request.out, status, counts, failures, _absent(request, outcomes))


def _absent(request: RunRequest, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Comparisons that could not be made, and why, as models.json says."""
    comparison = outcomes.get("analyse trial")
    if comparison is None or comparison.status != "ok":
        return {}
    absent = read_json(request.out / "statistics" / "models.json")["absent"]
    return {str(name): str(reason) for name, reason in absent.items()}
