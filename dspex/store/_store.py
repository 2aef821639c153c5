"""The store: one database, one small object for each thing that is kept in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from dspex.store._cache import CacheStore
from dspex.store._crashes import Crashes
from dspex.store._database import Database
from dspex.store._dead_letters import DeadLetterStore
from dspex.store._evaluations import Evaluations
from dspex.store._events import EventLog
from dspex.store._journal import Journal
from dspex.store._location import store_url
from dspex.store._parameters import ParameterStates
from dspex.store._quarantine import QuarantineStore
from dspex.store._runs import Runs
from dspex.store._upkeep import Pruned, StoreSize, Upkeep
from dspex.store._usage import UsageLedger


class Store:
    """Runs, journals, results, parameters, cache, usage, crashes, dead letters: in SQLite or PostgreSQL.

    `Store(...)` touches nothing: the database is opened, and migrated, at the first read or write, and a disk that
    is not there yet is tried again at the next one. `Store.open(...)` does so at once and raises what is wrong:
    StoreUnavailableError, StoreCorruptError, StoreVersionError, StoreURLError, MissingExtraError.

    Any thread may use a store, and so may several processes. A forked child gets connections of its own, except
    to a store in memory, which it must not use. All methods are synchronous and may take as long as the disk takes, so
    they belong on no event loop.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        *,
        busy_timeout: float = 10.0,
        fsync: bool = True,
        cache_bytes: int | None = 2 << 30,
        cache_ttl: float | None = None,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`location` is a path or a URL; see `store_url` for the default. `fsync=False` gives up only what a loss
        of power would cost (durable writes then sync no more than the others), and is for tests."""
        url = store_url(location, environ=environ)
        self.database = Database(url, busy_timeout=busy_timeout, fsync=fsync, clock=clock)
        self.runs = Runs(self.database)
        self.journal = Journal(self.database)
        self.evaluations = Evaluations(self.database)
        self.parameters = ParameterStates(self.database)
        self.cache = CacheStore(self.database, limit_bytes=cache_bytes, ttl=cache_ttl)
        self.usage = UsageLedger(self.database)
        self.crashes = Crashes(self.database)
        self.dead_letters = DeadLetterStore(self.database)
        self.quarantine = QuarantineStore(self.database)
        self.events = EventLog(self.database)
        self._upkeep = Upkeep(self.database)

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] | None = None,
        *,
        busy_timeout: float = 10.0,
        fsync: bool = True,
        cache_bytes: int | None = 2 << 30,
        cache_ttl: float | None = None,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] | None = None,
    ) -> Store:
        """The store at `location`, opened and migrated."""
        store = cls(
            location,
            busy_timeout=busy_timeout,
            fsync=fsync,
            cache_bytes=cache_bytes,
            cache_ttl=cache_ttl,
            clock=clock,
            environ=environ,
        )
        try:
            store.database.ensure()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def url(self) -> str:
        """Where it is, without the password."""
        return self.database.url

    @property
    def path(self) -> Path | None:
        """The SQLite file; None for PostgreSQL and for a store in memory."""
        return self.database.path

    def conceal(self, secret: str) -> None:
        """Replace `secret` (8 characters or more) by [redacted] in everything written from now on."""
        self.database.codec.conceal(secret)

    def size(self) -> StoreSize:
        """How large it is, see StoreSize."""
        return self._upkeep.size()

    def check(self) -> None:
        """Verify the whole file; raises StoreCorruptError."""
        self._upkeep.check()

    def vacuum(self) -> int:
        """Give free space back to the disk; returns how many bytes."""
        return self._upkeep.vacuum()

    def prune(self, older_than: float, *, dry_run: bool = False) -> Pruned:
        """Remove what is older than `older_than` seconds, but nothing that is still needed; see Upkeep.prune."""
        return self._upkeep.prune(older_than, dry_run=dry_run)

    def export(self, path: str | os.PathLike[str], *, tables: tuple[str, ...] | None = None) -> int:
        """Write everything but the cache to `path` as JSON lines; returns how many rows. See Upkeep.export."""
        return self._upkeep.export(path, tables=tables)

    def close(self) -> None:
        """Give the connections back. A store in memory is empty afterwards."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"
