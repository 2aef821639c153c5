"""What the running thread is doing for whom.

One object a thread: `scheduler` is set in a scheduler's loop thread, `actor` in a thread that works for one actor.
A context variable carries the scheduler that `with Scheduler()` chose into everything started under it.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from actors._activity import Activity
    from actors._process import Process
    from actors._reply import Reply
    from actors._scheduler import Scheduler

__all__ = ["Fiber", "chosen_scheduler", "current_actor", "current_fiber", "here", "on_bare_loop"]


class _Here(threading.local):
    scheduler: Scheduler | None = None
    actor: Process | None = None
    reply: Reply[Any] | None = None


_IDLE_FIBERS = 1024  # kept for later, some 20 kB each: a thousand calls at once find theirs again

here = _Here()
chosen_scheduler: ContextVar[Scheduler | None] = ContextVar("actors.scheduler", default=None)


class Fiber(greenlet):
    """A greenlet that runs synchronous code on the loop and parks where it waits.

    It serves one activity after the other: a new greenlet costs twenty times as much as one that is there.
    """

    activity: Activity

    def __init__(self, hub: greenlet, idle: list[Fiber]) -> None:
        super().__init__(self._serve, hub)
        self._idle = idle
        self._hub = hub

    @classmethod
    def take(cls, idle: list[Fiber], hub: greenlet, activity: Activity) -> Fiber:
        """One that is idle, or a new one.  In the loop's thread, which fibers are bound to."""
        fiber = idle.pop() if idle else cls(hub, idle)
        fiber.activity = activity
        fiber.gr_context = activity.context
        return fiber

    def _serve(self) -> None:
        hub = self._hub
        while self.activity.work_in_fiber() and len(self._idle) < _IDLE_FIBERS:
            del self.activity
            self._idle.append(self)
            hub.switch()


def current_fiber() -> Fiber | None:
    """The fiber that calls, or None in a plain thread and on the bare loop."""
    running = getcurrent()
    return running if type(running) is Fiber else None


def current_actor() -> Process | None:
    """The actor on whose behalf this code runs, or None."""
    scheduler = here.scheduler
    return scheduler.running_actor if scheduler is not None else here.actor


def on_bare_loop() -> bool:
    """True where waiting would be waiting for oneself: in a scheduler's thread, outside a fiber."""
    return here.scheduler is not None and type(getcurrent()) is not Fiber
