"""A clock that moves only when it is told to."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any

from actors._errors import ActorError
from actors._local import here
from actors._scheduler import Scheduler
from actors.testing._quiesce import quiesce

__all__ = ["VirtualClock"]


class VirtualClock:
    """The `clock` of a scheduler under test: `Scheduler(clock=VirtualClock())`.

    Timers, call timeouts and receive timeouts of its actors, and `sleep` in fibers, follow it.  `asyncio.sleep`
    and `asyncio.timeout` do not: they belong to the loop, whose time is real.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._alarms: list[tuple[float, int, _Alarm]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._scheduler: Scheduler | None = None

    # -- what the scheduler asks of a clock

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """See `Clock`."""
        if self._scheduler is not None:
            raise ActorError("a virtual clock belongs to one scheduler: make another one")
        self._scheduler = here.scheduler

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> _Alarm:
        """See `Clock`.  Of calls due at one moment, the one asked for first comes first."""
        alarm = _Alarm(callback, args)
        with self._lock:
            heapq.heappush(self._alarms, (self._now + max(delay, 0.0), next(self._numbers), alarm))
        return alarm

    # -- what a test does with it

    def advance(self, seconds: float) -> None:
        """Let time pass: every call that falls due is made, in order, and its consequences settle before the next.

        Call it from a plain thread; in a coroutine, `await asyncio.to_thread(clock.advance, seconds)`.
        """
        target = self._now + seconds
        self._settle()
        while (due := self._pop(target)) is not None:
            self._now, alarm = due
            self._ring(alarm)
            self._settle()
        self._now = target

    def advance_to_next(self) -> float | None:
        """Let time pass up to the next call that is due: how many seconds that took; None if there is none."""
        self._settle()
        with self._lock:
            self._drop_cancelled()
            if not self._alarms:
                return None
            seconds = max(0.0, self._alarms[0][0] - self._now)
        self.advance(seconds)
        return seconds

    @property
    def pending(self) -> int:
        """How many calls are still to come."""
        with self._lock:
            return sum(not alarm.cancelled for _, _, alarm in self._alarms)

    def _pop(self, target: float) -> tuple[float, _Alarm] | None:
        with self._lock:
            self._drop_cancelled()
            if not self._alarms or self._alarms[0][0] > target:
                return None
            when, _, alarm = heapq.heappop(self._alarms)
        return max(when, self._now), alarm

    def _drop_cancelled(self) -> None:
        while self._alarms and self._alarms[0][2].cancelled:
            heapq.heappop(self._alarms)

    def _ring(self, alarm: _Alarm) -> None:
        rung = threading.Event()

        def ring() -> None:
            try:
                alarm.ring()
            finally:
                rung.set()

        if self._running().call_soon(ring):
            rung.wait()

    def _settle(self) -> None:
        quiesce(self._running())

    def _running(self) -> Scheduler:
        if self._scheduler is None:
            raise ActorError("this clock has no scheduler yet: start Scheduler(clock=...) with it first")
        return self._scheduler


class _Alarm:
    """A call to come on a virtual clock."""

    __slots__ = ("_args", "_callback", "cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._callback = callback
        self._args = args
        self.cancelled = False

    def cancel(self) -> None:
        """The call will not be made."""
        self.cancelled = True

    def ring(self) -> None:
        """Make the call, unless it was cancelled."""
        if not self.cancelled:
            self._callback(*self._args)
