"""The end of an actor: one, whatever the way there, and everybody who is concerned learns of it once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors._errors import ActorCrashed, StartError, StopActor
from actors._exits import Crash, ExitReason
from actors._linked import Linked
from actors._links import GRAPH
from actors._post import State

if TYPE_CHECKING:
    from actors._reply import Reply

__all__ = ["Mortal"]


class Mortal(Linked):
    """The third layer of every kind of actor."""

    __slots__ = ("_answering", "_deferred", "_helpers", "_started", "_stops")

    _answering: Reply[Any] | None
    """Of the message that a handler works on right now, where nothing else holds it."""
    _deferred: set[Reply[Any]] | None
    """Answers that are owed: the handler has ended, or the actor is about to."""
    _stops: list[Reply[Any]] | None
    _started: Reply[Any] | None
    _helpers: set[threading.Thread] | None
    """Threads of the pool on which its handlers run."""

    def _die(self, reason: ExitReason) -> None:
        """The one end of this actor.  Afterwards it is dead for everybody.

        Order: orphans are noted, the reference is dead, names are free, askers are told, then links, then monitors.
        """
        with GRAPH:
            if self._state == State.DEAD:
                return
            ref = self._ref
            for thread in self._left_running():
                self.scheduler.add_orphan(ref, thread)
            was_starting = self._state < State.ALIVE
            self._state = State.DEAD
            ref.exit_reason = self.exit_reason = reason
            ref._process = None
            if ref._stopped is not None:
                ref._stopped.set()
            linked, monitors = self._leave_graph()
        self._cancel_quiet()
        self.scheduler.forget(self, reason)
        self._tell_askers(reason)
        if self._started is not None:
            self._started.set_exception(StartError(type(self), reason))
        for other in linked:
            if not (was_starting and self._started is not None and other._ref is self.parent):
                other.signal(("link", ref, reason))
        for monitor in monitors:
            monitor.fire(reason)
        for stop in self._stops or ():
            stop.set(True)

    def _tell_askers(self, reason: ExitReason) -> None:
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.set_exception(ActorCrashed(self._ref, reason))
        deferred, self._deferred = self._deferred, None
        for reply in list(deferred or ()):
            reply.set_exception(ActorCrashed(self._ref, reason))
        self._refuse_mail()
        self._refuse_signals()

    def _crash_reason(self, error: BaseException) -> ExitReason:
        return error.reason if isinstance(error, StopActor) else Crash.of(error)

    def _cancel_quiet(self) -> None:
        raise AssertionError("the layer that sets a receive timeout says how it is cancelled")

    # -- threads that may outlive it

    @contextmanager
    def _helping(self) -> Iterator[bool]:
        """Around a handler on a thread of the pool.  False if the actor is dead: then there is nothing to do.

        If it dies meanwhile the thread is an orphan until it leaves here.
        """
        thread = threading.current_thread()
        with GRAPH:  # a death comes before, and there is no handler, or after, and finds the thread
            alive = self._state != State.DEAD
            if alive:
                if self._helpers is None:
                    self._helpers = set()
                self._helpers.add(thread)
        try:
            yield alive
        finally:
            with GRAPH:
                if self._helpers is not None:
                    self._helpers.discard(thread)
                self.scheduler.orphan_returned(self._ref, thread)

    def _left_running(self) -> list[threading.Thread]:
        """The threads that work for it now and will not end with it.  The caller holds the graph's lock."""
        return list(self._helpers or ())
