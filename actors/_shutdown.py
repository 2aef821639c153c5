"""The end of a scheduler: everything in it stops, in order and within a deadline, and what did not is named."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors._activity import Activity
from actors._default import LIVING
from actors._errors import NoSchedulerError
from actors._exits import Shutdown

if TYPE_CHECKING:
    from actors._scheduler import Scheduler

__all__ = ["ShutdownReport", "shut_down"]


@dataclass(frozen=True, slots=True)
class ShutdownReport:
    """What the end of a scheduler was like.  `killed` did not end within the deadline; `orphans` still run."""

    stopped: int
    killed: tuple[str, ...]
    orphans: tuple[str, ...]
    seconds: float

    @property
    def clean(self) -> bool:
        """True if everything ended by itself."""
        return not self.killed and not self.orphans


def shut_down(scheduler: Scheduler, timeout: float) -> ShutdownReport:
    """End everything on `scheduler`, which says in `Scheduler.shutdown` how.  From another thread than its own."""
    begin = time.monotonic()
    if scheduler._state != "running":
        if not scheduler.forked:
            scheduler._state = "closed"
        return ShutdownReport(0, (), (), 0.0)
    before = len(scheduler._actors)
    finished = threading.Event()
    scheduler.call_soon(lambda: _spawn(scheduler, finished, begin + timeout))
    finished.wait(timeout + 1.0)
    killed = tuple(str(actor) for actor in list(scheduler._actors.values()))
    for actor in list(scheduler._actors.values()):
        actor.signal(("kill", None, None))
    if killed:
        settled = threading.Event()
        scheduler.call_soon(lambda: scheduler.loop.call_soon(settled.set))
        settled.wait(0.5)
    scheduler._state = "closed"
    LIVING.discard(scheduler)
    scheduler._watchdog.stop()
    left = max(0.05, begin + timeout - time.monotonic())
    stuck = [thread.name for thread in scheduler.threads.close(left)]
    scheduler.call_soon(scheduler.loop.stop)
    assert scheduler._thread is not None
    scheduler._thread.join(left)
    if scheduler._thread.is_alive():
        stuck.append(scheduler._thread.name)
    for actor in list(scheduler._actors.values()):
        actor._die(Shutdown("the loop was shut down"))
    for reply in list(scheduler._submitted.values()):
        reply.set_exception(NoSchedulerError(f"scheduler {scheduler.name!r} was shut down before this was done"))
    orphans = (*(str(orphan) for orphan in list(scheduler._orphans)), *stuck)
    scheduler.events.close()
    return ShutdownReport(before - len(killed), killed, orphans, time.monotonic() - begin)


def _spawn(scheduler: Scheduler, finished: threading.Event, deadline: float) -> None:
    Activity(scheduler, _stop_all(scheduler, deadline), copy_context(), lambda *_: finished.set()).run()


async def _stop_all(scheduler: Scheduler, deadline: float) -> None:
    try:
        await _stop_actors(scheduler, deadline)
    finally:
        for activity in list(scheduler._submitted):
            activity.cancel()
        await asyncio.sleep(0)


async def _stop_actors(scheduler: Scheduler, deadline: float) -> None:
    while scheduler._actors and time.monotonic() < deadline:
        roots = [
            actor
            for actor in reversed(list(scheduler._actors.values()))
            if actor.parent is None or actor.parent._process is None
        ]
        for actor in roots or reversed(list(scheduler._actors.values())):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            down = actor._ref.down()
            actor.signal(("stop", None, Shutdown()))
            try:
                async with asyncio.timeout(left):
                    await down
            except TimeoutError:
                return
