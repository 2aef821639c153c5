"""`dspex runs`: optimizations and evaluations, living and past."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dspex._errors import DspexError
from dspex.cli._console import (
    Columns,
    ago,
    console,
    duration,
    emit_facts,
    emit_json,
    emit_list,
    money,
    plural,
    score,
    table,
)
from dspex.cli._data import open_store
from dspex.cli._help import Command
from dspex.cli._options import AsJson, Name, Socket, Store_, Timeout, connect
from dspex.cli._work import optimize_run
from dspex.control import Client, ControlError, NoSystemError, OperationError, choose, running
from dspex.store import RunNotFoundError

if TYPE_CHECKING:
    from dspex.store import Run, Store

__all__ = ["register"]


class RunFinishedError(DspexError):
    """The run has ended: nothing can be done with it any more."""


class RunNotLivingError(DspexError):
    """No running system has the run."""


class RunNotResumableError(DspexError):
    """How the run was begun is not known here."""


runs = typer.Typer(invoke_without_command=True, help="List, watch, pause and resume runs.")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]


@runs.callback()
def _all(context: typer.Context, location: Store_ = None, as_json: AsJson = False) -> None:
    """List, watch, pause and resume runs."""
    if context.invoked_subcommand is None:
        _list(location, as_json, 50)


@runs.command("list", cls=Command)
def list_(
    location: Store_ = None,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many, the newest first.")] = 50,
) -> None:
    """The runs in the store, the newest first.

    Example: dspex runs list --limit 5
    """
    _list(location, as_json, limit)


def _list(location: str | None, as_json: bool, limit: int) -> None:
    with open_store(location) as store:
        found = store.runs.list(limit=limit)
        rows = [describe(store, run) for run in found]
    columns: Columns = {
        "run": itemgetter("id"),
        "kind": itemgetter("kind"),
        "program": itemgetter("program"),
        "state": itemgetter("state"),
        "best": lambda row: score(row["best_score"]),
        "tokens": lambda row: f"{row['tokens']:,}",
        "cost": lambda row: money(row["cost"]),
        "begun": lambda row: f"{ago(row['created'])} ago",
    }
    emit_list(
        rows,
        columns,
        empty="No runs are stored here.",
        right=["best", "tokens", "cost"],
        long=["run", "kind"],
        spare=["kind", "program", "begun", "tokens"],
        as_json=as_json,
    )


def describe(store: Store, run: Run) -> dict[str, Any]:
    """A run as JSON.  One whose process has died is `interrupted`: nobody works on it, and it can be resumed."""
    return {
        "id": run.id,
        "kind": run.kind,
        "program": run.program,
        "state": "interrupted" if store.runs.is_orphan(run) else run.status,
        "best_score": run.best_score,
        "cost": run.cost,
        "tokens": run.tokens,
        "seed": run.seed,
        "config": run.config,
        "data_hashes": run.data_hashes,
        "created": run.created,
        "updated": run.updated,
        "seconds": run.updated - run.created,
        "summary": run.summary,
    }


def _spent(run: Mapping[str, Any]) -> str:
    """What a run took. What all came from the cache is free."""
    calls = run["summary"].get("calls", 0)
    if calls and calls == run["summary"].get("cached") and not run["tokens"]:
        return f"{plural(calls, 'call')}, all from the cache, $0"
    return f"{money(run['cost'])}, {plural(run['tokens'], 'token')}"


def _get(store: Store, run_id: str) -> Run:
    run = store.runs.get(run_id)
    if run is None:
        raise RunNotFoundError(run_id)
    return run


@runs.command(cls=Command)
def show(run_id: RunId, location: Store_ = None, as_json: AsJson = False) -> None:
    """One run: settings, journal, failures.

    Example: dspex runs show rag-1
    """
    with open_store(location) as store:
        run = describe(store, _get(store, run_id))
        kinds: dict[str, int] = {}
        for entry in store.journal.read(run_id):
            kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
        failures: dict[str, int] = {}
        scored = 0
        for evaluation in store.evaluations.read(run_id):
            if evaluation.failure is None:
                scored += 1
            else:
                kind = str(evaluation.failure.get("kind", "failure"))
                failures[kind] = failures.get(kind, 0) + 1
    run |= {"journal": kinds, "scored": scored, "failures": failures}
    if as_json:
        emit_json(run)
        return
    emit_facts(_facts(run))
    emit_facts(sorted(_flat(run["config"]).items()), indent=2)
    if run["state"] == "interrupted":
        console().print("Its process has ended: `compile(..., run_id=...)` or `dspex runs resume` continues it.")


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is said of a run before its settings."""
    yield "run", f"{run['id']}  ({run['kind']} of {run['program']})"
    yield "state", f"{run['state']}, begun {ago(run['created'])} ago, last step {ago(run['updated'])} ago"
    yield "took", duration(run["seconds"])
    yield "best", score(run["best_score"])
    yield "cost", _spent(run)
    failures = run["failures"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(failures.items()))
    failed = f"{sum(failures.values())} failed" + (f": {kinds}" if kinds else "")
    yield "scored", f"{plural(run['scored'], 'example')}, {failed}"
    yield "journal", ", ".join(f"{count} {kind}" for kind, count in sorted(run["journal"].items())) or "empty"


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings within settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


