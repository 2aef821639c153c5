"""Sees when a handler holds the loop, and says which, where, and whether it waited or computed.

Erlang pre-empts a process after some 4,000 reductions; Python code on a loop runs until it waits.  The next best
thing is to know at once who did not, and to move that code to threads, as Erlang moves long work to dirty
schedulers.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors._scheduler import Scheduler

__all__ = ["Stall", "Watchdog"]


@dataclass(frozen=True, slots=True)
class Stall:
    """One handler held the loop: `seconds` so far; `waited` if its thread did not use the CPU meanwhile.

    Time that the thread spent queueing for the CPU of a busy machine counts as neither: it is nobody's fault here.
    """

    seconds: float
    cpu_seconds: float
    waited: bool
    actor: str | None
    message: str | None
    stack: str

    @property
    def where(self) -> str:
        """The innermost line of the stack: `sleep at shop.py:12`."""
        found = re.findall(r'File "([^"]+)", line (\d+), in (.+)', self.stack)
        if not found:
            return "unknown"
        path, line, function = found[-1]
        return f"{function} at {os.path.basename(path)}:{line}"


class Watchdog:
    """A thread that asks the loop for a sign of life every `stall_after / 2` seconds."""

    def __init__(self, scheduler: Scheduler, stall_after: float) -> None:
        self.stall_after = stall_after
        self._scheduler = scheduler
        self._beat = time.monotonic()
        self._answered = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"{scheduler.name}-watchdog", daemon=True)
        self.current: Stall | None = None

    def start(self) -> None:
        """Begin to watch.  The loop must run."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=2)

    def _sign(self) -> None:
        self._answered = True

    def _watch(self) -> None:
        scheduler = self._scheduler
        clock = _ThreadClock(scheduler.ident, scheduler.native_id)
        used, queued = 0.0, 0.0
        while not self._stop.wait(self.stall_after / 2):
            now = time.monotonic()
            if self._answered:
                self.current = None
                self._answered = False
                self._beat = now
                used, queued = clock.read()
                if not scheduler.call_soon(self._sign):
                    return
                continue
            used_now, queued_now = clock.read()
            held = now - self._beat - (queued_now - queued)
            if held >= self.stall_after:
                self._look(held, used_now - used, self.current is None)

    def _look(self, seconds: float, cpu: float, first: bool) -> None:
        scheduler = self._scheduler
        frame = sys._current_frames().get(scheduler.ident)
        activity, actor = scheduler.running_activity, scheduler.running_actor
        codes: list[CodeType] = []
        step = frame
        while step is not None:
            codes.append(step.f_code)
            step = step.f_back
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        message = activity.message if activity is not None else getattr(actor, "current_message", None)
        self.current = Stall(
            seconds,
            cpu,
            cpu < seconds / 2,
            str(actor) if actor is not None else None,
            type(message).__name__ if message is not None else None,
            stack,
        )
        if first:
            scheduler.stalled(self.current, codes)


class _ThreadClock:
    """How long a thread has computed, and how long it has queued for a CPU."""

    def __init__(self, ident: int, native_id: int) -> None:
        self._clock = time.pthread_getcpuclockid(ident) if hasattr(time, "pthread_getcpuclockid") else None
        self._schedstat = f"/proc/self/task/{native_id}/schedstat"  # Linux: ns on the CPU, ns in its queue, slices

    def read(self) -> tuple[float, float]:
        """Seconds on the CPU, seconds in its queue (0.0 where the system does not tell)."""
        try:
            with open(self._schedstat, "rb") as file:
                on_cpu, queued, _ = file.read().split()
            return int(on_cpu) / 1e9, int(queued) / 1e9
        except (OSError, ValueError):
            pass  # another system, or a thread that has ended
        try:
            return (time.clock_gettime(self._clock) if self._clock is not None else 0.0), 0.0
        except OSError:
            return 0.0, 0.0
