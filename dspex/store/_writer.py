"""Batched writes, and a memory for what the disk would not take.

A writer holds records in memory, in order, until `flush` writes them in one transaction: one sync for hundreds of
journal steps. It belongs to no thread: any thread may `put`, any may `flush`; one flush runs at a time.

When the disk is full, read-only or gone, nothing is lost and nobody is kept waiting: the records stay here, a
`StoreDegraded` says so once, and the next flush that succeeds writes them all and says `StoreRecovered`. The memory is
bounded. When it is full, what is only nice to have (cache entries, events) is dropped, the oldest first, and counted;
results are never dropped: `put` raises StoreBufferFullError instead, so that whoever produces them stops.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from dspex.store._errors import StoreBufferFullError, StoreCorruptError, StoreError, StoreUnavailableError
from dspex.store._records import (
    CachePut,
    CrashRecord,
    DeadLetter,
    Evaluation,
    JournalAppend,
    NewRun,
    RunUpdate,
    SaveParameters,
    StoredEvent,
    UsageRecord,
)
from dspex.store._writer_events import Held, Refused, StoreDegraded, StoreRecovered, WriteRefused, Written

if TYPE_CHECKING:
    from dspex.store._store import Store

Storable = (
    NewRun
    | RunUpdate
    | JournalAppend
    | Evaluation
    | SaveParameters
    | CachePut
    | UsageRecord
    | CrashRecord
    | DeadLetter
    | StoredEvent
)
Outcome = Written | Held | Refused
Acknowledge = Callable[[Outcome], None]
WriterEvent = StoreDegraded | StoreRecovered | WriteRefused

_log = logging.getLogger("dspex.store")


@dataclass(frozen=True, slots=True)
class _Sink:
    """How records of one type are written. Sinks are written in their order, so that a run is there before its
    steps."""

    order: int
    encode: Callable[[Any], dict[str, Any]]
    write: Callable[[Connection, Sequence[dict[str, Any]]], Sequence[Any]]
    durable: bool = True
    droppable: bool = False


@dataclass(slots=True)
class _Pending:
    sink: _Sink
    row: dict[str, Any]
    size: int
    acknowledge: Acknowledge | None


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What a flush did: records written, refused for good, and left in memory."""

    written: int
    refused: int
    pending: int


