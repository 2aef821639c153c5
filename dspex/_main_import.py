"""The main script of one process, imported by another: for what is defined in it, never to do again what it does."""

from __future__ import annotations

from contextvars import ContextVar

from dspex._errors import DspexError

importing_main: ContextVar[bool] = ContextVar("importing_main", default=False)
"""True in a process that computes a metric, while it imports the script of the process that started it."""


def refuse_while_importing_main() -> None:
    """What calls models must not begin here: it would be paid for once more in every such process.

    Raises:
        DspexError: the main script is being imported.
    """
    if importing_main.get():
        raise DspexError(
            "it started a dspex System or asked a model as it was imported, by a process that computes a metric "
            "and needs what is defined there",
            code="main_is_imported",
        )
