"""Waiting until nothing moves: the moment at which a test may look."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from actors._errors import ActorError
from actors._local import here
from actors._messages import Down
from actors._process import Process, State
from actors._ref import ActorRef
from actors._scheduler import Scheduler
from actors._thread_actor import ThreadActor

__all__ = ["NotQuietError", "await_down", "quiesce"]

_QUIET_TURNS = 3  # of the loop; where its queue cannot be looked into, so many turns without work are taken as quiet


class NotQuietError(ActorError, AssertionError):
    """Something still moved when the time was up.  `busy` names it."""

    def __init__(self, timeout: float, busy: list[str]) -> None:
        self.busy = busy
        super().__init__(f"not quiet after {timeout} s: {', '.join(busy)}")


def await_down(ref: ActorRef[Any], timeout: float = 5.0) -> Down:
    """Wait until the actor has ended; its `Down`, with the true reason even if it had ended before.

    (A monitor that comes too late only learns `NoProcess`.)  In a coroutine write `await ref.down()` instead.

    Raises:
        Timeout: it did not end in time.
    """
    down = ref.down().get(timeout=timeout)
    return replace(down, reason=ref.exit_reason or down.reason)


def quiesce(*schedulers: Scheduler, timeout: float = 5.0) -> None:
    """Wait until all mail is handled and every actor of these schedulers is idle, or waits for something.

    A handler that awaits a reply, a timer or a socket counts as quiet; a thread that computes, or blocks in
    anything but `Reply.get`, does not.  Call it from a plain thread, such as the one that runs the test.

    Raises:
        NotQuietError: that was not so for a single moment of `timeout` seconds.
    """
    if here.scheduler is not None:
        raise ActorError("quiesce() waits for the loop and cannot run on it: call it in the test's own thread")
    deadline = time.monotonic() + timeout
    # Twice in a row, and without a message handled in between: one scheduler may wake another that was looked at.
    passes, handled = 0, -1
    while passes < 2:
        busy = [what for scheduler in schedulers for what in _busy(scheduler, deadline)]
        before, handled = handled, _handled(schedulers)
        passes = passes + 1 if not busy and handled == before else 0
        if time.monotonic() >= deadline and passes == 0:
            raise NotQuietError(timeout, busy or ["messages that follow each other without end"])
        if busy:
            time.sleep(0.0005)


def _handled(schedulers: tuple[Scheduler, ...]) -> int:
    return sum(actor._handled for scheduler in schedulers for actor in list(scheduler._actors.values()))


def _busy(scheduler: Scheduler, deadline: float) -> list[str]:
    if not scheduler.running:
        return []
    quiet = threading.Event()
    probe = _Probe(scheduler, quiet, deadline)
    if scheduler.call_soon(probe.turn) and not quiet.wait(max(0.001, deadline - time.monotonic())):
        probe.given_up = True
        stall = scheduler.stall
        return [f"the loop of {scheduler.name!r}" + (f", held by {stall.actor}" if stall is not None else "")]
    busy = [str(actor) for actor in list(scheduler._actors.values()) if _is_busy(actor)]
    busy += [f"the end of {actor}" for actor in list(scheduler.dying)]
    working = scheduler.threads.working
    if working:
        busy.append(f"{working} blocking call(s)")
    return busy


def _is_busy(actor: Process) -> bool:
    if not isinstance(actor, ThreadActor) or actor._state == State.DEAD:
        return False
    waiting = actor._waiting
    if waiting is not None and waiting.locked():  # not released yet: what it waits for has not come
        return False
    return not actor._resting or bool(actor._signals) or bool(actor._mail and not actor._suspended)


class _Probe:
    """Goes round with the loop until it has been idle for some turns."""

    def __init__(self, scheduler: Scheduler, quiet: threading.Event, deadline: float) -> None:
        self._scheduler = scheduler
        self._quiet = quiet
        self._deadline = deadline
        self._idle_turns = 0
        self.given_up = False

    def turn(self) -> None:
        scheduler = self._scheduler
        others = getattr(scheduler.loop, "_ready", ())
        idle = not (scheduler._ready or scheduler._inbound or others)
        self._idle_turns = self._idle_turns + 1 if idle else 0
        if self._idle_turns >= _QUIET_TURNS:
            self._quiet.set()
        elif not self.given_up:
            scheduler.loop.call_soon(self.turn)
