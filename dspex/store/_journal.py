"""The journal of a run: what it did, step by step, in the order in which it was decided.

Append-only. A step has a key that is unique within its run; appending it again changes nothing and gives back the
step that is there, so a run that is replayed after a crash may write all of its steps anew. A step is acknowledged,
that is `append` returns, when it has been committed and synced. Sequence numbers of a run count 1, 2, 3 without gaps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from dspex.store._codec import decode, identifier
from dspex.store._database import Database
from dspex.store._errors import RunNotFoundError
from dspex.store._owner import Owner
from dspex.store._records import JournalAppend, JournalEntry
from dspex.store._runs import check_owner
from dspex.store._schema import journal, runs

_CHUNK = 500  # parameters in one IN (...), well below SQLite's limit

_run_owner = select(runs.c.id, runs.c.owner_token).where(runs.c.id == bindparam("run_id")).with_for_update()
_last_seq = select(func.coalesce(func.max(journal.c.seq), 0)).where(journal.c.run_id == bindparam("run_id"))


class Journal:
    """The journals of all runs of a store."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def append(
        self, run_id: str, kind: str, key: str, payload: Any = None, *, owner: Owner | None = None
    ) -> JournalEntry:
        """Append one step; returns the step that the journal has under `key` now (`.new` tells which it is).

        Raises RunNotFoundError, and RunLostError when `owner` no longer owns the run.
        """
        return self.append_many([JournalAppend(run_id, kind, key, payload, owner)])[0]

    def append_many(self, appends: Sequence[JournalAppend]) -> list[JournalEntry]:
        """Append several steps in one transaction, in order, all or none: one sync for all of them."""
        rows = [self.encode(append) for append in appends]
        return self._db.write(lambda connection: self.write(connection, rows))

    def get(self, run_id: str, key: str) -> JournalEntry | None:
        """The step under `key`, or None."""
        query = select(journal).where(journal.c.run_id == run_id, journal.c.key == key)
        row = self._db.read(lambda c: c.execute(query).first())
        return None if row is None else _entry(row)

    def read(self, run_id: str, *, after: int = 0, kind: str | None = None) -> Iterator[JournalEntry]:
        """The run's steps behind `after` in order, read in pages: a long journal need not fit in memory."""
        while True:
            query = select(journal).where(journal.c.run_id == run_id, journal.c.seq > after)
            if kind is not None:
                query = query.where(journal.c.kind == kind)
            query = query.order_by(journal.c.seq).limit(_CHUNK)
            page = self._page(query)
            yield from map(_entry, page)
            if len(page) < _CHUNK:
                return
            after = page[-1].seq

    def length(self, run_id: str) -> int:
        """The number of steps, which is the last one's `seq`."""
        return int(self._db.read(lambda c: c.execute(_last_seq, {"run_id": run_id}).scalar_one()))

    def _page(self, query: Any) -> list[Row[Any]]:
        return list(self._db.read(lambda c: c.execute(query).all()))

    def of(self, run_id: str, *, owner: Owner | None = None) -> RunJournal:
        """One run's journal by itself, as an optimizer wants it."""
        return RunJournal(self, run_id, owner)

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, append: JournalAppend) -> dict[str, Any]:
        return {
            "run_id": append.run_id,
            "kind": identifier(append.kind, "journal kind"),
            "key": identifier(append.key, "journal key"),
            "payload": self._db.codec.encode(append.payload, f"step {append.key!r}"),
            "created": self._db.clock(),
            "owner": append.owner,
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> list[JournalEntry]:
        by_run: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_run[row["run_id"]].append(index)
        entries: dict[int, JournalEntry] = {}
        for run_id in sorted(by_run):  # one order for all processes, or two could wait for each other
            indices = by_run[run_id]
            written = _write_run(connection, run_id, [rows[index] for index in indices])
            entries.update(zip(indices, written, strict=True))
        return [entries[index] for index in range(len(rows))]


class RunJournal:
    """The journal of one run. With an `owner` every append is refused (RunLostError) once another one has the run."""

    def __init__(self, journal: Journal, run_id: str, owner: Owner | None) -> None:
        self.run_id = run_id
        self._journal = journal
        self._owner = owner

    def append(self, kind: str, key: str, payload: Any) -> None:
        """Append a step, durably; one that is there already stays as it was."""
        self._journal.append(self.run_id, kind, key, payload, owner=self._owner)

    def replay(self) -> Iterator[JournalEntry]:
        """The steps in the order of their first appends."""
        return self._journal.read(self.run_id)


def _write_run(connection: Connection, run_id: str, rows: Sequence[dict[str, Any]]) -> list[JournalEntry]:
    run = connection.execute(_run_owner, {"run_id": run_id}).first()
    if run is None:
        raise RunNotFoundError(run_id)
    for row in rows:
        if row["owner"] is not None:
            check_owner(run, row["owner"])
    present = _present(connection, run_id, [row["key"] for row in rows])
    seq = int(connection.execute(_last_seq, {"run_id": run_id}).scalar_one())
    new: list[dict[str, Any]] = []
    entries: list[JournalEntry] = []
    for row in rows:
        entry = present.get(row["key"])
        if entry is None:
            seq += 1
            values = {name: value for name, value in row.items() if name != "owner"} | {"seq": seq}
            new.append(values)
            entry = JournalEntry(run_id, seq, row["kind"], row["key"], decode(row["payload"]), row["created"])
            entries.append(JournalEntry(run_id, seq, row["kind"], row["key"], entry.payload, row["created"], new=True))
            present[row["key"]] = entry  # the same step twice in one batch is one step
        else:
            entries.append(entry)
    if new:
        connection.execute(journal.insert(), new)
    return entries


def _present(connection: Connection, run_id: str, keys: Sequence[str]) -> dict[str, JournalEntry]:
    found = {}
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        query = select(journal).where(journal.c.run_id == run_id, journal.c.key.in_(chunk))
        for row in connection.execute(query):
            found[row.key] = _entry(row)
    return found


def _entry(row: Row[Any]) -> JournalEntry:
    return JournalEntry(row.run_id, row.seq, row.kind, row.key, decode(row.payload), row.created)
