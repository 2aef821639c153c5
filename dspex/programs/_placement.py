"""Where a synchronous `forward` runs: in a fiber on the loop, or on a thread.

A fiber is some fifty times cheaper than a thread, but one that blocks (`time.sleep`, a synchronous HTTP client) holds
up everybody.  So a `forward` is on trial until one call of it has ended in a fiber without holding the loop: while
that call is under way, other calls of the same code run on threads, which is right for either kind and costs little;
those that came at the same time begin before it.
The watchdog's finding (`Scheduler.blocking`) is final: such code runs on threads from then on.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Set
from contextvars import ContextVar
from types import CodeType

__all__ = ["Place", "Placement", "set_apart"]

set_apart: ContextVar[bool] = ContextVar("dspex.set_apart", default=False)
"""No synchronous code is to hold the loop here, not even once: an evaluation has promised each example its own time."""


class Place(enum.Enum):
    """Where to run a call."""

    FIBER = "fiber"
    THREAD = "thread"
    TRIAL = "trial"  # in a fiber, to see whether it blocks; say `left` when it has ended
    DOUBT = "doubt"  # on a thread, while another call is on trial; say `left` when it has ended


class Placement:
    """Decides for every piece of code.  Any thread may ask.

    `blocking` is the live set of code that was seen to block; `width` bounds the calls of one piece of code that
    run on threads for want of a verdict: beyond it they take their chance as fibers.
    """

    __slots__ = ("_blocking", "_doubtful", "_lock", "_proved", "_trials", "_width")

    def __init__(self, blocking: Set[CodeType], width: int = 1000) -> None:
        self._blocking = blocking
        self._width = width
        self._proved: set[CodeType] = set()
        self._trials: set[CodeType] = set()
        self._doubtful: dict[CodeType, int] = {}
        self._lock = threading.Lock()

    def place(self, code: CodeType) -> Place:
        """Where the next call of `code` is to run."""
        if code in self._blocking:
            return Place.THREAD
        if code in self._proved:
            return Place.FIBER
        with self._lock:
            if code not in self._trials:
                self._trials.add(code)
                return Place.TRIAL
            doubtful = self._doubtful.get(code, 0)
            if doubtful >= self._width:
                return Place.FIBER
            self._doubtful[code] = doubtful + 1
            return Place.DOUBT

    def doubtful(self, code: CodeType) -> int:
        """How many calls of `code` are on threads for want of a verdict."""
        return self._doubtful.get(code, 0)

    def left(self, code: CodeType, place: Place, proved: bool) -> None:
        """A call that was on trial, or in doubt, is over.

        A trial that failed, was cancelled, or saw the loop held proves nothing: the next call is on trial again.
        """
        with self._lock:
            if place is Place.DOUBT:
                self._doubtful[code] -= 1
            elif place is Place.TRIAL:
                self._trials.discard(code)
                if proved and code not in self._blocking:
                    self._proved.add(code)
