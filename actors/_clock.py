"""Time as the actors see it: injectable, so that tests do not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Clock", "LoopClock", "TimerHandle"]


class TimerHandle(Protocol):
    """What `call_later` gives back."""

    def cancel(self) -> None:
        """The call will not happen.  No effect if it has."""


class Clock(Protocol):
    """Seconds since some beginning, and calls after some of them."""

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called once, by the scheduler whose clock this is, in its loop's thread."""

    def time(self) -> float:
        """Now, in seconds; never goes back.  Any thread."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        """Call `callback(*args)` on the loop `delay` seconds from now.  In the loop's thread only."""


class LoopClock:
    """Real time: `time.monotonic` and the loop's own timers."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def time(self) -> float:
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        assert self._loop is not None, "a clock belongs to a scheduler that has started"
        return self._loop.call_later(delay, callback, *args)
