"""The default scheduler, and what becomes of schedulers in a forked child.

The one exception to "no module-level state": the scheduler for programs that never make one, and the list of the
living ones that the fork hook needs.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING

from actors._links import GRAPH
from actors._reply import SETTING

if TYPE_CHECKING:
    from actors._scheduler import Scheduler

__all__ = ["LIVING", "default_if_running", "default_scheduler"]

LIVING: weakref.WeakSet[Scheduler] = weakref.WeakSet()
_default: Scheduler | None = None
_default_lock = threading.Lock()


def default_scheduler() -> Scheduler:
    """The scheduler for actors that are started outside any other.  Made at the first call, closed at exit."""
    global _default
    from actors._scheduler import Scheduler

    with _default_lock:
        if _default is None or not _default.running:
            _default = Scheduler("default").start()
            atexit.register(_default.shutdown, 1.0)
        return _default


def default_if_running() -> Scheduler | None:
    """The same, if it has been made."""
    scheduler = _default
    return scheduler if scheduler is not None and scheduler.running else None


def _before_fork() -> None:
    # What they guard must be whole in the child, and their holders, which are other threads, do not live there.
    _default_lock.acquire()
    GRAPH.acquire()
    SETTING.acquire()


def _after_fork() -> None:
    SETTING.release()
    GRAPH.release()
    _default_lock.release()


def _after_fork_in_child() -> None:
    global _default
    _after_fork()
    for scheduler in list(LIVING):
        scheduler.forked = True
        scheduler._state = "forked"
        scheduler.ident = -1
    _default = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
