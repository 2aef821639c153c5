"""A check that a piece of code leaves nothing running behind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from actors import _default
from actors._errors import ActorError

if TYPE_CHECKING:
    from actors._scheduler import Scheduler

__all__ = ["LeakError", "no_leaks"]


class LeakError(ActorError, AssertionError):
    """Something outlived the code that started it.  `left` names it."""

    def __init__(self, left: list[str]) -> None:
        self.left = left
        super().__init__("left running: " + "; ".join(left))


@contextmanager
def no_leaks(grace: float = 2.0) -> Iterator[None]:
    """Raise `LeakError` if the block leaves an actor, scheduler, task, thread or child process that it made.

    What is just ending gets `grace` seconds.  The default scheduler may stay, its actors not; and so may the idle
    threads of a scheduler's pool, which end by themselves.
    """
    before = _running()
    yield
    deadline = time.monotonic() + grace
    while left := {what: name for what, name in _running().items() if what not in before}:
        if time.monotonic() >= deadline:
            raise LeakError(sorted(left.values()))
        time.sleep(0.002)


def _running() -> dict[object, str]:
    """Everything that runs now: something to tell it by, and what to call it."""
    found: dict[object, str] = {}
    excused: set[threading.Thread] = set()
    for scheduler in list(_default.LIVING):
        if not scheduler.threads.working:
            excused.update(scheduler.threads.threads)
        if scheduler is _default._default:
            excused.update(thread for thread in (scheduler._thread, scheduler._watchdog._thread) if thread is not None)
        else:
            found[scheduler] = f"scheduler {scheduler.name!r}"
        found.update({ref: f"actor {ref}" for ref in scheduler.refs()})
        found.update({task: f"task {task.get_name()!r}" for task in _tasks(scheduler)})
    for thread in threading.enumerate():
        if thread not in excused:
            found[thread] = f"thread {thread.name!r}"
    found.update({("process", pid): f"process {pid} {name}" for pid, name in _children()})
    return found


def _tasks(scheduler: Scheduler) -> set[asyncio.Task[object]]:
    for _ in range(3):
        try:
            return asyncio.all_tasks(scheduler.loop)
        except RuntimeError:  # the set of all tasks changed under our hands, in the loop's thread
            continue
    return set()


def _children() -> Iterator[tuple[int, str]]:
    """Child processes.  On Linux from /proc, which also shows zombies; elsewhere multiprocessing's own."""
    mine = multiprocessing.active_children()  # reaps those that have ended
    if not Path("/proc/self/stat").exists():
        yield from ((child.pid, child.name) for child in mine if child.pid is not None)
        return
    for pid in _child_pids():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has been reaped meanwhile
        # multiprocessing starts its resource tracker once and keeps it until the interpreter exits.
        if b"resource_tracker" not in command:
            yield pid, f"{name} ({rest.split()[0]})"


def _child_pids() -> list[int]:
    tasks = [task / "children" for task in Path("/proc/self/task").iterdir()]
    if all(children.exists() for children in tasks):
        try:
            return [int(pid) for children in tasks for pid in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return _child_pids()  # a thread ended under our hands
    # A kernel without these files: look at the parent of every process there is.
    me, found = os.getpid(), []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == me:
            found.append(int(stat.parent.name))
    return found
