"""The memory tier: least recently used, bounded in entries and bytes, entries that expire. Read from any thread."""

from __future__ import annotations

import threading
from collections import OrderedDict
from math import inf


class MemoryTier:
    """Payloads by key. `ttl` is in seconds, None meaning for ever; `now` comes with each call."""

    def __init__(
        self, max_entries: int = 100_000, max_bytes: int = 256 * 1024 * 1024, ttl: float | None = None
    ) -> None:
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("a memory tier needs room for at least one entry and one byte")
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.ttl = ttl
        self.evicted = 0
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, now: float) -> bytes | None:
        """The payload, which becomes the most recently used; None when it is not there or has expired."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if now >= entry[1]:
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: str, payload: bytes, now: float, *, until: float = inf) -> None:
        """Keep it, no longer than `until`, at the price of the least recently used. One larger than the whole tier is
        not kept.
        """
        with self._lock:
            if key in self._entries:
                self._drop(key)
            if len(payload) > self.max_bytes:
                return
            expires = until if self.ttl is None else min(until, now + self.ttl)
            self._entries[key] = (payload, expires)
            self._bytes += len(payload)
            while len(self._entries) > self.max_entries or self._bytes > self.max_bytes:
                _, (oldest, _) = self._entries.popitem(last=False)
                self._bytes -= len(oldest)
                self.evicted += 1

    def take_in(self, other: MemoryTier, now: float) -> None:
        """Keep what another tier keeps: each entry no longer than there, nor than one that is put here now."""
        with other._lock:
            entries = list(other._entries.items())
        for key, (payload, expires) in entries:
            if now < expires:
                self.put(key, payload, now, until=expires)

    def evict(self, key: str) -> None:
        """Forget one entry, if it is there."""
        with self._lock:
            if key in self._entries:
                self._drop(key)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of payload held."""
        return self._bytes

    def _drop(self, key: str) -> None:
        payload, _ = self._entries.pop(key)
        self._bytes -= len(payload)
