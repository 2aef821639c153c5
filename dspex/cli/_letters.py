"""`dspex deadletters`: calls that reached no program."""

from __future__ import annotations

from operator import itemgetter
from typing import Annotated, Any

import typer

from dspex.cli._console import Columns, ago, console, emit_facts, emit_json, emit_list, fields
from dspex.cli._data import open_store
from dspex.cli._help import Command
from dspex.cli._options import AsJson, Name, Socket, Store_, Timeout, Yes, connect
from dspex.control import OperationError

__all__ = ["register"]

letters = typer.Typer(invoke_without_command=True, help="Calls that reached no program.")

LetterId = Annotated[str, typer.Argument(metavar="ID", help="A letter's id; its first characters do.")]


@letters.callback()
def _all(context: typer.Context, location: Store_ = None, as_json: AsJson = False) -> None:
    """Calls that reached no program."""
    if context.invoked_subcommand is None:
        list_(location, False, as_json)


@letters.command("list", cls=Command)
def list_(
    location: Store_ = None,
    every: Annotated[bool, typer.Option("--all", help="Those that were replayed or dropped, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The letters that wait, the oldest first.

    Example: dspex deadletters list
    """
    with open_store(location) as store:
        found = [fields(letter) for letter in store.dead_letters.list(state=None if every else "waiting")]
    columns: Columns = {
        "id": lambda letter: letter["id"][:12],
        "kind": itemgetter("kind"),
        "for": itemgetter("target"),
        "state": itemgetter("state"),
        "age": lambda letter: ago(letter["created"]),
        "why": lambda letter: letter["reason"][:80],
    }
    emit_list(found, columns, empty="No dead letters.", long=["why"], spare=["kind", "age"], as_json=as_json)


def _find(store: Any, prefix: str) -> Any:
    matching = [letter for letter in store.dead_letters.list(state=None) if letter.id.startswith(prefix)]
    if len(matching) != 1:
        what = "no letter" if not matching else f"{len(matching)} letters"
        raise OperationError(
            "unknown_letter", f"{what} with an id that begins with {prefix!r}: see `dspex deadletters`"
        )
    return matching[0]


@letters.command(cls=Command)
def show(letter_id: LetterId, location: Store_ = None, as_json: AsJson = False) -> None:
    """One letter, with what it holds.

    Example: dspex deadletters show 3fa2
    """
    with open_store(location) as store:
        letter = fields(_find(store, letter_id))
    if as_json:
        emit_json(letter)
        return
    emit_facts((name, letter[name]) for name in ("id", "kind", "target", "state", "attempts", "reason"))
    emit_json(letter["payload"])


@letters.command(cls=Command)
def replay(
    letter_id: LetterId,
    location: Store_ = None,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Send a letter again, to the running system.

    Example: dspex deadletters replay 3fa2
    """
    with open_store(location) as store:
        letter = _find(store, letter_id)
    with connect(name, socket, timeout) as client:
        outcome = client.request("replay", letter=letter.id, timeout=timeout)
    if as_json:
        emit_json(outcome)
    else:
        console().print(f"{letter.id[:12]} was replayed: {outcome}", markup=False)


@letters.command(cls=Command)
def drop(letter_id: LetterId, location: Store_ = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Give a letter up.

    Example: dspex deadletters drop 3fa2 --yes
    """
    with open_store(location) as store:
        letter = _find(store, letter_id)
        if not yes:
            typer.confirm(f"Drop the letter {letter.id[:12]} for {letter.target}?", abort=True)
        store.dead_letters.move(letter.id, "dropped")
    if as_json:
        emit_json({"id": letter.id, "state": "dropped"})
    else:
        console().print(f"{letter.id[:12]} was dropped")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(letters, name="deadletters")
