"""The cache's actor: writes to the disk tier in order, a batch at a time (group commit)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors import AsyncActor, Reply

from ._cache import DiskTier


@dataclass(frozen=True, slots=True)
class Keep:
    """Write this payload. Answered when it is on disk, or was given up (see `CacheWriter.failed`)."""

    key: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """Answered when everything sent before it is on disk, or was given up."""


@dataclass(frozen=True, slots=True)
class _Wrote:
    """To itself: the batch is done; the errors of the payloads that were not written."""

    count: int
    errors: tuple[Exception, ...]
    waiting: tuple[Reply[Any], ...]


class CacheWriter(AsyncActor):
    """One writer per disk tier. While it writes, in a thread, what comes in gathers to the next batch.

    A tier that fails (disk full, locked) must not take the calls with it: losses are counted, the last error is
    kept, and `cache.write_failed` is emitted. What has not been written when the actor stops is written then.
    """

    def __init__(self, disk: DiskTier) -> None:
        super().__init__()
        self.trap_exit = True  # so that on_stop runs when its supervisor stops it
        self._disk = disk
        self._pending: list[tuple[Keep, Reply[Any]]] = []
        self._writing = False
        self._flushes: list[Reply[Any]] = []
        self.written = 0
        self.failed = 0
        self.last_error: Exception | None = None

    def on_receive(self, message: Keep | Flush | _Wrote) -> None:
        match message:
            case Keep():
                self._pending.append((message, self.defer()))
                if not self._writing:
                    self._write_next()
            case Flush():
                if self._writing:
                    self._flushes.append(self.defer())
            case _Wrote():
                self._count(message)
                self._writing = False
                if self._pending:
                    self._write_next()
                else:
                    flushes, self._flushes = self._flushes, []
                    for reply in flushes:
                        reply.set(None)

    async def on_stop(self) -> None:  # type: ignore[override]
        if self._pending:
            batch, self._pending = self._pending, []
            self._count(await self.scheduler.run_blocking(self._write, batch))

    def _write_next(self) -> None:
        batch, self._pending = self._pending, []
        self._writing = True
        me = self.actor_ref
        written = self.scheduler.run_blocking(self._write, batch)
        written.add_done_callback(lambda reply: me.tell(reply.get()) if me.is_alive() else None)

    def _write(self, batch: list[tuple[Keep, Reply[Any]]]) -> _Wrote:
        payloads = [(keep.key, keep.payload) for keep, _ in batch]
        waiting = tuple(reply for _, reply in batch)
        if self._put(payloads) is None:
            return _Wrote(len(batch), (), waiting)
        # One payload that cannot be written must not take the others with it.
        errors = tuple(error for payload in payloads if (error := self._put([payload])) is not None)
        return _Wrote(len(batch) - len(errors), errors, waiting)

    def _put(self, payloads: list[tuple[str, bytes]]) -> Exception | None:
        try:
            self._disk.put_many(payloads)
        except Exception as error:  # noqa: BLE001  any storage engine, any error: the answers are still in memory
            return error
        return None

    def _count(self, wrote: _Wrote) -> None:
        for reply in wrote.waiting:
            reply.set(None)
        self.written += wrote.count
        if not wrote.errors:
            return
        self.failed += len(wrote.errors)
        self.last_error = wrote.errors[-1]
        if self.scheduler.events.active:
            self.scheduler.events.emit(
                "cache.write_failed", {"count": len(wrote.errors)}, {"error": repr(self.last_error)}
            )
