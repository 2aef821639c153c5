"""Waiting for something asynchronous from synchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from actors._errors import BlockingOnLoopError
from actors._local import current_fiber, here
from actors._process import current_scheduler
from actors._reply import Reply

__all__ = ["sleep", "wait"]

T = TypeVar("T")


def wait(awaitable: Awaitable[T], *, timeout: float | None = None) -> T:
    """The result of an awaitable, for synchronous code: a fiber parks, a plain thread blocks.

    In a fiber it runs right there, in the fiber's own context; in a thread it runs on the scheduler's loop.

    Raises:
        BlockingOnLoopError: on the bare loop, where it would wait for itself: use `await` there.
        Timeout: it took longer than `timeout` seconds; what was awaited is cancelled.
    """
    if isinstance(awaitable, Reply):
        return awaitable.get(timeout=timeout)  # type: ignore[no-any-return]
    fiber = current_fiber()
    if fiber is None and here.scheduler is not None:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise BlockingOnLoopError("wait()")
    coroutine = _awaiting(awaitable, timeout)
    if fiber is not None:
        return fiber.activity.drive(coroutine)  # type: ignore[no-any-return]
    return current_scheduler().submit(coroutine).get()  # type: ignore[no-any-return]


async def _awaiting(awaitable: Awaitable[T], timeout: float | None) -> T:
    from actors._errors import Timeout

    if timeout is None:
        return await awaitable
    try:
        async with asyncio.timeout(timeout):
            return await awaitable
    except TimeoutError as error:
        raise Timeout(f"not done within {timeout} s") from error


def sleep(seconds: float) -> None:
    """Let `seconds` pass: a fiber parks, a plain thread blocks.  On the scheduler's clock in a fiber."""
    fiber = current_fiber()
    if fiber is None:
        if here.scheduler is not None:
            raise BlockingOnLoopError("sleep()")
        import time

        time.sleep(seconds)
        return
    fiber.activity.sleep(seconds)
