"""Messages that could not be delivered or handled: kept until someone looks, replays or drops them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from dspex.store._codec import decode, identifier
from dspex.store._database import Database
from dspex.store._records import DeadLetter, DeadLetterState
from dspex.store._schema import dead_letters

_columns = dead_letters.c


class DeadLetterStore:
    """The dead letters of a store. Durable when a method returns. What to do with them is dspex.quarantine's."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, letter: DeadLetter) -> DeadLetter:
        """Keep a letter; the same one twice (by its id) is one."""
        row = self.encode(letter)
        self._db.write(lambda connection: self.write(connection, [row]))
        added = self.get(letter.id)
        assert added is not None
        return added

    def get(self, letter_id: str) -> DeadLetter | None:
        """The letter, or None."""
        query = select(dead_letters).where(_columns.id == letter_id)
        row = self._db.read(lambda c: c.execute(query).first())
        return None if row is None else _letter(row)

    def list(
        self, *, state: DeadLetterState | None = "waiting", kind: str | None = None, limit: int | None = None
    ) -> list[DeadLetter]:
        """The letters in a state (None: in any), the oldest first."""
        query = select(dead_letters).order_by(_columns.created, _columns.id)
        if state is not None:
            query = query.where(_columns.state == state)
        if kind is not None:
            query = query.where(_columns.kind == kind)
        if limit is not None:
            query = query.limit(limit)
        return [_letter(row) for row in self._db.read(lambda c: c.execute(query).all())]

    def count(self, *, state: DeadLetterState = "waiting") -> int:
        """How many letters are in a state."""
        query = select(func.count()).select_from(dead_letters).where(_columns.state == state)
        return int(self._db.read(lambda c: c.execute(query).scalar_one()))

    def move(
        self, letter_id: str, state: DeadLetterState, *, attempted: bool = False, reason: str | None = None
    ) -> bool:
        """Move a *waiting* letter to `state` (waiting: it stays), count an attempt, note why. False when it is not
        waiting any more, so of two processes that replay one letter only one succeeds."""
        values: dict[str, Any] = {"state": state, "updated": self._db.clock()}
        if attempted:
            values["attempts"] = _columns.attempts + 1
        if reason is not None:
            values["reason"] = self._db.codec.text(reason)
        change = update(dead_letters).where(_columns.id == letter_id, _columns.state == "waiting").values(values)
        return bool(self._db.write(lambda connection: connection.execute(change).rowcount))

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, letter: DeadLetter) -> dict[str, Any]:
        codec = self._db.codec
        created = self._db.clock() if letter.created is None else letter.created
        return {
            "id": identifier(letter.id, "dead letter id"),
            "kind": identifier(letter.kind, "dead letter kind"),
            "target": codec.text(letter.target),
            "payload": codec.encode(letter.payload, f"the payload of dead letter {letter.id}"),
            "reason": codec.text(letter.reason),
            "state": letter.state,
            "attempts": letter.attempts,
            "created": created,
            "updated": created if letter.updated is None else letter.updated,
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
        insert = self._db.insert(dead_letters).on_conflict_do_nothing(index_elements=["id"])
        connection.execute(insert, list(rows))
        return [None] * len(rows)


def _letter(row: Row[Any]) -> DeadLetter:
    return DeadLetter(
        kind=row.kind,
        target=row.target,
        payload=decode(row.payload),
        reason=row.reason,
        state=row.state,
        attempts=row.attempts,
        created=row.created,
        updated=row.updated,
        id=row.id,
    )
