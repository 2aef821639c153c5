"""From any older store to the newest: ordered steps, each frozen for ever once released.

The steps are plain SQL and never look at `_schema.py`, which describes only the newest state. All pending steps run in
one transaction under a lock that other processes wait for (SQLite's write lock, an advisory lock of PostgreSQL),
so a store is at one version or another, never between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dspex.store._errors import StoreVersionError

# Any constant will do, as long as every version of dspex uses the same.
_ADVISORY_LOCK = 0x6473_7065_7801

_TYPES = {
    "sqlite": {"int": "BIGINT", "real": "DOUBLE PRECISION", "blob": "BLOB"},
    "postgresql": {"int": "BIGINT", "real": "DOUBLE PRECISION", "blob": "BYTEA"},
}


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. In its statements {int}, {real} and {blob} stand for the database's own types."""

    version: int
    name: str
    statements: tuple[str, ...]


INITIAL = Migration(
    1,
    "initial",
    (
        """CREATE TABLE dspex_runs (
            id TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL, program TEXT NOT NULL, config TEXT NOT NULL, seed {int},
            data_hashes TEXT NOT NULL, status TEXT NOT NULL, owner_host TEXT, owner_pid {int}, owner_started {int},
            owner_token TEXT, lease_until {real}, created {real} NOT NULL, updated {real} NOT NULL,
            best_score {real}, cost {real}, tokens {int} NOT NULL, summary TEXT NOT NULL)""",
        "CREATE INDEX dspex_runs_created ON dspex_runs (created)",
        """CREATE TABLE dspex_journal (
            run_id TEXT NOT NULL, seq {int} NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL,
            created {real} NOT NULL, PRIMARY KEY (run_id, seq), CONSTRAINT dspex_journal_key UNIQUE (run_id, key))""",
        """CREATE TABLE dspex_evaluations (
            run_id TEXT NOT NULL, candidate TEXT NOT NULL, example TEXT NOT NULL, score {real},
            prediction TEXT NOT NULL, usage TEXT NOT NULL, failure TEXT, created {real} NOT NULL,
            PRIMARY KEY (run_id, candidate, example))""",
        """CREATE TABLE dspex_parameters (
            path TEXT NOT NULL, version {int} NOT NULL, state TEXT NOT NULL, created {real} NOT NULL,
            PRIMARY KEY (path, version))""",
        """CREATE TABLE dspex_cache (
            key TEXT PRIMARY KEY NOT NULL, size {int} NOT NULL, created {real} NOT NULL, expires {real},
            used {real} NOT NULL, hits {int} NOT NULL, crc {int} NOT NULL, payload {blob} NOT NULL)""",
        "CREATE INDEX dspex_cache_used ON dspex_cache (used, size)",
        "CREATE INDEX dspex_cache_expires ON dspex_cache (expires)",
        """CREATE TABLE dspex_usage (
            id TEXT PRIMARY KEY NOT NULL, time {real} NOT NULL, run_id TEXT, program TEXT, module TEXT,
            model TEXT NOT NULL, requests {int} NOT NULL, prompt_tokens {int} NOT NULL,
            completion_tokens {int} NOT NULL, total_tokens {int} NOT NULL, cached_tokens {int} NOT NULL,
            reasoning_tokens {int} NOT NULL, usd {real})""",
        "CREATE INDEX dspex_usage_time ON dspex_usage (time)",
        "CREATE INDEX dspex_usage_run ON dspex_usage (run_id)",
        """CREATE TABLE dspex_crashes (
            path TEXT NOT NULL, fingerprint TEXT NOT NULL, type TEXT NOT NULL, message TEXT NOT NULL,
            traceback TEXT NOT NULL, count {int} NOT NULL, first_seen {real} NOT NULL, last_seen {real} NOT NULL,
            PRIMARY KEY (path, fingerprint))""",
        "CREATE INDEX dspex_crashes_seen ON dspex_crashes (last_seen)",
        """CREATE TABLE dspex_dead_letters (
            id TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, payload TEXT NOT NULL,
            reason TEXT NOT NULL, state TEXT NOT NULL, attempts {int} NOT NULL, created {real} NOT NULL,
            updated {real} NOT NULL)""",
        "CREATE INDEX dspex_dead_letters_state ON dspex_dead_letters (state, created)",
        """CREATE TABLE dspex_quarantine (
            program TEXT NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL, kills {int} NOT NULL,
            state TEXT NOT NULL, reason TEXT NOT NULL, fingerprint TEXT NOT NULL, first_seen {real} NOT NULL,
            last_seen {real} NOT NULL, PRIMARY KEY (program, key))""",
        "CREATE INDEX dspex_quarantine_state ON dspex_quarantine (state, last_seen)",
        """CREATE TABLE dspex_events (
            id TEXT PRIMARY KEY NOT NULL, time {real} NOT NULL, topic TEXT NOT NULL, measurements TEXT NOT NULL,
            metadata TEXT NOT NULL)""",
        "CREATE INDEX dspex_events_time ON dspex_events (time)",
    ),
)

MIGRATIONS: tuple[Migration, ...] = (INITIAL,)


def migrate(
    connection: Connection, *, now: float, url: str, migrations: Sequence[Migration] = MIGRATIONS
) -> tuple[int, ...]:
    """Bring the store to the newest version inside the caller's write transaction; return what was applied.

    Raises StoreVersionError when the store is newer than `migrations`.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
    types = _TYPES[dialect]
    create = (
        "CREATE TABLE IF NOT EXISTS dspex_schema"
        " (version {int} PRIMARY KEY NOT NULL, name TEXT NOT NULL, applied {real} NOT NULL)"
    )
    connection.exec_driver_sql(create.format(**types))
    found = int(connection.execute(text("SELECT COALESCE(MAX(version), 0) FROM dspex_schema")).scalar_one())
    known = migrations[-1].version
    if found > known:
        raise StoreVersionError(url=url, found=found, known=known)
    applied = []
    for migration in migrations:
        if migration.version <= found:
            continue
        for statement in migration.statements:
            connection.exec_driver_sql(statement.format(**types))
        connection.execute(
            text("INSERT INTO dspex_schema (version, name, applied) VALUES (:version, :name, :applied)"),
            {"version": migration.version, "name": migration.name, "applied": now},
        )
        applied.append(migration.version)
    return tuple(applied)
