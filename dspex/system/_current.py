"""Which system this code belongs to: the call's, else the one chosen around it, else any that runs, else a default."""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING

from dspex.programs._call import chosen_system, current_call

if TYPE_CHECKING:
    from dspex.system._system import System

__all__ = ["chosen_system", "close_default_system", "current_system", "running_systems"]

# The one exception to "no module-level state": what runs in this process, and the system for programs that make none.
_running: list[System] = []
_default: System | None = None
_lock = threading.RLock()


def current_system() -> System:
    """The system that a call made here runs on.

    Inside a call it is that call's; inside `with System()` that one; elsewhere the one that was started last, since
    a thread of the user's own has not seen the `with`; and if none runs, a default system, started now and closed at
    exit.
    """
    call = current_call.get()
    if call is not None and call.system.running:
        return call.system
    system = chosen_system.get()
    if system is not None and system.running:
        return system
    for system in reversed(running_systems()):
        if system.running:
            return system
    return _default_system()


def running_systems() -> list[System]:
    """The systems of this process that run, in the order in which they were started."""
    with _lock:
        return list(_running)


def entered(system: System) -> None:
    """A system has been started."""
    with _lock:
        _running.append(system)


def left(system: System) -> None:
    """A system has been closed."""
    with _lock:
        if system in _running:
            _running.remove(system)


def _default_system() -> System:
    global _default
    from actors import default_scheduler
    from dspex.system._system import System

    with _lock:
        if _default is None or not _default.running:
            _default = System("default", scheduler=default_scheduler()).start()
            atexit.register(_default.close, 1.0)
        return _default


def close_default_system() -> None:
    """Close the default system, if one was started; the next call starts another."""
    global _default
    with _lock:
        system, _default = _default, None
    if system is not None:
        atexit.unregister(system.close)
        system.close()
