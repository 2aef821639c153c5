"""One database, two kinds of access: `read` and `write`, each a function that is given a connection.

The work is a function, not a `with` block, so that a transaction which lost against another one (a deadlock, a
connection that had gone stale) can be run again. Work must therefore have no other effect than on the database.

Durability. A process that is killed loses nothing that was committed, whatever the settings: the pages are with the
operating system. The settings decide about a loss of *power*. SQLite's WAL with synchronous=NORMAL syncs at
checkpoints only and could lose the last megabytes of the journal, that is hours of paid work; with FULL every
commit is synced. So writes are of two classes: durable ones (runs, journal, evaluations, parameters, dead letters)
commit with FULL, and cache, usage and events with NORMAL. On PostgreSQL that is synchronous_commit on and off.

Many threads may call; SQLite's writers take turns at a lock here, and among processes at SQLite's own with a
busy timeout. Readers never wait for writers.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, TimeoutError
from sqlalchemy.pool import Pool, StaticPool

from dspex._errors import MissingExtraError
from dspex._extras import how_to_install
from dspex.store._codec import Codec
from dspex.store._errors import StoreUnavailableError, StoreURLError
from dspex.store._failures import conflicts, translate
from dspex.store._migrations import MIGRATIONS, Migration, migrate

T = TypeVar("T")

_ATTEMPTS = 5


class Database:
    """Connections, transactions and migrations. Nothing touches the disk before the first read or write, and a
    store that could not be opened is tried again at the next one."""

    def __init__(
        self,
        url: str,
        *,
        busy_timeout: float = 10.0,
        fsync: bool = True,
        clock: Callable[[], float] = time.time,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError as error:
            raise StoreURLError(f"not a store URL: {error}", url=url) from None
        self.url = self._url.render_as_string(hide_password=True)
        self.clock = clock
        self.codec = Codec()
        if self._url.password:
            self.codec.conceal_if_long(str(self._url.password))
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self.path = Path(self._url.database).absolute() if self.sqlite and self._url.database else None
        self.memory = self.sqlite and self.path is None
        self._busy_timeout = busy_timeout
        self._fsync = fsync
        self._migrations = migrations
        self._engine = self._create_engine()
        self._ready = False
        self._opening = threading.Lock()
        # In memory there is one connection, so readers take turns as well.
        self._turn = threading.RLock()
        self._pid = os.getpid()
        self._inherited: tuple[Pool, ...] = ()

    # -- access ----------------------------------------------------------------------------------------

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` with a connection outside a transaction: every statement sees the newest committed state.

        Raises StoreUnavailableError, StoreCorruptError.
        """
        self.ensure()
        return self._run(work, write=False, durable=False)

    def snapshot(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one read transaction: all of its statements see one state."""
        self.ensure()
        return self._run(work, write=False, durable=False, snapshot=True)

    def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run `work` in one write transaction; it has been committed when this returns, and has left no trace when
        this raises. `durable` means synced to the disk as well, see the module's text."""
        self.ensure()
        return self._run(work, write=True, durable=durable)

    def ensure(self) -> None:
        """Open and migrate, unless that is done."""
        if os.getpid() != self._pid:
            self._after_fork()
        if self._ready:
            return
        with self._opening:
            if not self._ready:
                self._open()
                self._ready = True

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, which both databases have and spell alike."""
        return sqlite.insert(table) if self.sqlite else postgresql.insert(table)

    def unmanaged(self, statement: str) -> None:
        """Run one statement outside any transaction: VACUUM and its like."""
        self.ensure()
        try:
            with self._writers_turn(), self._engine.connect() as connection:
                if not self.sqlite:
                    connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql(statement)
        except DBAPIError as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Give the connections back. The next access opens new ones."""
        with self._opening:
            self._engine.dispose()
            if self.memory:
                self._ready = False

    # -- opening ---------------------------------------------------------------------------------------

    def _create_engine(self) -> Engine:
        if self.memory:
            engine = create_engine(self._url, poolclass=StaticPool, connect_args={"check_same_thread": False})
        elif self.sqlite:
            arguments = {"timeout": self._busy_timeout, "check_same_thread": False}
            engine = create_engine(self._url, connect_args=arguments, pool_size=4, max_overflow=60)
        else:
            try:
                engine = create_engine(self._url, pool_size=4, max_overflow=12)
            except ImportError as error:
                raise MissingExtraError(
                    f"a PostgreSQL store needs psycopg: {how_to_install('postgres')}", extra="postgres"
                ) from error
        if self.sqlite:
            event.listen(engine, "connect", self._prepare_sqlite)
        event.listen(engine, "begin", self._begin)
        return engine

    def _prepare_sqlite(self, connection: Any, record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; the driver's guesses would hold read locks
        connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout * 1000)}")
        connection.execute("PRAGMA temp_store = MEMORY")

    def _begin(self, connection: Connection) -> None:
        options = connection.get_execution_options()
        durable = options.get("dspex_durable", False) and self._fsync
        if not self.sqlite:
            if options.get("dspex_write", False) and not durable:
                connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")
            elif options.get("dspex_snapshot", False):
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        elif options.get("dspex_write", False):
            connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            # IMMEDIATE takes the write lock now and waits for it; a lock taken halfway could only fail.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif options.get("dspex_snapshot", False):
            connection.exec_driver_sql("BEGIN")

    def _open(self) -> None:
        if self.path is not None:
            self._prepare_directory(self.path.parent)
            self._write_ahead(self.path)

        def work(connection: Connection) -> None:
            migrate(connection, now=self.clock(), url=self.url, migrations=self._migrations)

        if not self._up_to_date():
            self._run(work, write=True, durable=True)

    def _up_to_date(self) -> bool:
        """Looked up without a write lock: opening a store must be possible while another process writes."""
        newest = self._migrations[-1].version

        def work(connection: Connection) -> bool:
            exists = connection.dialect.has_table(connection, "dspex_schema")
            if not exists:
                return False
            found = connection.exec_driver_sql("SELECT MAX(version) FROM dspex_schema").scalar()
            return found == newest

        return self._run(work, write=False, durable=False)

    def _prepare_directory(self, directory: Path) -> None:
        try:
            if directory.name == ".dspex" and not directory.exists():
                directory.parent.mkdir(parents=True, exist_ok=True)
                directory.mkdir(mode=0o700, exist_ok=True)  # prompts and answers are the owner's business
                (directory / ".gitignore").write_text("*\n")
            else:
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(
                f"store {self.url}: its directory cannot be made ({error}); set DSPEX_STORE to another place",
                reason="cannot_open",
                url=self.url,
            ) from error

    def _write_ahead(self, path: Path) -> None:
        """Switch to the WAL, once per file. SQLite does not wait for other processes here, so we do."""
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                # A file system without shared memory stays with the rollback journal: slower, as safe.
                self._run(lambda c: c.exec_driver_sql("PRAGMA journal_mode = WAL").scalar(), False, False)
                return
            except StoreUnavailableError as error:
                if error.reason != "locked" or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _after_fork(self) -> None:
        """A forked child must not touch its parent's connections, nor locks that a thread of the parent held."""
        self._inherited = (*self._inherited, self._engine.pool)  # kept, for collecting it would close them
        self._engine.dispose(close=False)
        self._opening = threading.Lock()
        self._turn = threading.RLock()
        self._pid = os.getpid()

    # -- running ---------------------------------------------------------------------------------------

    def _run(self, work: Callable[[Connection], T], write: bool, durable: bool, snapshot: bool = False) -> T:
        options = {"dspex_write": write, "dspex_durable": durable, "dspex_snapshot": snapshot}
        turn = self._writers_turn() if write or self.memory else nullcontext()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with turn, self._engine.connect() as connection:
                    connection = connection.execution_options(**options)
                    with connection.begin():
                        return work(connection)
            except (DBAPIError, TimeoutError) as error:
                stale = isinstance(error, DBAPIError) and error.connection_invalidated
                lost = isinstance(error, DBAPIError) and conflicts(error)
                # What was sent with COMMIT when the line broke may be there already: that is harmless, as
                # every row has a key of its own and is written at most once.
                if attempt == _ATTEMPTS or not (lost or (stale and attempt == 1)):
                    raise self._translated(error) from error
                if lost:
                    time.sleep(0.005 * attempt)  # or we might take the winner's rows from it again
        raise AssertionError("unreachable")  # pragma: no cover

    def _writers_turn(self) -> AbstractContextManager[Any]:
        return self._turn if self.sqlite else nullcontext()

    def _translated(self, error: DBAPIError | TimeoutError) -> Exception:
        translated = translate(error, self.url)
        if translated is None and isinstance(error, InterfaceError):
            return StoreUnavailableError(f"store {self.url}: {error}", reason="disconnected", url=self.url)
        return error if translated is None else translated
