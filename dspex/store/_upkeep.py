"""Keeping a store small and sound: sizes, checks, pruning by age, export."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, text

from dspex.store._codec import decode
from dspex.store._database import Database
from dspex.store._errors import StoreCorruptError, StoreValueError
from dspex.store._runs import delete_runs, finished_before
from dspex.store._schema import cache, crashes, dead_letters, events, metadata, parameters, quarantine, schema, usage

_JSON_COLUMNS = frozenset(
    {
        "config",
        "data_hashes",
        "summary",
        "payload",
        "prediction",
        "usage",
        "failure",
        "state",
        "measurements",
        "metadata",
    }
)


@dataclass(frozen=True, slots=True)
class StoreSize:
    """How large the store is. `bytes` is what it takes on disk, `free_bytes` what a vacuum would give back (0 on
    PostgreSQL, which says no such thing); `rows` counts by table, without the `dspex_` of their names."""

    bytes: int
    free_bytes: int
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows went, by table."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Upkeep:
    """What `dspex store` does. `Store` offers the same methods."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def size(self) -> StoreSize:
        """Count rows and bytes. Reads every table once: seconds, for a store of gigabytes."""

        def work(connection: Connection) -> StoreSize:
            rows = {
                _name(table): int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for table in metadata.sorted_tables
            }
            if self._db.sqlite:
                page, count, free = (
                    int(connection.execute(text(f"PRAGMA {name}")).scalar_one())
                    for name in ("page_size", "page_count", "freelist_count")
                )
                return StoreSize(page * count + self._log_bytes(), page * free, rows)
            sizes = (
                connection.execute(select(func.pg_total_relation_size(func.to_regclass(table.name)))).scalar_one()
                for table in metadata.sorted_tables
            )
            return StoreSize(sum(int(size) for size in sizes), 0, rows)

        return self._db.read(work)

    def _log_bytes(self) -> int:
        try:
            return os.stat(f"{self._db.path}-wal").st_size if self._db.path is not None else 0
        except FileNotFoundError:
            return 0  # not in WAL mode, or just checkpointed away

    def check(self) -> None:
        """Read the whole file and verify it; raises StoreCorruptError with the first findings. PostgreSQL looks after
        itself: there this only asks whether it answers."""

        def work(connection: Connection) -> list[str]:
            if not self._db.sqlite:
                connection.execute(select(func.count()).select_from(schema))
                return ["ok"]
            return [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check(5)"))]

        findings = self._db.read(work)
        if findings != ["ok"]:
            raise StoreCorruptError(
                f"the store {self._db.url} is damaged: {'; '.join(findings)}. Save what can be read with"
                " `dspex store export`, move the file away, and dspex starts a new one",
                url=self._db.url,
            )

    def vacuum(self) -> int:
        """Give free space back to the disk; returns how many bytes. Writers wait meanwhile."""
        before = self.size().bytes
        if self._db.sqlite:
            self._db.unmanaged("VACUUM")
            self._db.unmanaged("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            for table in metadata.sorted_tables:
                self._db.unmanaged(f"VACUUM (FULL) {table.name}")
        return before - self.size().bytes

    def prune(self, older_than: float, *, dry_run: bool = False) -> Pruned:
        """Remove what is older than `older_than` seconds: finished runs with their journals and results, usage,
        events, crashes, cache entries not used since, superseded parameters, dead letters and quarantined inputs that
        were dealt with. Never a run that can be resumed, a waiting letter, or a module's newest parameters."""
        if older_than < 0:
            raise StoreValueError("older_than is an age in seconds, 0 or more")
        moment = self._db.clock() - older_than

        def work(connection: Connection) -> Pruned:
            rows: dict[str, int] = {}
            runs = finished_before(connection, moment)
            rows["runs"] = len(runs) if dry_run else delete_runs(connection, runs)
            for table, condition in _stale(moment):
                if dry_run:
                    count = connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()
                else:
                    count = connection.execute(delete(table).where(condition)).rowcount
                rows[_name(table)] = int(count)
            return Pruned(rows)

        return self._db.read(work) if dry_run else self._db.write(work)

    def export(self, path: str | os.PathLike[str], *, tables: tuple[str, ...] | None = None) -> int:
        """Write the store as JSON lines, `{"table": ..., "row": {...}}`, and return how many; the first line says which
        schema it is. All tables are of one moment. The file is replaced only when it is complete. The cache is left
        out unless it is named in `tables`; its payloads are text, or base64 under `payload_base64`."""
        names = tuple(_name(table) for table in metadata.sorted_tables)
        wanted = tuple(name for name in names if name not in ("cache", "schema")) if tables is None else tables
        unknown = sorted(set(wanted) - set(names))
        if unknown:
            raise StoreValueError(f"no table {unknown[0]!r} in the store; there are {', '.join(sorted(names))}")
        target = Path(path)
        partial = target.with_name(target.name + ".partial")

        def work(connection: Connection) -> int:
            count = 0
            with partial.open("w", encoding="utf-8") as file:
                version = connection.execute(select(func.max(schema.c.version))).scalar_one()
                file.write(json.dumps({"dspex_store": {"schema": version, "exported": self._db.clock()}}) + "\n")
                for table in metadata.sorted_tables:
                    if _name(table) not in wanted:
                        continue
                    with closing(_rows(connection, table)) as rows:
                        for row in rows:
                            file.write(json.dumps({"table": _name(table), "row": row}) + "\n")
                            count += 1
            return count

        try:
            count = self._db.snapshot(work)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        return count


def _stale(moment: float) -> Iterator[tuple[Table, Any]]:
    newer = parameters.alias()
    superseded = (
        select(newer.c.version)
        .where(newer.c.path == parameters.c.path, newer.c.version > parameters.c.version)
        .correlate(parameters)
        .exists()
    )
    yield usage, usage.c.time < moment
    yield events, events.c.time < moment
    yield crashes, crashes.c.last_seen < moment
    yield cache, cache.c.used < moment
    yield parameters, (parameters.c.created < moment) & superseded
    yield dead_letters, (dead_letters.c.updated < moment) & (dead_letters.c.state != "waiting")
    yield quarantine, (quarantine.c.last_seen < moment) & (quarantine.c.state != "quarantined")


def _rows(connection: Connection, table: Table) -> Generator[dict[str, Any], None, None]:
    order = list(table.primary_key.columns)
    with connection.execution_options(yield_per=200).execute(select(table).order_by(*order)) as result:
        for row in result.mappings():
            yield dict(_exported(table.name, name, value) for name, value in row.items())


def _exported(table: str, name: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, bytes):
        try:
            return name, value.decode("utf-8")
        except UnicodeDecodeError:
            return f"{name}_base64", base64.b64encode(value).decode("ascii")
    # `state` is JSON in one table only; elsewhere it is a word.
    if isinstance(value, str) and name in _JSON_COLUMNS and (name != "state" or table == parameters.name):
        return name, decode(value)
    return name, value


def _name(table: Table) -> str:
    return table.name.removeprefix("dspex_")
