"""A bounded queue between one writer side and one reader, which loses its oldest items rather than wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar, cast

from actors._errors import BlockingOnLoopError
from actors._local import current_fiber, here

__all__ = ["EventStream"]

T = TypeVar("T")


class EventStream(Generic[T]):
    """Items in order, read by `for` (a thread blocks, a fiber parks) or by `async for` (on any asyncio loop).

    `push` and `close` may come from any thread and never wait.  With `limit` unread items the oldest is
    dropped for the new one and `dropped` grows by one.  After `close` the rest is still read, then the
    iteration ends.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"the limit of a stream must be at least 1, not {limit}")
        self.limit = limit
        self.dropped = 0
        self.on_close: Callable[[], None] | None = None
        self._items: deque[T] = deque()
        self._closed = False
        self._readable = threading.Condition(threading.Lock())
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __len__(self) -> int:
        return len(self._items)

    def push(self, item: T) -> None:
        """Add an item; after `close` it is ignored."""
        with self._readable:
            if self._closed:
                return
            if len(self._items) >= self.limit:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._wake()

    def close(self, *, discard: bool = False) -> None:
        """Take no more items.  Readers get what is left (nothing, with `discard`), then their end."""
        with self._readable:
            if discard:
                self._items.clear()
            if self._closed:
                return
            self._closed = True
            self._wake()
        if self.on_close is not None:
            self.on_close()

    def get(self, timeout: float | None = None) -> T:
        """The next item, waiting for it: a thread blocks, a fiber parks.

        Raises:
            LookupError: the stream is closed and all of it was read.
            TimeoutError: nothing came for `timeout` seconds.
            BlockingOnLoopError: nothing is there, and this is the bare loop, which cannot wait: use `async for`.
        """
        fiber = current_fiber()
        if fiber is not None:
            return cast("T", fiber.activity.drive(self._within(timeout)))
        if here.scheduler is not None and not self._items and not self._closed:
            raise BlockingOnLoopError("EventStream.get()")
        with self._readable:
            if not self._readable.wait_for(lambda: self._items or self._closed, timeout):
                raise TimeoutError(f"no event came for {timeout} s")
            if not self._items:
                raise LookupError("the stream is closed and all of it was read")
            return self._items.popleft()

    async def _within(self, timeout: float | None) -> T:
        try:
            async with asyncio.timeout(timeout):
                return await anext(self)
        except StopAsyncIteration:
            raise LookupError("the stream is closed and all of it was read") from None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self.get()
        except LookupError:
            raise StopIteration from None

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            with self._readable:
                if self._items:
                    return self._items.popleft()
                if self._closed:
                    raise StopAsyncIteration
                loop = asyncio.get_running_loop()
                waiter: asyncio.Future[None] = loop.create_future()
                self._waiters.append((loop, waiter))
            await waiter

    def __enter__(self) -> EventStream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        self._readable.notify_all()
        waiters, self._waiters = self._waiters, []
        for loop, waiter in waiters:
            # A loop that was closed meanwhile has no reader any more; the items stay for another one.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_release, waiter)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
