"""The commands as functions, for notebooks and scripts: `import trialscan; trialscan.run(...)`."""

import os
from pathlib import Path

from trialscan.audit import Finding, verify_run
from trialscan.pipeline.outcome import RunSummary
from trialscan.pipeline.rebuild import rebuild_reports
from trialscan.pipeline.run import RunRequest, run_trial
from trialscan.pipeline.validate import Validation, validate_trial


def run(
    manifest: str | Path,
    protocol: str | Path,
    out: str | Path,
    *,
    arms: str | Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
) -> RunSummary:
    """The main job: segment, align, follow, compare and report every patient of a manifest.

    Parameters
    ----------
    manifest, arms : CSV files. `protocol` : a YAML file, or the name of a shipped one. `out` : the run folder.
    device : auto, cpu, cuda or cuda:N. `jobs` : worker processes, one a core if None; results do not depend on it.

    Raises
    ------
    ProtocolError, ManifestError
        An input is invalid; every fault is listed. A scan that fails raises nothing: it is named in the summary.
    """
    request = RunRequest(
        Path(manifest), protocol, Path(out), arms=Path(arms) if arms else None, device=device, jobs=jobs or _cores()
    )
    return run_trial(request)


def track(
    manifest: str | Path, protocol: str | Path, out: str | Path, *, device: str = "auto", jobs: int | None = None
) -> RunSummary:
    """Masks, alignment and lesion tables only, without comparison and reports; raises as `run` does."""
    request = RunRequest(Path(manifest), protocol, Path(out), device=device, jobs=jobs or _cores(), reports=False)
    return run_trial(request)


def validate(manifest: str | Path, protocol: str | Path, *, arms: str | Path | None = None) -> Validation:
    """Every fault in a trial's inputs; raises ProtocolError or ManifestError where these two themselves are invalid."""
    return validate_trial(Path(manifest), protocol, Path(arms) if arms else None, _cores())


def report(run_folder: str | Path, *, patient_id: str | None = None) -> list[Path]:
    """Draw the reports of a finished run again; raises VerificationError for a folder that holds none."""
    return rebuild_reports(Path(run_folder), patient_id)


def verify(run_folder: str | Path) -> tuple[Finding, ...]:
    """Deviations of a run folder from its own record; raises VerificationError for a folder that holds no run."""
    return verify_run(Path(run_folder))


def _cores() -> int:
    return os.cpu_count() or 1
