"""The `trialscan` command: finds the subcommand asked for and turns every error into its exit code."""

import importlib
import os
import sys
import traceback

import click

from trialscan import __version__
from trialscan.errors import TrialscanError

INTERRUPTED = 130
UNEXPECTED = 1

COMMANDS = {
    "run": "the main job: manifest and protocol to lesion trajectories, comparison and reports",
    "validate": "faults in a manifest, its protocol and its scans",
    "segment": "organ and lesion masks of one scan",
    "register": "align a follow-up to its baseline; map points",
    "track": "lesions and their courses only, without comparison and reports",
    "repeatability": "measurement error from scans repeated without a change between them",
    "analyze": "compare arms on any long table",
    "report": "rebuild the reports of a finished run",
    "simulate": "a phantom trial with known truth; power of a design",
    "dataset": "immutable versions of annotated scans, for training that can be traced",
    "model": "list, show, compare, promote and export models",
    "lineage": "how a row came to be, and what came of a file",
    "evaluate": "compare masks with a reference",
    "train": "fine-tune and cross-validate on a snapshot of annotated scans",
    "verify": "check a run folder against its own record",
}


class LazyGroup(click.Group):
    """Imports a subcommand's module only when that subcommand is called, so that `--help` is immediate."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order in which a trial meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command object `trialscan.cli.<name>.<name>`."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"trialscan.cli.{cmd_name}"), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"trialscan.cli.{cmd_name}.{cmd_name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="trialscan")
def cli() -> None:
    """From a manifest of scans to lesion trajectories, a comparison of arms and a report for every patient.

    Exit codes: 0 ok, 1 unexpected, 2 usage, 3 invalid protocol or manifest, 4 some scans or patients failed,
    5 verification mismatch, 130 interrupted.
    """


def main() -> None:
    """Run the command line and exit."""
    sys.exit(_run())


def _run() -> int:
    try:
        result = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; run the same command again", err=True)
        return INTERRUPTED
    except TrialscanError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last boundary: a defect gets its own exit code and says so
        if os.environ.get("TRIALSCAN_DEBUG"):
            traceback.print_exc()
        click.echo(f"unexpected {type(error).__name__}: {error} (TRIALSCAN_DEBUG=1 shows where)", err=True)
        return UNEXPECTED
    return result if isinstance(result, int) else 0
