"""`dspex quarantine`: the inputs that killed their workers."""

from __future__ import annotations

from operator import itemgetter
from typing import Annotated, Any

import typer

from dspex.cli._console import Columns, ago, console, emit_facts, emit_json, emit_list, fields
from dspex.cli._data import open_store
from dspex.cli._help import Command
from dspex.cli._options import AsJson, Name, Socket, Store_, Timeout, Yes, connect
from dspex.control import Client, ControlError, running
from dspex.quarantine import Quarantine

__all__ = ["register"]

quarantine = typer.Typer(invoke_without_command=True, help="Inputs that killed their workers.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="An input's key; its first characters do.")]


@quarantine.callback()
def _all(context: typer.Context, location: Store_ = None, as_json: AsJson = False) -> None:
    """Inputs that killed their workers."""
    if context.invoked_subcommand is None:
        list_(location, False, as_json)


@quarantine.command("list", cls=Command)
def list_(
    location: Store_ = None,
    every: Annotated[bool, typer.Option("--all", help="Those that are only watched, or released, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The inputs that are set aside.

    The latest first.  Programs refuse them.

    Example: dspex quarantine list
    """
    with open_store(location) as store:
        found = [fields(each) for each in store.quarantine.list(state=None if every else "quarantined")]
    columns: Columns = {
        "key": lambda each: each["key"][:12],
        "program": itemgetter("program"),
        "state": itemgetter("state"),
        "kills": itemgetter("kills"),
        "last": lambda each: f"{ago(each['last_seen'])} ago",
        "why": lambda each: each["reason"][:80],
    }
    emit_list(
        found,
        columns,
        empty="No input is quarantined.",
        right=["kills"],
        long=["why"],
        spare=["program", "last"],
        as_json=as_json,
    )


@quarantine.command(cls=Command)
def show(key: Key, location: Store_ = None, as_json: AsJson = False) -> None:
    """One input, with what it holds.

    Example: dspex quarantine show 3fa2
    """
    with open_store(location) as store:
        found = fields(Quarantine(store).show(key))
    if as_json:
        emit_json(found)
        return
    emit_facts((name, found[name]) for name in ("key", "program", "state", "kills", "reason"))
    emit_json(found["payload"])


@quarantine.command(cls=Command)
def release(key: Key, location: Store_ = None, timeout: Timeout = 5.0, as_json: AsJson = False) -> None:
    """Let an input run again, counting from 0.

    Example: dspex quarantine release 3fa2
    """
    with open_store(location) as store:
        found = Quarantine(store).release(key)
    _tell_systems(timeout)
    _done(found, "released", as_json)


@quarantine.command(cls=Command)
def drop(key: Key, location: Store_ = None, timeout: Timeout = 5.0, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget an input.

    Example: dspex quarantine drop 3fa2 --yes
    """
    with open_store(location) as store:
        set_aside = Quarantine(store)
        found = set_aside.show(key)
        if not yes:
            typer.confirm(f"Forget the input {found.key[:12]} of {found.program}?", abort=True)
        set_aside.drop(found.key)
    _tell_systems(timeout)
    _done(found, "dropped", as_json)


@quarantine.command(cls=Command)
def replay(
    key: Key,
    location: Store_ = None,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Give an input to its program once more.

    In the running system.  If that goes well, it is forgotten.

    Example: dspex quarantine replay 3fa2
    """
    with open_store(location) as store:
        found = Quarantine(store).show(key)
    with connect(name, socket, timeout) as client:
        outcome = client.request("replay_input", key=found.key, timeout=timeout)
    if as_json:
        emit_json(outcome)
    else:
        console().print(f"{found.key[:12]} was replayed: {outcome}", markup=False)


def _tell_systems(timeout: float) -> None:
    """Systems that run know what was set aside: they look again.  One that does not answer will at its next start."""
    for system in running():
        try:
            with Client(system.path, timeout) as client:
                client.request("reload_quarantine")
        except ControlError:
            continue


def _done(found: Any, state: str, as_json: bool) -> None:
    if as_json:
        emit_json({"key": found.key, "program": found.program, "state": state})
    else:
        console().print(f"{found.key[:12]} of {found.program} was {state}", markup=False)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(quarantine, name="quarantine")
