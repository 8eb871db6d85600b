"""`trialscan model list`, `show MODEL`, `export MODEL`, `compare EXPERIMENT …` and `promote FIT`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trialscan import api
from trialscan.cli import options
from trialscan.segmentation import ModelFacts

if TYPE_CHECKING:
    from trialscan.training.comparison import Metric
    from trialscan.training.deployment import Form


@click.group()
def model() -> None:
    """What models there are, what they expect and give, and what other runtimes can load."""


@model.command(name="list")
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.as_json
def list_models(folder: Path | None, as_json: bool) -> None:
    """The shipped models, or those in FOLDER."""
    found = api.models(folder)
    if as_json:
        click.echo(json.dumps({"models": [_plain(facts) for facts in found]}, indent=2))
        return
    for facts in found:
        labels = ", ".join(name for label, name in facts.labels.items() if label)
        trust = "; runs code of its own" if facts.needs_trust else ""
        click.echo(f"{facts.name} {facts.version} ({facts.kind}): {facts.modality}; {labels}{trust}")


@model.command()
@click.argument("name")
@options.as_json
def show(name: str, as_json: bool) -> None:
    """What the model NAME, a shipped one or a folder, expects and gives, and the digests that a protocol pins."""
    facts = api.describe_model(name)
    click.echo(json.dumps(_plain(facts), indent=2) if as_json else "\n".join(_lines(facts)))


@model.command()
@click.argument("name")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write; a folder for monai.")
@click.option(
    "--form",
    type=click.Choice(["torchscript", "onnx", "monai"]),
    default="torchscript",
    show_default=True,
    help="What to write; onnx needs trialscan[onnx].",
)
@options.as_json
def export(name: str, out: Path, form: "Form", as_json: bool) -> None:
    """The model NAME, a shipped one or a folder, for another runtime, checked to give the same answers."""
    made = api.export_model(name, out, form)
    if as_json:
        click.echo(json.dumps(asdict(made) | {"path": str(made.path)}, indent=2))
        return
    click.echo(f"{made.path}: {made.model} {made.version} as {made.form}, sha256 {made.sha256}")
    click.echo(
        f"largest difference of a class probability {made.largest_difference:.1g} in {made.voxels_compared} values"
    )


@model.command()
@click.argument("experiments", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@options.metric
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the tables as CSV.")
@options.as_json
def compare(experiments: tuple[Path, ...], metric: "Metric", out: Path | None, as_json: bool) -> None:
    """Rank the variants of EXPERIMENTS (folders of trialscan train) on the same cases, with paired differences."""
    found = api.compare_models(experiments, metric, out)
    if as_json:
        rows = {
            name: json.loads(table.to_json(orient="records", double_precision=15))
            for name, table in found.tables.items()
        }
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(found.text())


@model.command()
@click.argument("fit", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new bundle; its name is the model's.")
@click.option("--version", required=True, help="The model's version, such as 1.1.0.")
@click.option("--by", required=True, help="Who promotes it.")
@click.option("--against", help="The model in use: a shipped one by name, or a folder.")
@click.option("--judged-by", help="The class, or union of classes, that decides.  [default: the first]")
@options.metric
@click.option(
    "--incumbent-labels",
    multiple=True,
    metavar="CLASS=LABEL[+LABEL]",
    help="What the model in use calls a class.",
)
@click.option("--force", is_flag=True, help="Promote it although it was not shown to be better; needs --reason.")
@click.option("--reason", help="Why it is promoted all the same; recorded.")
@options.store
@options.as_json
def promote(as_json: bool, **asked: Any) -> None:  # noqa: ANN401 - click's options, handed on by name
    """Make the bundle of FIT (EXPERIMENT/<variant>/seed-<s>/fold-<k>) if it is better than the model in use.

    Both run on the cases that the snapshot holds out, or that this fold did not learn from.
    """
    made = api.promote_model(**asked)
    facts = {
        "bundle": str(made.bundle),
        "weights_sha256": made.weights_sha256,
        "better": made.better,
        "judged_on": made.evidence,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo("\n".join(f"{name}: {value}" for name, value in facts.items()))
    if made.comparison is not None:
        click.echo(f"\n{made.comparison.text()}")


def _plain(facts: ModelFacts) -> dict[str, Any]:
    labels = {str(label): name for label, name in facts.labels.items()}
    return asdict(facts) | {"labels": labels, "needs_trust": facts.needs_trust}


def _lines(facts: ModelFacts) -> list[str]:
    shown = {
        "model": f"{facts.name} {facts.version} ({facts.kind})",
        "task": facts.task,
        "takes": _input(facts),
        "gives": ", ".join(f"{label} {name}" for label, name in facts.labels.items()),
        "window": " × ".join(map(str, facts.window)),
        "weights_sha256": facts.weights_sha256,
        "bundle_sha256": facts.bundle_sha256,
        "outlier score": "yes" if facts.outlier_score else "no",
        "trust": _trust(facts),
    }
    return [f"{name}: {value}" for name, value in shown.items() if value] + [f"| {line}" for line in facts.card]


def _input(facts: ModelFacts) -> str:
    parts = [facts.modality, f"{facts.dimensions}-D" if facts.dimensions else "", f"{len(facts.channels)} channel"]
    if facts.spacing_mm:
        parts.append(" × ".join(f"{edge:g}" for edge in facts.spacing_mm) + " mm")
    if facts.intensity_range:
        parts.append("values {:g} to {:g}".format(*facts.intensity_range))
    return ", ".join(part for part in parts if part)


def _trust(facts: ModelFacts) -> str:
    if not facts.needs_trust:
        return "not needed, it is numbers only"
    return "runs code of its own: name bundle_sha256 in the protocol and give --trust-bundle"
