"""The tables as they are now. `_migrations.py` holds the way there, and a test that both agree.

Every name starts with `dspex_`, so that a database may be shared with an application's own tables. JSON is kept as
text, not as PostgreSQL's jsonb: jsonb reorders keys and refuses NUL, and what was written is what must be read.
Times are seconds since the epoch.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, LargeBinary, MetaData, Table, Text, UniqueConstraint

metadata = MetaData()

runs = Table(
    "dspex_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("program", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("seed", BigInteger),
    Column("data_hashes", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner_host", Text),
    Column("owner_pid", BigInteger),
    Column("owner_started", BigInteger),
    Column("owner_token", Text),
    Column("lease_until", Double),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("best_score", Double),
    Column("cost", Double),
    Column("tokens", BigInteger, nullable=False),
    Column("summary", Text, nullable=False),
    Index("dspex_runs_created", "created"),
)

journal = Table(
    "dspex_journal",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("run_id", "key", name="dspex_journal_key"),
)

evaluations = Table(
    "dspex_evaluations",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("candidate", Text, primary_key=True),
    Column("example", Text, primary_key=True),
    Column("score", Double),
    Column("prediction", Text, nullable=False),
    Column("usage", Text, nullable=False),
    Column("failure", Text),
    Column("created", Double, nullable=False),
)

parameters = Table(
    "dspex_parameters",
    metadata,
    Column("path", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("created", Double, nullable=False),
)

cache = Table(
    "dspex_cache",
    metadata,
    Column("key", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("used", Double, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("crc", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    # Covers the sum of sizes and the order of eviction, so that neither touches the payloads.
    Index("dspex_cache_used", "used", "size"),
    Index("dspex_cache_expires", "expires"),
)

usage = Table(
    "dspex_usage",
    metadata,
    Column("id", Text, primary_key=True),
    Column("time", Double, nullable=False),
    Column("run_id", Text),
    Column("program", Text),
    Column("module", Text),
    Column("model", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("usd", Double),
    Index("dspex_usage_time", "time"),
    Index("dspex_usage_run", "run_id"),
)

crashes = Table(
    "dspex_crashes",
    metadata,
    Column("path", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Index("dspex_crashes_seen", "last_seen"),
)

dead_letters = Table(
    "dspex_dead_letters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Index("dspex_dead_letters_state", "state", "created"),
)

quarantine = Table(
    "dspex_quarantine",
    metadata,
    Column("program", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("payload", Text, nullable=False),
    Column("kills", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Index("dspex_quarantine_state", "state", "last_seen"),
)

events = Table(
    "dspex_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("time", Double, nullable=False),
    Column("topic", Text, nullable=False),
    Column("measurements", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Index("dspex_events_time", "time"),
)

schema = Table(
    "dspex_schema",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("applied", Double, nullable=False),
)
