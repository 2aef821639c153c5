"""From an LM to its pool on one scheduler, and from any thread or loop to that scheduler's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from threading import get_ident
from typing import Any, TypeVar

from actors import Reply, Scheduler

from ._pool import Pool
from ._service import LmService, PoolKey

T = TypeVar("T")


class Route:
    """Found once per LM and scheduler."""

    __slots__ = ("key", "pool", "scheduler", "service")

    def __init__(self, scheduler: Scheduler, service: LmService, key: PoolKey) -> None:
        self.scheduler = scheduler
        self.service = service
        self.key = key
        self.pool: Pool | None = None

    def is_alive(self) -> bool:
        """False when the service has ended: another route must be found."""
        ref = self.service.ref
        return ref is not None and ref.is_alive()

    def to_pool(self, transport: Any) -> Pool:
        """The pool, made anew if it has ended. On the scheduler's loop."""
        pool = self.pool
        if pool is None or pool.gate.closed is not None:
            pool = self.pool = self.service.pool(self.key, transport)
        return pool


async def on_loop(scheduler: Scheduler, work: Awaitable[T]) -> T:
    """`work` on the scheduler's loop, awaited from wherever this is; cancelling here cancels there."""
    if get_ident() == scheduler.ident:
        return await work
    running: list[Any] = []

    async def run() -> T:
        running.append(asyncio.current_task())
        return await work

    reply: Reply[T] = scheduler.submit(run())
    try:
        return await reply
    except asyncio.CancelledError:
        scheduler.call_soon(lambda: [task.cancel() for task in running])
        raise
