"""Calls to come, on an injectable clock."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any

from actors._clock import Clock, TimerHandle
from actors._ready_queue import ReadyQueue

__all__ = ["Timer", "Timers"]


class Timer:
    """A call to come.  `cancel` is safe from any thread and after the fact."""

    __slots__ = ("_handle", "_queue", "active")

    def __init__(self, queue: ReadyQueue) -> None:
        self._queue = queue
        self._handle: TimerHandle | None = None
        self.active = True

    def cancel(self) -> None:
        """It will not go off any more."""
        if not self.active:
            return
        self.active = False
        if self._handle is not None:
            if get_ident() == self._queue.ident:
                self._handle.cancel()
            else:
                self._queue.call_soon(self._handle.cancel)


class Timers(ReadyQueue):
    """A loop that also keeps time."""

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(name)
        self.clock = clock

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` on the loop after `seconds` of the scheduler's clock.  Any thread."""
        timer = Timer(self)

        def fire() -> None:
            if timer.active:
                timer.active = False
                callback(*args)

        self._arm(timer, seconds, fire)
        return timer

    def call_every(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call it every `seconds` until cancelled, or until it returns False."""
        timer = Timer(self)

        def fire() -> None:
            if timer.active and callback(*args) is not False and timer.active:
                timer._handle = self.clock.call_later(seconds, fire)

        self._arm(timer, seconds, fire)
        return timer

    def _arm(self, timer: Timer, seconds: float, fire: Callable[[], None]) -> None:
        def arm() -> None:
            if timer.active:
                timer._handle = self.clock.call_later(seconds, fire)

        if get_ident() == self.ident:
            arm()
        elif not self.call_soon(arm):
            timer.active = False
