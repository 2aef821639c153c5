"""Options that many commands have."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from dspex.control import Client, NoSystemError, choose

__all__ = ["AsJson", "Name", "Path_", "Socket", "Store_", "Timeout", "Yes", "connect", "connect_soon"]

_AGAIN = 0.1  # seconds between two looks for a system

Name: TypeAlias = Annotated[
    str | None, typer.Option("--name", "-n", metavar="NAME", help="The system, if several run; see `dspex ps`.")
]
Socket: TypeAlias = Annotated[
    Path | None, typer.Option("--socket", metavar="PATH", help="The system's control socket itself.")
]
Timeout: TypeAlias = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.01, help="How long to wait for the system's answer.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Path_: TypeAlias = Annotated[str, typer.Argument(metavar="PATH", help="A path of the tree, like dspex/programs/rag.")]
Store_: TypeAlias = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="A store's URL or path; by default the project's own.")
]


def connect(name: str | None, socket: Path | None, timeout: float) -> Client:
    """A connection to the system that the options choose.

    Raises:
        NoSystemError, SeveralSystemsError: nothing, or too much, to choose from.
    """
    return Client(socket if socket is not None else choose(name).path, timeout)


def connect_soon(name: str | None, socket: Path | None, timeout: float) -> Client:
    """The same, but the system may still be about to begin: it is waited for as long as for an answer."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            client = connect(name, socket, timeout)
        except NoSystemError:
            if time.monotonic() >= deadline:
                raise
        else:
            if client.request("health")["live"] or time.monotonic() >= deadline:
                return client
            client.close()
        time.sleep(_AGAIN)
