"""The runs: who works on them, how they stand, and how one is taken over from a dead owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, select, update

from dspex.store._codec import decode, identifier, redact, redact_lm
from dspex.store._database import Database
from dspex.store._errors import RunExistsError, RunLostError, RunNotFoundError, RunOwnedError, StoreValueError
from dspex.store._owner import Owner, owner_dead, this_host
from dspex.store._records import FINISHED, NewRun, Run, RunStatus, RunUpdate
from dspex.store._schema import evaluations, journal, runs

LEASE = 30.0
"""Seconds for which an owner holds a run without a heartbeat. Heartbeats come at a third of that."""


class Runs:
    """The runs of a store. All writes are durable when they return."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(self, run: NewRun) -> Run:
        """Add a run, or find the very same one there. Raises RunExistsError, naming what differs, when the id
        stands for other work: a journal may only be continued by the run that began it."""
        row = self.encode(run)
        return self._db.write(lambda connection: self.write(connection, [row])[0])

    def get(self, run_id: str) -> Run | None:
        """The run, or None."""
        row = self._db.read(lambda c: c.execute(select(runs).where(runs.c.id == run_id)).first())
        return None if row is None else _run(row)

    def list(
        self,
        *,
        status: RunStatus | None = None,
        kind: str | None = None,
        program: str | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """The runs, the newest first."""
        query = select(runs).order_by(runs.c.created.desc(), runs.c.id)
        for column, wanted in ((runs.c.status, status), (runs.c.kind, kind), (runs.c.program, program)):
            if wanted is not None:
                query = query.where(column == wanted)
        if limit is not None:
            query = query.limit(limit)
        return [_run(row) for row in self._db.read(lambda c: c.execute(query).all())]

    def orphans(self) -> Sequence[Run]:
        """Runs that somebody is said to work on, whose owner is dead: what `dspex runs` shows as interrupted."""
        return [run for run in self.list() if self.is_orphan(run)]

    def is_orphan(self, run: Run) -> bool:
        """True when `run` was left behind: nobody finished or released it, and its owner is dead."""
        if run.owner is None:
            return run.status == "running"
        return not self.is_alive(run)

    def is_alive(self, run: Run) -> bool:
        """True while a process works on `run`, or holds it paused."""
        owner = run.owner
        return owner is not None and not owner_dead(owner, run.lease_until, now=self._db.clock(), here=this_host())

    def claim(self, run_id: str, owner: Owner, *, lease: float = LEASE) -> Run:
        """Take the run for `owner` and set it running. Succeeds when it is free, is the owner's already, or its
        owner is dead; raises RunOwnedError otherwise, RunNotFoundError when there is none. Of several processes
        that claim at once, one succeeds."""

        def work(connection: Connection) -> Run:
            run = _run(_locked(connection, run_id))
            now = self._db.clock()
            other = run.owner if run.owner is not None and run.owner.token != owner.token else None
            if other is not None and not owner_dead(other, run.lease_until, now=now, here=this_host()):
                raise RunOwnedError(run_id, other)
            changes = {
                "status": "running",
                "owner_host": owner.host,
                "owner_pid": owner.pid,
                "owner_started": owner.started,
                "owner_token": owner.token,
                "lease_until": now + lease,
                "updated": now,
            }
            connection.execute(update(runs).where(runs.c.id == run_id).values(changes))
            return _run(_locked(connection, run_id))

        return self._db.write(work)

    def heartbeat(
        self,
        run_id: str,
        owner: Owner,
        *,
        lease: float = LEASE,
        status: Literal["running", "paused"] = "running",
        best_score: float | None = None,
        tokens: int | None = None,
        cost: float | None = None,
    ) -> None:
        """Extend the owner's lease, and say whether it works or pauses and how far it has come; None leaves a figure
        as it is. Raises RunLostError when the run is someone else's by now."""
        figures = {"best_score": best_score, "tokens": tokens, "cost": cost}
        known = {name: value for name, value in figures.items() if value is not None}

        def work(connection: Connection) -> None:
            check_owner(_locked(connection, run_id), owner)
            now = self._db.clock()
            values = {"lease_until": now + lease, "updated": now, "status": status, **known}
            connection.execute(update(runs).where(runs.c.id == run_id).values(values))

        self._db.write(work, durable=False)

    def release(self, run_id: str, owner: Owner, status: RunStatus) -> Run:
        """End the owner's work on the run with `status`. Raises RunLostError."""
        if status == "running":
            raise StoreValueError("a released run is not running: give paused, done, failed or cancelled")

        def work(connection: Connection) -> Run:
            check_owner(_locked(connection, run_id), owner)
            free: dict[str, Any] = dict.fromkeys(
                ("owner_host", "owner_pid", "owner_started", "owner_token", "lease_until")
            )
            values = {**free, "status": status, "updated": self._db.clock()}
            connection.execute(update(runs).where(runs.c.id == run_id).values(values))
            return _run(_locked(connection, run_id))

        return self._db.write(work)

    def update(
        self,
        run_id: str,
        *,
        status: RunStatus | None = None,
        best_score: float | None = None,
        cost: float | None = None,
        tokens: int | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> Run:
        """Change what is given; None leaves a field as it is. Raises RunNotFoundError."""
        row = self.encode_update(RunUpdate(run_id, status, best_score, cost, tokens, summary))
        return self._db.write(lambda connection: self.write_updates(connection, [row])[0])

    def delete(self, run_id: str) -> None:
        """Remove the run with its journal and evaluations. Raises RunNotFoundError, and RunOwnedError while a
        living process works on it."""

        def work(connection: Connection) -> None:
            run = _run(_locked(connection, run_id))
            if self.is_alive(run):
                raise RunOwnedError(run_id, run.owner)
            delete_runs(connection, [run_id])

        self._db.write(work)

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, run: NewRun) -> dict[str, Any]:
        now = self._db.clock()
        codec = self._db.codec
        return {
            "id": identifier(run.id, "run id"),
            "kind": identifier(run.kind, "run kind"),
            "program": codec.text(run.program),
            "config": codec.encode(redact(dict(run.config)), "the run's config"),
            "seed": _seed(run.seed),
            "data_hashes": codec.encode(dict(run.data_hashes), "the run's data hashes"),
            "status": "created",
            "created": now,
            "updated": now,
            "tokens": 0,
            "summary": "{}",
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[Run]:
        written = []
        for row in rows:
            connection.execute(self._db.insert(runs).values(row).on_conflict_do_nothing(index_elements=["id"]))
            found = _locked(connection, row["id"])
            plain = [name for name in ("kind", "program", "seed") if getattr(found, name) != row[name]]
            nested = [name for name in ("config", "data_hashes") if decode(getattr(found, name)) != decode(row[name])]
            differs = (*plain, *nested)
            if differs:
                raise RunExistsError(row["id"], differs)
            written.append(_run(found))
        return written

    def encode_update(self, change: RunUpdate) -> dict[str, Any]:
        row = {
            "id": change.run_id,
            "status": change.status,
            "best_score": change.best_score,
            "cost": change.cost,
            "tokens": change.tokens,
            "summary": None
            if change.summary is None
            else self._db.codec.encode(_covered(change.summary), "the run's summary"),
            "owner": change.owner,
        }
        return {name: value for name, value in row.items() if value is not None}

    def write_updates(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[Run]:
        written = []
        for row in rows:
            values = {name: value for name, value in row.items() if name not in ("id", "owner")}
            found = _locked(connection, row["id"])
            if "owner" in row:
                check_owner(found, row["owner"])
            connection.execute(update(runs).where(runs.c.id == row["id"]).values(updated=self._db.clock(), **values))
            written.append(_run(_locked(connection, row["id"])))
        return written


def _covered(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary without secrets. Its "best" is a program, whose demonstrations are data: a field of theirs may well
    be called password, and the program needs it."""
    return {name: redact_lm(item) if name == "best" else redact({name: item})[name] for name, item in summary.items()}


def check_owner(row: Any, owner: Owner) -> None:
    """Raise RunLostError unless the run of `row` is `owner`'s."""
    if row.owner_token != owner.token:
        raise RunLostError(row.id)


def delete_runs(connection: Connection, ids: Sequence[str]) -> int:
    """Remove runs with all that belongs to them; return how many there were."""
    removed = 0
    for run_id in ids:
        for table in (journal, evaluations):
            connection.execute(delete(table).where(table.c.run_id == run_id))
        removed += connection.execute(delete(runs).where(runs.c.id == run_id)).rowcount
    return removed


def finished_before(connection: Connection, moment: float) -> list[str]:
    """Ids of the runs that ended before `moment`. A run that could be resumed is never among them."""
    query = select(runs.c.id).where(runs.c.status.in_(sorted(FINISHED)), runs.c.updated < moment)
    return list(connection.execute(query).scalars())


def _seed(seed: int | None) -> int | None:
    if seed is not None and not -(2**63) <= seed < 2**63:
        raise StoreValueError(f"a seed is a 64-bit integer, got {seed}")
    return seed


def _locked(connection: Connection, run_id: str) -> Row[Any]:
    # FOR UPDATE makes writers of one run take turns on PostgreSQL; SQLite's write lock does so anyway.
    row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).first()
    if row is None:
        raise RunNotFoundError(run_id)
    return row


def _run(row: Row[Any]) -> Run:
    owner = None
    if row.owner_token is not None:
        owner = Owner(row.owner_host, row.owner_pid, row.owner_started, row.owner_token)
    return Run(
        id=row.id,
        kind=row.kind,
        program=row.program,
        config=decode(row.config),
        seed=row.seed,
        data_hashes=decode(row.data_hashes),
        status=row.status,
        owner=owner,
        lease_until=row.lease_until,
        created=row.created,
        updated=row.updated,
        best_score=row.best_score,
        cost=row.cost,
        tokens=row.tokens,
        summary=decode(row.summary),
    )
