"""The command line: `dspex --help`."""

from dspex.cli._main import app, main

__all__ = ["app", "main"]
