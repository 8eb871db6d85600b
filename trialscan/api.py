"""The commands as functions, for notebooks and scripts: `import trialscan; trialscan.run(...)`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from trialscan.audit import Finding, verify_run
from trialscan.errors import UsageError
from trialscan.imaging import Units, Volume, read_mask, read_volume
from trialscan.phantom import load_design, simulate_trial
from trialscan.pipeline.analyze import TableColumns, analyze_table
from trialscan.pipeline.evaluation import write_evaluation
from trialscan.pipeline.one_scan import segment_file
from trialscan.pipeline.outcome import RunSummary
from trialscan.pipeline.power import PowerResult
from trialscan.pipeline.power import simulate_power as simulate_power_of
from trialscan.pipeline.rebuild import rebuild_reports
from trialscan.pipeline.repeatability import MeasuredRepeatability, measure_repeatability
from trialscan.pipeline.run import RunRequest, run_trial
from trialscan.pipeline.validate import Validation, validate_trial
from trialscan.registration import Alignment, map_table, read_points, write_alignment, write_composites
from trialscan.registration import register as align
from trialscan.segmentation import ModelFacts, Segmentation, find_models, read_model_facts
from trialscan.segmentation.evaluation import Criteria, Evaluation
from trialscan.segmentation.evaluation import evaluate as evaluate_masks
from trialscan.statistics import ArmComparison
from trialscan.study import load_protocol
from trialscan.study.registration_options import RegistrationOptions, registration_settings
from trialscan.study.shipped import shipped_folder

if TYPE_CHECKING:
    from trialscan.training.comparison import Metric, ModelComparison
    from trialscan.training.deployment import Deployment, Form
    from trialscan.training.lineage import Node
    from trialscan.training.promotion import Promotion


def run(
    manifest: str | Path,
    protocol: str | Path,
    out: str | Path,
    *,
    arms: str | Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    trust_bundle: bool = False,
) -> RunSummary:
    """The main job: segment, align, follow, compare and report every patient of a manifest.

    Parameters
    ----------
    manifest, arms : CSV files. `protocol` : a YAML file, or the name of a shipped one. `out` : the run folder.
    device : auto, cpu, cuda or cuda:N. `jobs` : worker processes, one a core if None; results do not depend on it.
    trust_bundle : let a model that the protocol pins by `bundle_sha256` run code of its own.

    Raises
    ------
    ProtocolError, ManifestError, TrustError
        An input is invalid; every fault is listed. A scan that fails raises nothing: it is named in the summary.
    """
    request = _request(manifest, protocol, out, device, jobs, trust_bundle=trust_bundle)
    return run_trial(replace(request, arms=Path(arms) if arms else None))


def track(
    manifest: str | Path,
    protocol: str | Path,
    out: str | Path,
    *,
    device: str = "auto",
    jobs: int | None = None,
    trust_bundle: bool = False,
) -> RunSummary:
    """Masks, alignment and lesion tables only, without comparison and reports; raises as `run` does."""
    return run_trial(replace(_request(manifest, protocol, out, device, jobs, trust_bundle=trust_bundle), reports=False))


def repeatability(
    manifest: str | Path,
    protocol: str | Path,
    out: str | Path,
    *,
    device: str = "auto",
    jobs: int | None = None,
    trust_bundle: bool = False,
) -> MeasuredRepeatability:
    """Measurement error from repeated scans: all visits of a patient show the same, unchanged lesions.

    Writes repeatability.csv, repeatability.yaml (for a protocol's section `lesions`), repeatability_pairs.csv and a
    figure to `out`. Raises as `run` does, and LesionError when fewer than two lesions were measured twice.
    """
    return measure_repeatability(_request(manifest, protocol, out, device, jobs, trust_bundle=trust_bundle))


def validate(manifest: str | Path, protocol: str | Path, *, arms: str | Path | None = None) -> Validation:
    """Every fault in a trial's inputs; raises ProtocolError or ManifestError where these two themselves are invalid."""
    return validate_trial(Path(manifest), protocol, Path(arms) if arms else None, _cores())


def report(run_folder: str | Path, *, patient_id: str | None = None) -> list[Path]:
    """Draw the reports of a finished run again; raises VerificationError for a folder that holds none."""
    return rebuild_reports(Path(run_folder), patient_id)


def verify(run_folder: str | Path) -> tuple[Finding, ...]:
    """Deviations of a run folder from its own record; raises VerificationError for a folder that holds no run."""
    return verify_run(Path(run_folder))


def segment(
    scan: str | Path,
    protocol: str | Path,
    out: str | Path,
    *,
    organ_mask: str | Path | None = None,
    lesion_mask: str | Path | None = None,
    device: str = "auto",
    trust_bundle: bool = False,
) -> Segmentation:
    """Outline organ and lesions of one scan on its own grid and write the masks and `quality.json` to `out`.

    A reader's mask is used instead of the model's; with both no model runs. `trust_bundle` lets a model that the
    protocol pins by `bundle_sha256` run code of its own.

    Raises
    ------
    ProtocolError, ImagingError, SegmentationError, TrustError
        The protocol or an image cannot be read, the protocol names no model where one is needed, or the model runs
        code that nobody has vouched for.
    """
    return segment_file(
        Path(scan),
        protocol,
        Path(out),
        organ_mask=Path(organ_mask) if organ_mask else None,
        lesion_mask=Path(lesion_mask) if lesion_mask else None,
        device=device,
        trust_bundle=trust_bundle,
    )


def register(
    fixed: str | Path,
    moving: str | Path,
    out: str | Path,
    *,
    fixed_mask: str | Path | None = None,
    moving_mask: str | Path | None = None,
    fixed_lesions: str | Path | None = None,
    moving_lesions: str | Path | None = None,
    protocol: str | Path | None = None,
    units: str | None = None,
    points: str | Path | None = None,
    composite: bool = False,
    device: str = "auto",
    **settings: Unpack[RegistrationOptions],
) -> Alignment:
    """Align the follow-up `moving` to the baseline `fixed` and write transforms and quality to `out`.

    Masks are of the organ; lesions are masks of what is to exert no force. `protocol` gives the section `registration`
    and the units of the scans; `settings` (the fields of that section) and `units` go before it, and without either a
    field has its default and voxels are HU. `points` is a CSV of baseline positions
    (x, y, z in mm, LPS); their positions in the follow-up are written to `points_followup.csv`.
    `composite` adds each direction as one ITK file. `device` is the torch engine's: auto, cpu, cuda or cuda:N. A poor
    alignment raises nothing: its status says fail.

    Raises
    ------
    ImagingError, GeometryError, RegistrationError
        A scan, mask or table of points cannot be read, or a mask lies on another grid than its scan.
    ProtocolError
        The protocol cannot be read or is at fault.
    UsageError
        One of `settings` is out of range.
    """
    table = None if points is None else read_points(Path(points))
    plan = None if protocol is None else load_protocol(protocol)
    wanted = registration_settings(None if plan is None else plan.registration, settings)
    kind = Units(units or (plan.segmentation.units if plan else Units.HU))
    baseline, followup = (read_volume(Path(path), kind) for path in (fixed, moving))
    alignment = align(
        baseline,
        followup,
        fixed_mask=_mask(fixed_mask, baseline),
        moving_mask=_mask(moving_mask, followup),
        fixed_lesions=_mask(fixed_lesions, baseline),
        moving_lesions=_mask(moving_lesions, followup),
        settings=wanted,
        device=device,
    )
    write_alignment(alignment, Path(out))
    if composite:
        write_composites(alignment, Path(out))
    if table is not None:
        map_table(*table, alignment).to_csv(Path(out) / "points_followup.csv", index=False, lineterminator="\n")
    return alignment


def _mask(path: str | Path | None, like: Volume) -> Volume | None:
    return None if path is None else read_mask(Path(path), like)


def analyze(
    table: str | Path, out: str | Path, *, protocol: str | Path | None = None, **columns: Unpack[TableColumns]
) -> ArmComparison:
    """Compare the arms in a long CSV or Parquet file; write results, residuals (CSV and Parquet) and models.json.

    Either `protocol` names the plan (the table is then a run's analysis.csv), or `outcome`, `arm`, `visit`, `patient`
    and `time` name columns; the further ones are those of `trialscan.pipeline.analyze.TableColumns`.

    Raises
    ------
    UsageError, ProtocolError, StatisticsError
        A column is not named, or the protocol or the table is at fault.
    """
    return analyze_table(Path(table), Path(out), protocol=protocol, columns=columns)


def simulate(design: str | Path, out: str | Path, *, jobs: int | None = None) -> Path:
    """Simulate a trial of chest CT with known truth from a YAML design; returns the manifest's path.

    `out` must be new or empty (UsageError). Raises InputError with every fault of the design.
    """
    return simulate_trial(load_design(Path(design)), Path(out), jobs or _cores())


def simulate_power(design: str | Path, out: str | Path, *, jobs: int | None = None) -> PowerResult:
    """Power, type I error and coverage of a statistical design in YAML, by simulation on all cores.

    Writes power.csv, trials.csv and power.json to `out`. Raises InputError with every fault of the design.
    """
    return simulate_power_of(Path(design), Path(out), jobs or _cores())


def models(folder: str | Path | None = None) -> list[ModelFacts]:
    """What the shipped models, or those in a folder, expect and give; nothing of them is loaded."""
    return [read_model_facts(path) for path in find_models(Path(folder) if folder else shipped_folder() / "models")]


def describe_model(name_or_path: str | Path) -> ModelFacts:
    """What one model expects and gives: a shipped one by name, or a folder. Raises SegmentationError for neither."""
    return read_model_facts(_model_folder(name_or_path))


def export_model(name_or_path: str | Path, out: str | Path, form: "Form" = "torchscript") -> "Deployment":
    """A model, a shipped one by name or a folder, for another runtime: `torchscript`, `onnx` or `monai`.

    Raises SegmentationError where the model cannot be read or the exported one answers otherwise, UsageError where
    `out` exists or has the wrong suffix.
    """
    from trialscan.training.deployment import export_model as export  # noqa: PLC0415, training is this verb's alone

    return export(_model_folder(name_or_path), Path(out), form)


def compare_models(
    experiments: Sequence[str | Path], metric: "Metric" = "dice", out: str | Path | None = None
) -> "ModelComparison":
    """Rank the variants of experiments (folders of `train`) on the same cases; write the tables to the folder `out`.

    Raises InputError where a folder is no finished experiment, or the cases are not the same.
    """
    from trialscan.training.comparison import compare_experiments  # noqa: PLC0415, training is this verb's alone

    found = compare_experiments([Path(folder) for folder in experiments], metric)
    if out is not None:
        found.write(Path(out))
    return found


def promote_model(
    fit: str | Path,
    out: str | Path,
    version: str,
    by: str,
    *,
    against: str | Path | None = None,
    judged_by: str | None = None,
    metric: "Metric" = "dice",
    incumbent_labels: Sequence[str] = (),
    force: bool = False,
    reason: str | None = None,
    store: str | Path | None = None,
) -> "Promotion":
    """Make the bundle of a fit of an experiment if it is better than the model in use, or by force with a reason.

    `incumbent_labels` are of the form `lesion=ground_glass+consolidation`.

    Raises
    ------
    PromotionError
        It is not better, and no reason is given.
    InputError, UsageError
        The fit, its snapshot or the words do not fit.
    """
    from trialscan.training import promotion  # noqa: PLC0415, training is this verb's alone
    from trialscan.training.datasets.store import DatasetStore  # noqa: PLC0415, likewise

    if force != bool(reason and reason.strip()):
        raise UsageError("--force", "it alone" if force else "a reason without it", "--force together with --reason")
    request = promotion.PromotionRequest(
        Path(fit),
        Path(out),
        version,
        by,
        against=None if against is None else _model_folder(against),
        judged_by=judged_by,
        metric=metric,
        incumbent_labels=dict(_renamed(words) for words in incumbent_labels),
        reason=reason,
    )
    return promotion.promote(request, DatasetStore(None if store is None else Path(store)))


def lineage(
    run: str | Path | None = None,
    patient: str | None = None,
    visit: str | None = None,
    *,
    file: str | Path | None = None,
    among: Sequence[str | Path] = (".",),
    store: str | Path | None = None,
) -> "Node":
    """How a row of a run's `scans.csv` came to be (run, patient, visit), or all that a file touched (file).

    Raises UsageError where neither or both are asked, or the run has no such row.
    """
    from trialscan.training import lineage as chain  # noqa: PLC0415, training is this verb's alone

    row = (run, patient, visit)
    if (file is None) == (run is None) or (run is not None and None in row):
        raise UsageError("lineage", "neither a whole row nor a file", "RUN with --patient and --visit, or --file")
    archive = chain.read_archive([Path(folder) for folder in among], None if store is None else Path(store))
    if file is not None:
        return chain.came_of(Path(file), archive)
    return chain.origin_of(chain.read_run(Path(str(run)).resolve()), str(patient), str(visit), archive)


def _renamed(words: str) -> tuple[str, tuple[str, ...]]:
    name, found, labels = words.partition("=")
    if not (name and found and labels):
        raise UsageError("--incumbent-labels", repr(words), "CLASS=LABEL or CLASS=LABEL+LABEL")
    return name, tuple(labels.split("+"))


def _model_folder(name_or_path: str | Path) -> Path:
    shipped = shipped_folder() / "models" / str(name_or_path)
    return shipped if shipped.is_dir() else Path(name_or_path)


def evaluate(
    predicted: str | Path,
    reference: str | Path,
    out: str | Path | None = None,
    *,
    probabilities: str | Path | None = None,
    bands_ml: Sequence[float] = Criteria().bands_ml,
    least_overlap: float = Criteria().least_overlap,
) -> Evaluation:
    """Agreement of two mask files, or of two folders of them matched by name, as tables.

    Parameters
    ----------
    out : F.csv for a row a scan and label, or a folder for every table, a JSON file and a figure; nothing if None.
    probabilities : predicted probabilities (0 to 1) of any positive label, a file or folder likewise.
    bands_ml : where size bands of lesions begin, but the first. `least_overlap` : the share of a lesion that the other
        mask must exceed, 0 for any common voxel.

    Raises
    ------
    UsageError
        A mask has no partner, or a criterion makes no sense.
    ImagingError
        One of two files cannot be read or lies on another grid; in folders that scan is a row with status `failed`.
    """
    found = evaluate_masks(
        Path(predicted),
        Path(reference),
        probabilities=None if probabilities is None else Path(probabilities),
        criteria=Criteria(tuple(bands_ml), least_overlap),
    )
    if out is not None:
        write_evaluation(found, Path(out))
    return found


def _request(
    manifest: str | Path, protocol: str | Path, out: str | Path, device: str, jobs: int | None, *, trust_bundle: bool
) -> RunRequest:
    return RunRequest(
        Path(manifest), protocol, Path(out), device=device, jobs=jobs or _cores(), trust_bundle=trust_bundle
    )


def _cores() -> int:
    return os.cpu_count() or 1
