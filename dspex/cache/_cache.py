"""Answers that were paid for once: a memory tier, a disk tier, and one flight for identical requests.

Payloads are JSON, never pickle. One that cannot be read is dropped and counted, and the call is made.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ._flight import SingleFlight
from ._memory import MemoryTier

T = TypeVar("T")

HIT = "cache.hit"
MISS = "cache.miss"
CORRUPT = "cache.corrupt"


class Codec(Protocol[T]):
    """How answers become payloads. `decode` raises ValueError, KeyError, TypeError or AttributeError for a damaged
    one.
    """

    def encode(self, value: T) -> bytes: ...

    def decode(self, payload: bytes) -> T:
        """The answer, marked as one that was not paid for."""
        ...

    def shared(self, value: T) -> T:
        """An answer that somebody else's call brought, marked likewise."""
        ...

    def personal(self, error: BaseException) -> bool:
        """Whether an error concerns its caller alone (its deadline, its budget) and not the others who asked the
        same.
        """
        ...


class DiskTier(Protocol):
    """Where payloads outlive the process. Synchronous; may block; any thread. The store implements it."""

    def get(self, key: str) -> bytes | None: ...

    def put_many(self, payloads: Sequence[tuple[str, bytes]]) -> object:
        """Keep several payloads, in one transaction."""
        ...

    def discard(self, key: str, *, corrupt: bool = False) -> object: ...


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the start; `corrupt` entries were dropped, `shared` calls waited for another's answer."""

    hits: int
    disk_hits: int
    misses: int
    shared: int
    corrupt: int
    evicted: int
    entries: int
    bytes: int


class Cache(Generic[T]):
    """`peek` reads the memory tier from any thread, without a message, as from an ETS table.

    `fetch` runs on one loop. Writes to the disk go through `write` (the cache's actor), whose reply says that the
    payload is on disk; without one they are made at once. `fetch` hands out what was paid for when it is on disk, so
    that a process which is killed has to repeat only the calls that were in flight.
    """

    def __init__(
        self,
        codec: Codec[T],
        memory: MemoryTier | None = None,
        disk: DiskTier | None = None,
        *,
        read: Callable[..., Awaitable[Any]] | None = None,
        write: Callable[[str, bytes], Awaitable[Any]] | None = None,
        clock: Callable[[], float] = time.time,
        note: Callable[[str, str | None], object] | None = None,
    ) -> None:
        """`read(function, *args)` runs a blocking read elsewhere (the scheduler's `run_blocking`). `note(topic, tier)`
        is told of each hit ("cache.hit"; tier "memory", "disk" or "flight"), miss and corrupt entry.
        """
        self._codec = codec
        self.memory = memory if memory is not None else MemoryTier()
        self.disk = disk
        self._read = read
        self._write = write
        self._clock = clock
        self._note = note
        self._flight: SingleFlight[T] = SingleFlight(codec.personal)
        self._hits = self._disk_hits = self._misses = self._corrupt = 0

    def peek(self, key: str) -> T | None:
        """The answer if the memory tier has it, marked as cached."""
        payload = self.memory.get(key, self._clock())
        if payload is None:
            return None
        response = self._decode(key, payload)
        if response is not None:
            self._hits += 1
            if self._note is not None:
                self._note(HIT, "memory")
        return response

    async def fetch(self, key: str, call: Callable[[], Awaitable[T]]) -> T:
        """The answer from memory, from disk, from an identical call in flight, or else by `call`, and then kept."""
        found = self.peek(key)
        if found is not None:
            return found
        response, shared = await self._flight.run(key, lambda: self._load_or_call(key, call))
        if not shared:
            return response
        if self._note is not None:
            self._note(HIT, "flight")
        return self._codec.shared(response)

    async def load(self, key: str) -> T | None:
        """The answer if the memory or the disk tier has it."""
        found = self.peek(key)
        if found is None and (found := await self._from_disk(key)) is None:
            self._missed()
        return found

    def put(self, key: str, response: T) -> Awaitable[Any] | None:
        """Keep an answer in both tiers. Await what comes back, if anything does, to know that it is on disk."""
        payload = self._codec.encode(response)
        self.memory.put(key, payload, self._clock())
        if self.disk is None:
            return None
        if self._write is not None:
            return self._write(key, payload)
        self.disk.put_many([(key, payload)])
        return None

    def move(self, memory: MemoryTier, disk: DiskTier | None) -> None:
        """Have these tiers from now on. What the memory tier held is in the new one too. Flights go on."""
        if memory is not self.memory:
            memory.take_in(self.memory, self._clock())
        self.memory, self.disk = memory, disk

    def stats(self) -> CacheStats:
        memory = self.memory
        return CacheStats(
            self._hits,
            self._disk_hits,
            self._misses,
            self._flight.shared,
            self._corrupt,
            memory.evicted,
            len(memory),
            memory.size,
        )

    async def _load_or_call(self, key: str, call: Callable[[], Awaitable[T]]) -> T:
        kept = await self._from_disk(key)
        if kept is not None:
            return kept
        self._missed()
        response = await call()
        written = self.put(key, response)
        if written is not None:
            await written
        return response

    def _missed(self) -> None:
        self._misses += 1
        if self._note is not None:
            self._note(MISS, None)

    async def _from_disk(self, key: str) -> T | None:
        if self.disk is None:
            return None
        payload = await self._read(self.disk.get, key) if self._read is not None else self.disk.get(key)
        if payload is None:
            return None
        response = self._decode(key, payload)
        if response is not None:
            self._disk_hits += 1
            if self._note is not None:
                self._note(HIT, "disk")
            self.memory.put(key, payload, self._clock())
        return response

    def _decode(self, key: str, payload: bytes) -> T | None:
        try:
            return self._codec.decode(payload)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._corrupt += 1
            if self._note is not None:
                self._note(CORRUPT, None)
            self.memory.evict(key)
            if self.disk is not None:
                self.disk.discard(key, corrupt=True)
            return None
