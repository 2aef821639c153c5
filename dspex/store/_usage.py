"""What the calls of models cost: one row a call, summed up by whatever one asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, case, func, select

from dspex.store._database import Database
from dspex.store._records import UsageRecord, UsageTotal
from dspex.store._schema import usage

Group = Literal["run_id", "program", "module", "model"]

_columns = usage.c
_COUNTS = ("requests", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


class UsageLedger:
    """The usage of a store. Committed, not synced, when `record` returns."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, record: UsageRecord) -> None:
        """Write one call's usage. The same record twice (by its id) is one."""
        self.record_many([record])

    def record_many(self, records: Sequence[UsageRecord]) -> None:
        """Write several in one transaction."""
        rows = [self.encode(record) for record in records]
        self._db.write(lambda connection: self.write(connection, rows), durable=False)

    def totals(
        self,
        by: Sequence[Group] = (),
        *,
        run_id: str | None = None,
        program: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[UsageTotal]:
        """Sums, grouped by the columns in `by` and ordered by them; without `by` one total, even of nothing."""
        groups = [_columns[name] for name in by]
        sums = [func.coalesce(func.sum(_columns[name]), 0) for name in _COUNTS]
        unpriced = func.coalesce(func.sum(case((_columns.usd.is_(None), _columns.requests), else_=0)), 0)
        query = select(*groups, *sums, func.sum(_columns.usd), unpriced)
        if run_id is not None:
            query = query.where(_columns.run_id == run_id)
        if program is not None:
            query = query.where(_columns.program == program)
        if since is not None:
            query = query.where(_columns.time >= since)
        if until is not None:
            query = query.where(_columns.time < until)
        if groups:
            query = query.group_by(*groups).order_by(*(group.nulls_first() for group in groups))
        rows = self._db.read(lambda c: c.execute(query).all())
        width = len(groups)
        return [
            UsageTotal(
                group=tuple(row[:width]),
                **{name: int(value) for name, value in zip(_COUNTS, row[width:], strict=False)},
                usd=row[-2],
                unpriced=int(row[-1]),
            )
            for row in rows
        ]

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, record: UsageRecord) -> dict[str, Any]:
        codec = self._db.codec
        row: dict[str, Any] = {name: getattr(record, name) for name in ("id", "usd", *_COUNTS)}
        row["time"] = self._db.clock() if record.time is None else record.time
        row["model"] = codec.text(record.model)
        for name in ("run_id", "program", "module"):
            value = getattr(record, name)
            row[name] = None if value is None else codec.text(value)
        return row

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> list[None]:
        connection.execute(self._db.insert(usage).on_conflict_do_nothing(index_elements=["id"]), list(rows))
        return [None] * len(rows)
