"""The queue of what is to be done on the loop next, and the way into it from every thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from actors._errors import ForkedError

if TYPE_CHECKING:
    from actors._activity import Activity
    from actors._bell import Bell
    from actors._process import Process

__all__ = ["ReadyQueue", "Runnable"]

_TURNS = 256  # items handled before the loop looks at its sockets and timers again


class Runnable(Protocol):
    """What can be on the queue: an actor with mail, an activity that was woken."""

    def run(self) -> None:
        """Take one turn, in the hub.  Must not raise."""


class ReadyQueue:
    """What is on it is run in order, many items in one turn of the loop."""

    loop: asyncio.AbstractEventLoop
    _bell: Bell

    def __init__(self, name: str) -> None:
        self.name = name
        self.ident = -1
        self.running_actor: Process | None = None
        self.running_activity: Activity | None = None
        self._ready: deque[Runnable] = deque()
        self._inbound: deque[Runnable] = deque()
        self._pumping = False
        self._woken = False
        self._state = "new"
        self.forked = False

    def enqueue(self, item: Runnable) -> None:
        """Let `item.run()` be called on the loop, after what is queued.  Any thread."""
        if get_ident() == self.ident:
            self._ready.append(item)
            if not self._pumping:
                self._pumping = True
                self.loop.call_soon(self._pump)
        else:
            self._inbound.append(item)
            if not self._woken:
                self._woken = True
                if not self.forked:  # in a fork nobody hears it; what it was for has been refused before
                    self._bell.ring()

    def _take_inbound(self) -> None:
        self._woken = False
        inbound, ready = self._inbound, self._ready
        while inbound:
            ready.append(inbound.popleft())
        if not self._pumping:
            self._pumping = True
            self._pump()

    def _pump(self) -> None:
        ready = self._ready
        try:
            for _ in range(_TURNS):
                if not ready:
                    self._pumping = False
                    return
                ready.popleft().run()
        except BaseException:
            self.running_actor = self.running_activity = None
            self.loop.call_soon(self._pump)
            raise
        if ready:
            self.loop.call_soon(self._pump)
        else:
            self._pumping = False

    def call_soon(self, callback: Callable[..., object], *args: Any) -> bool:
        """Call it on the loop, from any thread.  False if the loop is closed.

        Raises:
            ForkedError: the loop runs in the process of which this one is a fork.
        """
        if self.forked:
            raise ForkedError(self.name)
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            return False
        return True