@runs.command(cls=Command)
def compare(
    ids: Annotated[list[str], typer.Argument(metavar="RUN", help="Two or more runs.")],
    location: Store_ = None,
    as_json: AsJson = False,
) -> None:
    """Runs side by side.

    Their scores, what they cost, and the settings in which they differ.

    Example: dspex runs compare rag-1 rag-2
    """
    with open_store(location) as store:
        found = [describe(store, _get(store, run_id)) for run_id in ids]
    settings = [_flat(run["config"]) for run in found]
    keys = sorted({key for of_run in settings for key in of_run})
    differing = [key for key in keys if len({repr(of_run.get(key)) for of_run in settings}) > 1]
    if as_json:
        emit_json({"runs": found, "differing": differing})
        return
    rows: list[tuple[Any, ...]] = [
        ("kind", *(run["kind"] for run in found)),
        ("program", *(run["program"] for run in found)),
        ("state", *(run["state"] for run in found)),
        ("best score", *(score(run["best_score"]) for run in found)),
        ("tokens", *(f"{run['tokens']:,}" for run in found)),
        ("cost", *(money(run["cost"]) for run in found)),
        ("took", *(duration(run["seconds"]) for run in found)),
        *((f"  {key}", *(of_run.get(key) for of_run in settings)) for key in differing),
    ]
    console().print(table(["", *ids], rows))


def _steer(op: str, run_id: str, name: str | None, socket: Any, timeout: float, as_json: bool, done: str) -> None:
    if name is None and socket is None:
        state = _wherever(op, run_id, timeout)
    else:
        with connect(name, socket, timeout) as client:
            state = client.request(op, run=run_id)
    if as_json:
        emit_json(state)
    else:
        console().print(f"{run_id} {done}")


def _wherever(op: str, run_id: str, timeout: float) -> Any:
    """Ask every running system: one of them may have the run."""
    systems = running()
    if not systems:
        choose()  # says how to start or name one
    silent: ControlError | None = None
    for system in systems:
        try:
            with Client(system.path, timeout) as client:
                return client.request(op, run=run_id)
        except OperationError as error:
            if error.kind != "unknown_run":
                raise
        except ControlError as error:
            silent = error
    if silent is not None:
        raise silent
    raise RunNotLivingError(f"no run {run_id!r} in a running system: see `dspex runs`")


@runs.command(cls=Command)
def pause(
    run_id: RunId, name: Name = None, socket: Socket = None, timeout: Timeout = 5.0, as_json: AsJson = False
) -> None:
    """Let a run begin nothing new.

    Until it is resumed.  What is at work ends, and counts.

    Example: dspex runs pause rag-1
    """
    _steer("run_pause", run_id, name, socket, timeout, as_json, "is paused")


@runs.command(cls=Command)
def resume(
    run_id: RunId,
    name: Name = None,
    socket: Socket = None,
    timeout: Timeout = 5.0,
    location: Store_ = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run.

    With a paused one at once, where it lives; with one whose process has ended in this process.  The second needs a
    run that `dspex optimize` began: one that a script began is continued by that script.

    Example: dspex runs resume rag-1
    """
    with open_store(location) as store:
        run = store.runs.get(run_id)
        alive = run is None or store.runs.is_alive(run)
    if run is None or alive:
        try:
            _steer("run_resume", run_id, name, socket, timeout, as_json, "goes on")
        except (NoSystemError, RunNotLivingError) as error:
            if name is not None or socket is not None:
                raise
            where = "in the store or in a running system" if run is None else f"in a running system: {run.owner} has it"
            raise RunNotLivingError(f"no run {run_id!r} {where}") from error
        return
    if run.status in ("done", "cancelled"):
        raise RunFinishedError(f"run {run_id!r} is {run.status}: there is nothing to resume")
    command = run.summary.get("command")
    if command is None:
        raise RunNotResumableError(
            f"run {run_id!r} was begun from Python, which alone has its program and metric: call "
            f"compile(..., run_id={run_id!r}) there again, and it goes on where it was"
        )
    sys.path.insert(0, command["directory"])  # where its modules were found
    optimize_run(command, run_id, location, as_json)


@runs.command(cls=Command)
def cancel(
    run_id: RunId, name: Name = None, socket: Socket = None, timeout: Timeout = 5.0, as_json: AsJson = False
) -> None:
    """End a run with the best so far.

    Example: dspex runs cancel rag-1
    """
    _steer("run_cancel", run_id, name, socket, timeout, as_json, "is cancelled")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(runs, name="runs")
