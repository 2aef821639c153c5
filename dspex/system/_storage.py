"""The system's store, opened by the first who needs it: a system that keeps nothing yet has not even imported it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dspex.store._errors import StoreBufferFullError
from dspex.store._location import store_url
from dspex.system._disk_cache import DiskCache

if TYPE_CHECKING:
    from dspex.store import Store, Writer
    from dspex.system._config import SystemConfig

__all__ = ["Storage"]

_EARLY = 10_000  # records that may wait for the writer to be made: a quarter of a second


class Storage:
    """One store and its writer.  Any thread.  `enabled` is False for a system that is to keep nothing.

    The database library costs a third of a second to import, so it is imported with the first record or the first
    look at the cache on disk, never by starting a system.
    """

    def __init__(self, config: SystemConfig, given: Store | None, on_event: Callable[[Any], None]) -> None:
        """
        Raises:
            StoreURLError: the settings name no store that there could be.
        """
        self.enabled = given is not None or config.store is not False
        self._config = config
        self._given = given
        self._store = given
        self._writer: Writer | None = None
        self._on_event = on_event
        self.disk_cache = DiskCache(self, on_event)
        self.on_open: Callable[[Store], None] | None = None
        self._early: deque[Any] = deque()
        self._making = threading.RLock()  # held while the database library is imported
        self._lock = threading.Lock()  # held for a moment: what holds the first one must not hold up the loop
        self._secrets: set[str] = set()
        self._location = config.store if isinstance(config.store, str) else None
        self.url = given.url if given is not None else store_url(self._location) if self.enabled else None

    @property
    def store(self) -> Store | None:
        """The store; made now if it was not there."""
        if not self.enabled or self._store is not None:
            return self._store
        with self._making:
            if self._store is None:
                from dspex.store import Store

                cache = self._config.cache
                made = Store(self._location, cache_bytes=cache.disk_bytes, cache_ttl=cache.ttl)
                with self._lock:
                    for secret in self._secrets:
                        made.conceal(secret)
                    self._store = made
                if self.on_open is not None:
                    self.on_open(made)
        return self._store

    @property
    def writer(self) -> Writer | None:
        """The writer that batches; made now if it was not there."""
        if not self.enabled or self._writer is not None:
            return self._writer
        with self._making:
            if self._writer is None:
                from dspex.store import Writer

                store = self.store
                assert store is not None
                made = Writer(store, on_event=self._on_event)
                with self._lock:
                    while self._early:
                        _put(made, self._early.popleft())
                    self._writer = made
        return self._writer

    @property
    def opened_writer(self) -> Writer | None:
        """The writer, if there was anything to write yet."""
        return self._writer

    @property
    def unwritten(self) -> int:
        """How many records wait to be written."""
        return len(self._early) + (0 if self._writer is None else self._writer.pending)

    def flush(self) -> None:
        """Write what waits.  Waits for the disk, and the first time for the database library."""
        writer = self.writer
        if writer is not None:
            writer.flush()

    @property
    def degraded(self) -> str | None:
        """Why the store cannot be read or written now; None if it can, as far as is known."""
        writer = self._writer
        if writer is not None and writer.degraded is not None:
            return writer.degraded.message
        return self.disk_cache.trouble

    def put(self, record: Any) -> bool:
        """Keep a record soon.  Never waits for the disk; False when it has refused so much that memory is full, which
        has been announced by then, or when nothing is to be kept."""
        if not self.enabled:
            return False
        writer = self._writer
        if writer is not None:
            return _put(writer, record)
        with self._lock:
            writer = self._writer
            if writer is None and len(self._early) < _EARLY:
                self._early.append(record)  # to make the writer would hold up whoever this is, perhaps the loop
                return True
        return writer is not None and _put(writer, record)

    def conceal_if_long(self, secret: str) -> None:
        """Let no record contain this; one of less than 8 characters would be found in innocent text."""
        if len(secret) < 8:
            return
        with self._lock:
            self._secrets.add(secret)
            if self._store is not None:
                self._store.conceal(secret)

    def close(self) -> None:
        """Close the store, unless it was somebody else's."""
        if self._store is not None and self._given is None:
            self._store.close()


def _put(writer: Writer, record: Any) -> bool:
    try:
        writer.put(record)
    except StoreBufferFullError:
        return False
    return True
