"""`dspex store`: what is kept, how much of it, and how to have less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dspex.cli._console import console, emit_json, size, table
from dspex.cli._errors import NoStoreError
from dspex.cli._help import Command
from dspex.cli._options import AsJson, Store_, Yes

if TYPE_CHECKING:
    from dspex.store import Store

__all__ = ["find_store", "open_store", "register"]

store = typer.Typer(no_args_is_help=True, help="Look after what is stored.")

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


@contextmanager
def open_store(location: str | None) -> Iterator[Store]:
    """The store that the option, the environment or the project names.  It is never made here: one that was not named
    on the command line and is not there yet is an empty one in memory.

    Raises:
        NoStoreError: the command line names one that is not there.
        StoreError: it cannot be opened; the message says why.
    """
    from dspex.store import Store

    place = find_store(location)
    if place.path is not None and not place.path.exists():
        if location is not None:
            raise NoStoreError(str(place.path))
        place = Store(":memory:")
    try:
        place.database.ensure()
        yield place
    finally:
        place.close()


def find_store(location: str | None) -> Store:
    """Where it is, or would be: nothing is opened before it is read."""
    from dspex.store import Store
    from dspex.system import SystemConfig

    if location is None:
        configured = SystemConfig.load().store
        location = configured if isinstance(configured, str) else None
    return Store(location)


def age(text: str) -> float:
    """`30d`, `12h`, `90m`, as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not an age: write a number and one of s, m, h, d, w, like 30d")
    return float(match[1]) * _UNITS[match[2]]


@store.command("size", cls=Command)
def size_(location: Store_ = None, as_json: AsJson = False) -> None:
    """How much is stored, by kind.

    Example: dspex store size
    """
    with open_store(location) as opened:
        taken, there = opened.size(), not opened.database.memory
    if as_json:
        figures = {"bytes": taken.bytes, "free_bytes": taken.free_bytes} if there else {"bytes": 0, "free_bytes": 0}
        emit_json({**figures, "rows": taken.rows})
        return
    out = console()
    if not there:
        out.print("Nothing is stored here.")
        return
    out.print(table(["kind", "rows"], sorted(taken.rows.items()), right=["rows"]))
    out.print(f"{size(taken.bytes)} in all, {size(taken.free_bytes)} of it unused (dspex store vacuum gives it back)")


@store.command(cls=Command)
def vacuum(location: Store_ = None, as_json: AsJson = False) -> None:
    """Give unused space back to the disk.

    Example: dspex store vacuum
    """
    with open_store(location) as opened:
        freed = opened.vacuum()
    if as_json:
        emit_json({"freed_bytes": freed})
    else:
        console().print(f"{size(freed)} freed")


@store.command(cls=Command)
def prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="For example 30d or 12h.")],
    location: Store_ = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete what is older than AGE.

    Unfinished runs stay.

    Example: dspex store prune --older-than 30d
    """
    seconds = age(older_than)
    with open_store(location) as opened:
        going = opened.prune(seconds, dry_run=True)
        if not dry_run and going.total and not yes:
            typer.confirm(f"Delete {going.total} rows older than {older_than}?", abort=True)
        gone = going if dry_run else opened.prune(seconds)
    if as_json:
        emit_json({"rows": gone.rows, "total": gone.total, "dry_run": dry_run})
        return
    console().print(table(["kind", "rows"], sorted(gone.rows.items()), right=["rows"]))
    console().print(f"{gone.total} rows {'would be deleted' if dry_run else 'deleted'}")


@store.command(cls=Command)
def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where the JSON lines go.")],
    location: Store_ = None,
    as_json: AsJson = False,
) -> None:
    """Write everything as JSON lines.

    One row a line.

    Example: dspex store export backup.jsonl
    """
    with open_store(location) as opened:
        rows = opened.export(path)
    if as_json:
        emit_json({"rows": rows, "path": str(path)})
    else:
        console().print(f"{rows} rows written to {path}")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(store, name="store")
