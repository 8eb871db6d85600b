"""A fit of an experiment as it lies in its folder, and the bundle that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from safetensors.torch import load_file

from trialscan.audit import digest_file, read_ledger
from trialscan.audit.json_file import read_json
from trialscan.errors import Fault, InputError, UsageError
from trialscan.segmentation.specification import ModelSpecification
from trialscan.training.experiments.record import LEDGER, LOCK, RESULT, WEIGHTS
from trialscan.training.export import ModelDescription, write_model
from trialscan.training.promotion.judging import Reading


@dataclass(frozen=True, eq=False)
class FinishedFit:
    """One fit: `experiment` is the folder above, `lock` what that was made of, `result` what came of the fit."""

    folder: Path
    experiment: Path
    lock: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """experiment/variant/seed/fold."""
        return f"{self.lock['name']}/{self.folder.relative_to(self.experiment).as_posix()}"

    @property
    def snapshot(self) -> str:
        """Digest of the snapshot that it learnt from."""
        return str(self.lock["snapshot_sha256"])

    @property
    def predicted(self) -> frozenset[str]:
        """Cases of the snapshot that it did not learn from, and was judged on."""
        return frozenset(str(row["case_id"]) for row in self.result["rows"])

    @property
    def spec(self) -> ModelSpecification:
        """How its scans are prepared and its answer is read."""
        return ModelSpecification.model_validate(self.result["model"])

    @property
    def measured(self) -> Mapping[str, tuple[int, ...]]:
        """What it is judged by, by classes of the experiment: each but the background, and each union of classes."""
        unions = {name: tuple(members) for name, members in self.result["combined"].items()}
        return {name: (index,) for index, name in enumerate(self.result["classes"]) if index} | unions

    def reading(self, measured: str) -> Reading:
        """The snapshot's labels and the network's that a class, or a union of classes, stands for."""
        members = self.measured[measured]
        names = {self.result["classes"][index] for index in members}
        reference = frozenset(int(label) for label, index in self.result["of"].items() if index in members)
        model = frozenset(label for label, name in self.spec.labels.items() if self.result["outputs"][name] in names)
        return Reading(reference, model)


def read_fit(folder: Path) -> FinishedFit:
    """Read a fit's folder, `EXPERIMENT/<variant>/seed-<s>/fold-<k>`.

    Raises
    ------
    InputError
        It is no finished fit, its weights are not those that its result names, or they are not those in the ledger.
    """
    folder = folder.resolve()
    experiment = folder.parents[2] if len(folder.parents) > 2 else folder
    for path in (folder / RESULT, folder / WEIGHTS, experiment / LOCK, experiment / LEDGER):
        if not path.is_file():
            expected = "expected a finished fit: EXPERIMENT/<variant>/seed-<s>/fold-<k>"
            raise InputError([Fault(str(folder), f"no {path.name}; {expected}")])
    lock = YAML(typ="safe").load((experiment / LOCK).read_text(encoding="utf-8"))
    fit = FinishedFit(folder, experiment, lock, read_json(folder / RESULT))
    _require_recorded(fit)
    return fit


def _require_recorded(fit: FinishedFit) -> None:
    """The experiment's ledger names the digests of weights and result; whatever was changed since is refused."""
    recorded: dict[str, str] = {}
    for entry in read_ledger(fit.experiment / LEDGER):
        recorded |= entry["outputs"]
    faults = []
    for name in (WEIGHTS, RESULT):
        path = (fit.folder / name).relative_to(fit.experiment).as_posix()
        if recorded.get(path) != digest_file(fit.folder / name):
            faults.append(Fault(path, "is not the file that the experiment's ledger names; it was changed since"))
    if faults:
        raise InputError(faults)


def pack(fit: FinishedFit, bundle: Path, name: str, version: str, data_source: str) -> str:
    """Write a fit's network as a bundle; returns the digest of its weights. UsageError of several channels."""
    if len(fit.result["channels"]) != 1:
        raise UsageError(fit.name, f"{len(fit.result['channels'])} channels", "one", "A bundle takes a single image.")
    spec = fit.spec
    described = ModelDescription(
        name, fit.result["network"], spec, tuple(spec.window), data_source, f"promoted from {fit.name}"
    )
    return write_model(described, load_file(fit.folder / WEIGHTS), bundle, version)


def read_snapshot_digest(lock: Path) -> str:
    """The snapshot that an experiment's lock names."""
    return str(YAML(typ="safe").load(lock.read_text(encoding="utf-8"))["snapshot_sha256"])
