"""The command line: one thin command a file, loaded only when it is called."""

from trialscan.cli.main import main

__all__ = ["main"]
