"""`trialscan verify DIR`."""

import json
from pathlib import Path

import click

from trialscan.audit import verify_run
from trialscan.errors import VerificationError


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def verify(run: Path, as_json: bool) -> int:
    """Check every file of a finished run, and its ledger's chain, against the record."""
    findings = verify_run(run)
    if as_json:
        rows = [{"path": finding.path, "problem": finding.problem} for finding in findings]
        click.echo(json.dumps({"verified": not findings, "findings": rows}))
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo("as recorded" if not findings else f"{len(findings)} deviations from the record", err=bool(findings))
    return VerificationError.exit_code if findings else 0
