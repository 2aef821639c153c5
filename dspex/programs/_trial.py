"""Whether the loop was held while a call was on trial."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors import Scheduler

__all__ = ["Trial"]


class Trial:
    """`with Trial(scheduler, limit) as trial`, on the loop: `trial.held()` tells at the end whether anything held the
    loop for longer than `limit` seconds meanwhile.

    The watchdog is a thread, which a busy machine may not run in time; this is the loop's own word.  It may have been
    somebody else who held it: then the trial has proved nothing, and the next call is on trial again.
    """

    __slots__ = ("_beat", "_held", "_limit", "_loop", "_timer")

    def __init__(self, scheduler: Scheduler, limit: float) -> None:
        self._loop = scheduler.loop
        self._limit = limit
        self._held = False
        self._beat = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Trial:
        self._beat = time.monotonic()
        self._timer = self._loop.call_later(self._limit / 2, self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._look()
        if not self._held:
            self._timer = self._loop.call_later(self._limit / 2, self._tick)

    def _look(self) -> None:
        now = time.monotonic()
        # Ticks come every half a limit: a gap of one and a half has a hold of a whole one in it.
        self._held = self._held or now - self._beat > 1.5 * self._limit
        self._beat = now

    def held(self) -> bool:
        """True if it was."""
        self._look()
        return self._held
