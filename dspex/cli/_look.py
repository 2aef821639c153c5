"""`dspex ps`, `tree`, `top`, `inspect`, `events` and `crashes`: look without touching."""

from __future__ import annotations

import sys
import time
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.cli import _views as views
from dspex.cli._console import Columns, ago, console, duration, emit_json, emit_list, errors
from dspex.cli._data import open_store
from dspex.cli._help import add
from dspex.cli._options import AsJson, Name, Socket, Store_, Timeout, connect, connect_soon
from dspex.control import Client, ControlError, NoSystemError, choose, running

__all__ = ["register"]

OptionalPath = Annotated[
    str | None, typer.Argument(metavar="PATH", help="A path of the tree; all of it by default.", show_default=False)
]

_SORTS = ("rate", "mailbox", "busy", "handled", "restarts")


def ps(timeout: Timeout = 2.0, as_json: AsJson = False) -> None:
    """List the running systems of this user.

    Exits with 2 when there is none.

    Example: dspex ps
    """
    found = []
    for system in running():
        entry: dict[str, Any] = {"name": system.name, "pid": system.pid, "socket": str(system.path)}
        try:
            with Client(system.path, timeout) as client:
                entry |= client.request("hello")
        except ControlError as error:
            entry["state"] = f"silent ({error})"
        found.append(entry)
    columns: Columns = {
        "name": itemgetter("name"),
        "pid": itemgetter("pid"),
        "state": lambda entry: entry.get("state"),
        "up": lambda entry: duration(entry.get("uptime")),
        "actors": lambda entry: entry.get("actors"),
        "programs": lambda entry: entry.get("programs"),
        "version": lambda entry: entry.get("version"),
    }
    emit_list(found, columns, empty="", right=["pid", "actors", "programs"], as_json=as_json)
    if not found:
        raise NoSystemError("no dspex system is running for this user")
    if any(entry.get("state") != "running" for entry in found):
        raise typer.Exit(1)


def tree(
    path: OptionalPath = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Draw it again every second, until Ctrl-C.")] = False,
    depth: Annotated[int | None, typer.Option("--depth", "-d", metavar="N", min=0, help="Levels below PATH.")] = None,
    dot: Annotated[bool, typer.Option("--dot", help="Print Graphviz's language.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print Mermaid's language.")] = False,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Say what a crash of PATH would stop and start, and crash nothing.")
    ] = False,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Show the supervision tree.

    It is what the supervisors publish: stuck actors are shown, not asked.  Exits with 1 when something in it is not
    well.

    Example: dspex tree dspex/programs --depth 2
    """
    forms = {"--watch": watch, "--dot": dot, "--mermaid": mermaid, "--json": as_json and not what_if}
    given = [flag for flag, wanted in {**forms, "--what-if": what_if}.items() if wanted]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other: give one of them")
    if what_if and path is None:
        raise typer.BadParameter("--what-if needs the PATH that would crash")
    with (connect_soon if watch else connect)(name, socket, timeout) as client:
        if what_if:
            outcome = client.request("what_if", path=path)
            if as_json:
                emit_json(outcome)
            else:
                console().print(views.what_if_text(outcome), markup=False)
            return
        if watch:
            _watch(client, path, depth)
            return
        drawing = "dot" if dot else "mermaid" if mermaid else None
        node = client.request("tree", path=path, depth=depth, collapse=not as_json, drawing=drawing)
        stall = client.request("stall")
    if drawing is not None:
        print(node)
    elif as_json:
        emit_json(node)
    else:
        out = console()
        if stall:
            out.print(views.stall_text(stall), style="red", markup=False)
        if out.is_terminal:
            out.print(views.tree_text(node), no_wrap=True, overflow="ellipsis")
        else:
            out.print(views.tree_text(node))
    if drawing is None and (stall or not views.is_well(node)):
        raise typer.Exit(1)


def _watch(client: Client, path: str | None, depth: int | None) -> None:
    from rich.console import Group
    from rich.text import Text

    out = console()
    live = _live() if out.is_terminal else None
    try:
        while True:
            node = client.request("tree", path=path, depth=depth, collapse=True)
            stall = client.request("stall")
            head = Text(time.strftime("%H:%M:%S"), style="dim")
            warning = [Text(views.stall_text(stall), style="red")] if stall else []
            drawn = Group(head, *warning, views.tree_text(node))
            if live is not None:
                live.update(drawn, refresh=True)
            else:
                out.print(drawn)
                sys.stdout.flush()
            time.sleep(1.0)
    finally:
        if live is not None:
            live.stop()


def top(
    interval: Annotated[
        float, typer.Option("--interval", "-i", metavar="SECONDS", min=0.1, help="Seconds between two readings.")
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option("--count", "-c", metavar="N", min=1, help="Stop after so many readings.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-l", metavar="N", min=1, help="How many actors to show.")] = 20,
    sort: Annotated[
        str, typer.Option("--sort", metavar="ORDER", help="rate, mailbox, busy, handled or restarts.")
    ] = "rate",
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Show live counters, the busiest first.

    Of actors, messages a second, calls to language models, tokens and cost.

    Example: dspex top --sort mailbox
    """
    if sort not in _SORTS:
        raise typer.BadParameter(f"--sort takes one of {', '.join(_SORTS)}, not {sort!r}")
    with connect(name, socket, timeout) as client:
        out = console()
        live = None if as_json or not out.is_terminal else _live()
        try:
            for reading in islice(client.stream("top", interval=interval, sort=sort, lines=lines), count):
                if as_json:
                    emit_json(reading)
                elif live is not None:
                    live.update(views.top_text(reading, live.console.width), refresh=True)
                else:
                    out.print(views.top_text(reading))
        finally:
            if live is not None:
                live.stop()


