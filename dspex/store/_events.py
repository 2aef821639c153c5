"""The facts that are worth keeping beyond the process: what happened, when, with which numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from dspex.store._codec import decode, identifier, redact
from dspex.store._database import Database
from dspex.store._records import StoredEvent
from dspex.store._schema import events

_columns = events.c


class EventLog:
    """The events of a store. Committed, not synced, when `record` returns."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, event: StoredEvent) -> None:
        """Write one event. The same one twice (by its id) is one."""
        self.record_many([event])

    def record_many(self, facts: Sequence[StoredEvent]) -> None:
        """Write several in one transaction."""
        rows = [self.encode(fact) for fact in facts]
        self._db.write(lambda connection: self.write(connection, rows), durable=False)

    def list(
        self,
        *,
        topic: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int | None = None,
    ) -> list[StoredEvent]:
        """The newest `limit` events of a topic and of those below it (`lm` has `lm.request.stop`), in time's order."""
        query = select(events).order_by(_columns.time.desc(), _columns.id)
        if topic is not None:
            query = query.where((_columns.topic == topic) | _columns.topic.startswith(topic + ".", autoescape=True))
        if since is not None:
            query = query.where(_columns.time >= since)
        if until is not None:
            query = query.where(_columns.time < until)
        if limit is not None:
            query = query.limit(limit)
        rows = self._db.read(lambda c: c.execute(query).all())
        return [_event(row) for row in reversed(rows)]

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, event: StoredEvent) -> dict[str, Any]:
        codec = self._db.codec
        return {
            "id": identifier(event.id, "event id"),
            "time": self._db.clock() if event.time is None else event.time,
            "topic": identifier(event.topic, "event topic"),
            "measurements": codec.encode(dict(event.measurements), f"the measurements of {event.topic}"),
            "metadata": codec.encode(redact(dict(event.metadata)), f"the metadata of {event.topic}"),
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
        connection.execute(self._db.insert(events).on_conflict_do_nothing(index_elements=["id"]), list(rows))
        return [None] * len(rows)


def _event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(row.topic, decode(row.measurements), decode(row.metadata), row.time, row.id)