class Writer:
    """Writes records of a store in batches. `capacity` and `capacity_bytes` bound what it holds in memory.

    `on_event` gets StoreDegraded, StoreRecovered and WriteRefused, on the thread that flushes; by default they are
    logged. `acknowledge`, given to `put`, is called exactly once: with Written(result) after the commit, with
    Refused(error) when the record can never be written (its run was lost or does not exist), or with Held(reason)
    when the disk does not take it now: it is safe in memory only, and will be written when the disk is back. An
    acknowledge must not raise and must not put.
    """

    def __init__(
        self,
        store: Store,
        *,
        capacity: int = 100_000,
        capacity_bytes: int = 256 << 20,
        batch: int = 500,
        on_event: Callable[[WriterEvent], None] | None = None,
    ) -> None:
        self._database = store.database
        self._sinks = _sinks(store)
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._batch = batch
        self._on_event = on_event or _log_event
        self._queue: deque[_Pending] = deque()
        self._in_flight: list[_Pending] = []
        self._bytes = 0
        self._spare = 0  # records in the queue that may be dropped
        self._dropped = 0
        self._dropped_in_outage = 0
        self._written_in_recovery = 0
        self._degraded: StoreDegraded | None = None
        self._lock = threading.Lock()  # of the memory
        self._flushing = threading.Lock()  # of the way to the disk; taken before `_lock`

    @property
    def pending(self) -> int:
        """Records in memory that are not on disk."""
        with self._lock:
            return len(self._queue) + len(self._in_flight)

    @property
    def pending_bytes(self) -> int:
        """Their size, roughly."""
        with self._lock:
            return self._bytes

    @property
    def dropped(self) -> int:
        """Cache entries and events that were dropped because the memory was full."""
        with self._lock:
            return self._dropped

    @property
    def degraded(self) -> StoreDegraded | None:
        """Why the last flush failed; None while the disk takes what it is given."""
        return self._degraded

    def put(self, record: Storable, acknowledge: Acknowledge | None = None) -> bool:
        """Take a record to be written by the next flush. It is encoded now: what the caller changes afterwards does
        not matter. False when the memory is full and the record was dropped (cache entries and events only).

        Raises StoreValueError when it cannot be encoded, StoreBufferFullError when there is no room for a result.
        """
        sink = self._sinks[type(record)]
        row = sink.encode(record)
        pending = _Pending(sink, row, _size(row), acknowledge)
        with self._lock:
            if not self._make_room(pending):
                if sink.droppable:
                    self._count_dropped(1)
                    return False
                held = len(self._queue) + len(self._in_flight)
                raise StoreBufferFullError(
                    f"{held} results wait for the store and there is no room for more: make room on the disk and flush",
                    pending=held,
                    capacity=self._capacity,
                )
            self._queue.append(pending)
            self._bytes += pending.size
            self._spare += sink.droppable
        return True

    def flush(self) -> FlushReport:
        """Write what is pending, oldest first, batch by batch, until all is written or the disk refuses.

        Does not raise for a disk that is full or gone: that is `degraded`. Raises StoreCorruptError, with everything
        still in memory, when the database file is damaged.
        """
        written = refused = 0
        with self._flushing:
            # Only what is there now: with producers faster than the disk this would never return.
            remaining = self.pending
            while remaining > 0:
                batch = self._take(min(self._batch, remaining))
                if not batch:
                    break
                remaining -= len(batch)
                try:
                    outcomes = self._write(batch)
                except StoreUnavailableError as error:
                    self._put_back(batch)
                    self._degrade(error)
                    break
                except BaseException:
                    # Interrupted, or the file is damaged: records are written at most once, so trying again is safe.
                    self._put_back(batch)
                    raise
                with self._lock:
                    self._in_flight = []
                    self._bytes -= sum(pending.size for pending in batch)
                    if self._degraded is not None:
                        self._written_in_recovery += len(batch)
                for pending, outcome in zip(batch, outcomes, strict=True):
                    if isinstance(outcome, Refused):
                        refused += 1
                        self._on_event(WriteRefused(outcome.error))
                    else:
                        written += 1
                    if pending.acknowledge is not None:
                        pending.acknowledge(outcome)
            else:
                self._recover()
        return FlushReport(written, refused, self.pending)

    # -- memory ----------------------------------------------------------------------------------------

    def _make_room(self, new: _Pending) -> bool:
        """True when `new` fits, if need be after the oldest records that can be spared have gone."""
        count = len(self._queue) + len(self._in_flight)

        def fits() -> bool:
            return count < self._capacity and self._bytes + new.size <= self._capacity_bytes

        if fits() or new.sink.droppable or not self._spare:
            return fits()  # what is nice to have never drives out what is as nice, and older
        kept: deque[_Pending] = deque()
        for pending in self._queue:
            if pending.sink.droppable and not fits():
                count -= 1
                self._bytes -= pending.size
                self._spare -= 1
                self._count_dropped(1)
            else:
                kept.append(pending)
        self._queue = kept
        return fits()

    def _count_dropped(self, count: int) -> None:
        self._dropped += count
        self._dropped_in_outage += count

    def _take(self, count: int) -> list[_Pending]:
        with self._lock:
            self._in_flight = [self._queue.popleft() for _ in range(min(count, len(self._queue)))]
            self._spare -= sum(pending.sink.droppable for pending in self._in_flight)
            return self._in_flight

    def _put_back(self, batch: list[_Pending]) -> None:
        with self._lock:
            self._queue.extendleft(reversed(batch))
            self._spare += sum(pending.sink.droppable for pending in batch)
            self._in_flight = []

    # -- disk ------------------------------------------------------------------------------------------

    def _write(self, batch: Sequence[_Pending]) -> list[Outcome]:
        durable = any(pending.sink.durable for pending in batch)
        try:
            return list(self._database.write(lambda connection: _apply(connection, batch), durable=durable))
        except StoreUnavailableError:
            raise
        except (StoreError, SQLAlchemyError) as error:
            if isinstance(error, StoreCorruptError):
                raise
        # One of them is bad. Each by itself then, so that it takes no other with it.
        return [self._write_alone(pending) for pending in batch]

    def _write_alone(self, pending: _Pending) -> Outcome:
        try:
            alone = [pending]
            durable = pending.sink.durable
            return self._database.write(lambda connection: _apply(connection, alone), durable=durable)[0]
        except (StoreUnavailableError, StoreCorruptError):
            raise
        except (StoreError, SQLAlchemyError) as error:
            return Refused(error)

    def _degrade(self, error: StoreUnavailableError) -> None:
        first = self._degraded is None
        with self._lock:
            pending = list(self._queue)
            self._degraded = StoreDegraded(error.reason, str(error), len(pending))
        if first:
            self._on_event(self._degraded)
        for waiting in pending:
            if waiting.acknowledge is not None:
                acknowledge, waiting.acknowledge = waiting.acknowledge, None
                acknowledge(Held(error.reason))

    def _recover(self) -> None:
        if self._degraded is None:
            return
        if not self._written_in_recovery:
            return  # nothing was written: we do not know yet whether the disk is back
        with self._lock:
            event = StoreRecovered(self._written_in_recovery, self._dropped_in_outage)
            self._degraded = None
            self._written_in_recovery = self._dropped_in_outage = 0
        self._on_event(event)


def _apply(connection: Connection, batch: Sequence[_Pending]) -> list[Outcome]:
    by_sink: dict[int, list[int]] = {}
    for index, pending in enumerate(batch):
        by_sink.setdefault(pending.sink.order, []).append(index)
    outcomes: dict[int, Outcome] = {}
    for order in sorted(by_sink):
        indices = by_sink[order]
        results = batch[indices[0]].sink.write(connection, [batch[index].row for index in indices])
        outcomes.update((index, Written(result)) for index, result in zip(indices, results, strict=True))
    return [outcomes[index] for index in range(len(batch))]


def _sinks(store: Store) -> dict[type, _Sink]:
    def sink(order: int, table: Any, **flags: bool) -> _Sink:
        return _Sink(order, table.encode, table.write, **flags)

    return {
        NewRun: sink(0, store.runs),
        JournalAppend: sink(1, store.journal),
        Evaluation: sink(2, store.evaluations),
        RunUpdate: _Sink(3, store.runs.encode_update, store.runs.write_updates),
        SaveParameters: sink(4, store.parameters),
        CrashRecord: sink(5, store.crashes),
        DeadLetter: sink(6, store.dead_letters),
        UsageRecord: sink(7, store.usage, durable=False),
        CachePut: sink(8, store.cache, durable=False, droppable=True),
        StoredEvent: sink(9, store.events, durable=False, droppable=True),
    }


def _size(row: dict[str, Any]) -> int:
    return 200 + sum(len(value) for value in row.values() if isinstance(value, str | bytes))


def _log_event(event: WriterEvent) -> None:
    match event:
        case StoreDegraded():
            _log.error("results are kept in memory only, %d of them: %s", event.pending, event.message)
        case StoreRecovered():
            _log.warning("the store is back: %d records written, %d dropped", event.written, event.dropped)
        case WriteRefused():
            _log.error("the store refused a record for good: %s", event.error)
