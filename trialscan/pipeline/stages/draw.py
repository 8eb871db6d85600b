"""Reports and figures, drawn from what the run folder holds by then."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trialscan.pipeline.setting import Setting
from trialscan.pipeline.tasks import Task
from trialscan.reports import write_figures, write_index, write_patient_report, write_trial_report
from trialscan.study import Patient

VERSION = 3
_TABLES = "tabulate trial"
_COMPARISON = "analyse trial"
_TRIAL_PDF = "report trial.pdf"


def patient_report_task(setting: Setting, patient: Patient) -> Task:
    """One patient's PDF. It depends on that patient's rows and pictures only, not on the other patients."""
    own = (f"track {patient.patient_id}", f"picture {patient.patient_id}")
    return _task("report", patient.patient_id, _draw_patient, setting, needs=own, after=(_TABLES,))


def trial_report_tasks(setting: Setting) -> list[Task]:
    """Figures, the trial's PDF and the page that links all."""
    reports = tuple(f"report {patient.patient_id}" for patient in setting.study.patients)
    return [
        _task("figures", "trial", _draw_figures, setting, needs=(_TABLES, _COMPARISON)),
        _task("report", "trial.pdf", _draw_trial, setting, needs=(_TABLES, _COMPARISON), after=("figures trial",)),
        _task("index", "trial", _draw_index, setting, needs=(_TABLES, "figures trial"), after=(*reports, _TRIAL_PDF)),
    ]


def _task(  # noqa: PLR0917 - the one place that builds these tasks
    kind: str,
    subject: str,
    work: Callable[[Path, Any, Mapping[str, str]], Sequence[str]],
    setting: Setting,
    needs: tuple[str, ...],
    after: tuple[str, ...] = (),
) -> Task:
    return Task(
        kind=kind,
        subject=subject,
        version=VERSION,
        work=work,
        arguments=subject,
        inputs={"protocol": setting.protocol_sha256},
        needs=needs,
        after=after,
    )


def _draw_patient(run: Path, patient_id: str, failures: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG001 - not tolerant
    return _relative(run, [write_patient_report(run, patient_id)])


def _draw_trial(run: Path, subject: str, failures: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG001 - one trial, not tolerant
    return _relative(run, [write_trial_report(run)])


def _draw_index(run: Path, subject: str, failures: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG001 - one trial, not tolerant
    return _relative(run, [write_index(run)])


def _draw_figures(run: Path, subject: str, failures: Mapping[str, str]) -> Sequence[str]:  # noqa: ARG001 - one trial, not tolerant
    return _relative(run, write_figures(run))


def _relative(run: Path, paths: Sequence[Path]) -> list[str]:
    return [path.relative_to(run).as_posix() for path in paths]