def _live() -> Any:
    from rich.live import Live

    live = Live(console=console(), auto_refresh=False)
    live.start()
    return live


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A path of the tree, like dspex/programs/rag.")],
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Show one actor, and what it is doing.

    Its state, its mailbox, what it handles since when and where, its last crash.

    Example: dspex inspect dspex/programs/rag
    """
    with connect(name, socket, timeout) as client:
        found = client.request("inspect", path=path)
    if as_json:
        emit_json(found)
    else:
        console().print(views.inspect_text(found))


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", "-t", metavar="TOPIC", help="Only these topics and what is below them."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="How many of the last events, without --follow.")
    ] = 50,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Show what happens, or has happened.

    To actors, supervisors, calls, cache, breakers, evaluations and runs.

    Example: dspex events --follow --topic supervisor
    """
    with connect(name, socket, timeout) as client:
        source = (
            client.stream("events", topics=topic or [])
            if follow
            else iter(client.request("recent_events", topics=topic or [], limit=limit))
        )
        out = console()
        shown = 0
        for event in source:
            shown += 1
            if as_json:
                import json

                print(json.dumps(event, default=str), flush=True)
            else:
                out.print(views.event_row(event, out.width) if out.is_terminal else views.event_text(event))
    if not shown and not as_json:
        errors().print(f"No events{' of ' + ', '.join(topic) if topic else ''} are remembered.", markup=False)


def crashes(
    location: Store_ = None,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    traceback: Annotated[bool, typer.Option("--traceback", help="With the newest traceback of each.")] = False,
    as_json: AsJson = False,
) -> None:
    """List crashes by where they happened.

    Of the running system, or from the store when none runs.

    Example: dspex crashes --traceback
    """
    groups = _live_crashes(name, socket, timeout) if location is None else None
    if groups is None:
        with open_store(location) as store:
            groups = [
                {
                    "fingerprint": group.fingerprint,
                    "type": group.type,
                    "message": group.message,
                    "traceback": group.traceback,
                    "count": group.count,
                    "paths": list(group.paths),
                    "last_seen": group.last_seen,
                }
                for group in store.crashes.groups()
            ]
    columns: Columns = {
        "fingerprint": itemgetter("fingerprint"),
        "count": itemgetter("count"),
        "last": lambda group: f"{ago(group['last_seen'])} ago",
        "what": lambda group: f"{group['type']}: {group['message']}"[:80],
        "where": lambda group: ", ".join(group["paths"][:3]) + (" ..." if len(group["paths"]) > 3 else ""),
    }
    emit_list(
        groups,
        columns,
        empty="No crashes are known.",
        right=["count"],
        long=["what", "where"],
        spare=["last"],
        as_json=as_json,
    )
    if traceback and not as_json:
        out = console()
        for group in groups:
            out.print(f"\n{group['fingerprint']}", style="bold")
            out.print(group["traceback"], markup=False)


def _live_crashes(name: str | None, socket: Path | None, timeout: float) -> list[dict[str, Any]] | None:
    try:
        path = socket if socket is not None else choose(name).path
        with Client(path, timeout) as client:
            groups: list[dict[str, Any]] = client.request("crashes")
            return groups
    except NoSystemError:
        if name is not None or socket is not None:
            raise
        return None


def register(app: typer.Typer) -> None:
    """Add these commands."""
    add(app, ps, tree, top, inspect, events, crashes)
