"""`dspex restart|stop|suspend|resume|scale`: touch a running system, and ask before touching more than one actor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.cli._console import console, emit_json
from dspex.cli._help import add
from dspex.cli._options import AsJson, Name, Path_, Socket, Timeout, Yes, connect
from dspex.control import Client

__all__ = ["register"]


def _act(
    op: str,
    path: str,
    name: str | None,
    socket: Path | None,
    timeout: float,
    as_json: bool,
    yes: bool,
    done: str,
    **args: Any,
) -> None:
    with connect(name, socket, timeout) as client:
        if not yes:
            _confirm(client, op, path)
        result = client.request(op, path=path, timeout=timeout, **args)
    if as_json:
        emit_json(result)
    else:
        console().print(f"{path} {done}", markup=False)


def _confirm(client: Client, op: str, path: str) -> None:
    """A subtree is touched only after a question; a single actor without."""
    size = client.request("size", path=path)
    if size > 1:
        typer.confirm(f"{path} has {size - 1} actors below it. {op.capitalize()} all of them?", abort=True)


def restart(
    path: Path_,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 10.0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Stop and start an actor or a subtree.

    Its supervisor starts it again.

    Example: dspex restart dspex/lm --yes
    """
    _act("restart", path, name, socket, timeout, as_json, yes, "was restarted")


def stop(
    path: Path_,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 10.0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Stop an actor or a subtree for good.

    Its supervisor keeps it down.

    Example: dspex stop dspex/programs/rag
    """
    _act("stop", path, name, socket, timeout, as_json, yes, "was stopped")


def suspend(
    path: Path_,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let an actor's mail wait.

    Until it is resumed.

    Example: dspex suspend dspex/programs/rag
    """
    _act("suspend", path, name, socket, timeout, as_json, yes, "is suspended")


def resume(
    path: Path_,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let a suspended actor take mail again.

    Example: dspex resume dspex/programs/rag
    """
    _act("resume", path, name, socket, timeout, as_json, yes, "goes on")


def scale(
    path: Path_,
    workers: Annotated[int, typer.Argument(metavar="N", min=1, help="How many workers it is to have.")],
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 10.0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Change the number of workers.

    Of a pool of language models, of an evaluation, or of an optimization run.

    Example: dspex scale dspex/lm/pools/openai 8
    """
    _act("scale", path, name, socket, timeout, as_json, True, f"is scaled to {workers}", workers=workers)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    add(app, restart, stop, suspend, resume, scale)
