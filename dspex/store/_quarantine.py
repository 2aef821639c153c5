"""Inputs that killed workers, and how often: counted on disk, since an input may kill the whole process each time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, case, delete, or_, select

from dspex.store._codec import decode, identifier
from dspex.store._database import Database
from dspex.store._records import QuarantinedInput, QuarantineState
from dspex.store._schema import quarantine

_columns = quarantine.c


class QuarantineStore:
    """The quarantined and the watched inputs of a store. Durable when a method returns. When an input has killed too
    many is decided by dspex.quarantine."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, program: str, key: str) -> QuarantinedInput | None:
        """The input, or None when it never killed anything."""
        query = select(quarantine).where(_is(program, key))
        row = self._db.read(lambda connection: connection.execute(query).first())
        return None if row is None else _input(row)

    def list(
        self, *, program: str | None = None, state: QuarantineState | None = "quarantined", limit: int | None = None
    ) -> list[QuarantinedInput]:
        """The inputs in a state (None: in any), the latest first."""
        query = select(quarantine).order_by(_columns.last_seen.desc(), _columns.program, _columns.key)
        if program is not None:
            query = query.where(_columns.program == program)
        if state is not None:
            query = query.where(_columns.state == state)
        if limit is not None:
            query = query.limit(limit)
        return [_input(row) for row in self._db.read(lambda c: c.execute(query).all())]

    def strike(
        self, program: str, key: str, payload: Any, *, after: int, reason: str = "", fingerprint: str = ""
    ) -> QuarantinedInput:
        """Count one more kill of `key`; it is quarantined when it has `after` of them. Returns it as it is now."""
        codec = self._db.codec
        now = self._db.clock()
        row = {
            "program": identifier(program, "program"),
            "key": identifier(key, "input key"),
            "payload": codec.encode(payload, f"input {key!r}"),
            "kills": 1,
            "state": "quarantined" if after <= 1 else "watched",
            "reason": codec.text(reason),
            "fingerprint": codec.text(fingerprint),
            "first_seen": now,
            "last_seen": now,
        }
        insert = self._db.insert(quarantine).values(row)
        kills = _columns.kills + 1
        condemned = or_(kills >= after, _columns.state == "quarantined")
        upsert = insert.on_conflict_do_update(
            index_elements=["program", "key"],
            set_={
                **{name: insert.excluded[name] for name in ("payload", "reason", "fingerprint", "last_seen")},
                "kills": kills,
                "state": case((condemned, "quarantined"), else_="watched"),
            },
        ).returning(*_columns)
        return self._db.write(lambda connection: _input(connection.execute(upsert).one()))

    def release(self, program: str, key: str) -> bool:
        """Let the input run again, counting from 0. False when it is not there."""
        change = quarantine.update().where(_is(program, key)).values(state="released", kills=0)
        return bool(self._db.write(lambda connection: connection.execute(change).rowcount))

    def drop(self, program: str, key: str) -> bool:
        """Forget the input. False when it is not there."""
        gone = delete(quarantine).where(_is(program, key))
        return bool(self._db.write(lambda connection: connection.execute(gone).rowcount))


def _is(program: str, key: str) -> Any:
    return (_columns.program == program) & (_columns.key == key)


def _input(row: Row[Any]) -> QuarantinedInput:
    return QuarantinedInput(
        row.program,
        row.key,
        decode(row.payload),
        row.kills,
        row.state,
        row.reason,
        row.fingerprint,
        row.first_seen,
        row.last_seen,
    )
