"""The store as an actor of the system: gathers what is to be kept, and writes it in batches, off the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors import AsyncActor
from dspex.store._writer_events import StoreDegraded, StoreRecovered, WriteRefused

if TYPE_CHECKING:
    from actors import Scheduler
    from dspex.store._writer import WriterEvent
    from dspex.system._storage import Storage

__all__ = ["Flush", "StoreKeeper", "announce"]

_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Flush:
    """Write what is there.  Answered when that has been tried."""


class StoreKeeper(AsyncActor):
    """Flushes the writer every quarter of a second if there is something, and once more at the end.

    A disk that is full or read-only is told of once, loudly (`store.degraded`), and once more when it is back
    (`store.recovered`); what could not be written stays in the writer's memory meanwhile.
    """

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self.trap_exit = True  # the last flush is due when the system stops
        self._storage = storage

    def on_start(self) -> None:
        """Begin to write."""
        self.every(_EVERY, Flush())

    async def on_receive(self, message: Any) -> Any:
        """Flush."""
        if isinstance(message, Flush) and self._storage.unwritten:
            return await self.scheduler.run_blocking(self._storage.flush)
        return None

    async def on_stop(self) -> None:  # type: ignore[override]
        """The last flush."""
        if self._storage.unwritten:
            await self.scheduler.run_blocking(self._storage.flush)

    def tree_metrics(self) -> dict[str, Any]:
        """What waits to be written."""
        writer = self._storage.opened_writer
        if writer is None:
            return {"pending": self._storage.unwritten, "pending_bytes": 0, "dropped": 0, "degraded": None}
        degraded = writer.degraded
        return {
            "pending": writer.pending,
            "pending_bytes": writer.pending_bytes,
            "dropped": writer.dropped,
            "degraded": None if degraded is None else str(degraded),
        }


def announce(scheduler: Scheduler) -> Callable[[WriterEvent], None]:
    """The writer's news as events and log lines."""

    def tell(event: WriterEvent) -> None:
        match event:
            case StoreDegraded():
                topic, level = "store.degraded", "error"
            case StoreRecovered():
                topic, level = "store.recovered", "warning"
            case WriteRefused():
                topic, level = "store.refused", "error"
        getattr(scheduler.log, level)(topic, detail=str(event))
        scheduler.events.emit(topic, {}, {"detail": str(event)})

    return tell
