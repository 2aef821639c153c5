"""The crashes of actors, equal ones counted together, so that they can still be looked at when the process is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from dspex.store._codec import identifier
from dspex.store._database import Database
from dspex.store._records import CrashGroup, CrashRecord
from dspex.store._schema import crashes

_columns = crashes.c
_TEXT_AT_MOST = 64_000  # characters of a message or a traceback; the end of a traceback is what matters


class Crashes:
    """The crashes of a store. Durable when `record` returns."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, crash: CrashRecord) -> None:
        """Count a crash. Messages and tracebacks lose what looks like a key."""
        self.record_many([crash])

    def record_many(self, records: Sequence[CrashRecord]) -> None:
        """Count several in one transaction."""
        rows = [self.encode(record) for record in records]
        self._db.write(lambda connection: self.write(connection, rows))

    def list(self, *, since: float | None = None, limit: int | None = None) -> list[CrashRecord]:
        """The crashes by path and fingerprint, the latest first."""
        query = select(crashes).order_by(_columns.last_seen.desc(), _columns.path, _columns.fingerprint)
        if since is not None:
            query = query.where(_columns.last_seen >= since)
        if limit is not None:
            query = query.limit(limit)
        return [_crash(row) for row in self._db.read(lambda c: c.execute(query).all())]

    def groups(self, *, since: float | None = None) -> Sequence[CrashGroup]:
        """The crashes by fingerprint alone, the latest first."""
        by_fingerprint: dict[str, list[CrashRecord]] = {}
        for crash in self.list(since=since):
            by_fingerprint.setdefault(crash.fingerprint, []).append(crash)
        return [_group(members) for members in by_fingerprint.values()]

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, crash: CrashRecord) -> dict[str, Any]:
        codec = self._db.codec
        now = self._db.clock()
        first = now if crash.first_seen is None else crash.first_seen
        return {
            "path": identifier(crash.path, "actor path"),
            "fingerprint": identifier(crash.fingerprint, "crash fingerprint"),
            "type": codec.text(crash.type),
            "message": codec.text(crash.message)[:_TEXT_AT_MOST],
            "traceback": codec.text(crash.traceback)[-_TEXT_AT_MOST:],
            "count": crash.count,
            "first_seen": first,
            "last_seen": max(first, now if crash.last_seen is None else crash.last_seen),
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
        insert = self._db.insert(crashes)
        upsert = insert.on_conflict_do_update(
            index_elements=["path", "fingerprint"],
            set_={
                "count": _columns["count"] + insert.excluded["count"],
                **{name: insert.excluded[name] for name in ("type", "message", "traceback", "last_seen")},
            },
        )
        connection.execute(upsert, sorted(rows, key=lambda row: (row["path"], row["fingerprint"])))
        return [None] * len(rows)


def _crash(row: Row[Any]) -> CrashRecord:
    return CrashRecord(
        row.path,
        row.fingerprint,
        row.type,
        row.message,
        row.traceback,
        row._mapping[_columns["count"]],  # row.count is tuple's own method
        row.first_seen,
        row.last_seen,
    )


def _group(members: Sequence[CrashRecord]) -> CrashGroup:
    latest = members[0]
    return CrashGroup(
        latest.fingerprint,
        latest.type,
        latest.message,
        latest.traceback,
        sum(crash.count for crash in members),
        tuple(sorted(crash.path for crash in members)),
        min(crash.first_seen or 0.0 for crash in members),
        max(crash.last_seen or 0.0 for crash in members),
    )
