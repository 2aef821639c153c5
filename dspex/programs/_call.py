"""One call of a module: the message that its actor gets, and the handle by which it is ended early."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dspex._settings import _overlay
from dspex.programs._errors import DeadlineExceededError

if TYPE_CHECKING:
    from actors import Activity, Reply, TimerHandle
    from dspex.system._system import System

__all__ = ["Call", "chosen_system", "current_call", "settings_on", "working_on"]

_ABSENT = object()
_TICK = 0.002  # seconds: event loops may run a timer that much early


class Call:
    """A call on its way, at work, or over.

    Whoever waits for it ends it with `cancel`: what it has begun is cancelled at its next wait, down to the HTTP
    request.  `timeout` does the same when the time is up, and is then the error that the caller gets.
    """

    __slots__ = (
        "_activity",
        "_begun",
        "_timer",
        "args",
        "deadline",
        "error",
        "inputs",
        "module",
        "system",
        "timeout",
    )

    def __init__(
        self,
        system: System,
        module: Any,
        args: tuple[Any, ...],
        inputs: dict[str, Any],
        timeout: float | None = None,
    ) -> None:
        self.system = system
        self.module = module
        self.args = args
        self.inputs = inputs
        self.timeout = timeout
        self.deadline = None if timeout is None else system.scheduler.clock.time() + timeout
        self.error: BaseException | None = None
        self._activity: Activity | None = None
        self._begun: set[Callable[[], None]] | None = None
        self._timer: TimerHandle | None = None

    def begin(self, activity: Activity | None) -> None:
        """The actor has taken it up.  On the loop.  Raises what ended it, if something did meanwhile."""
        self._activity = activity
        if self.deadline is not None and self.error is None:
            clock = self.system.scheduler.clock
            left = self.deadline - clock.time()
            if left <= 0:
                self.error = self.too_late()
            else:
                self._timer = clock.call_later(left, self._expire)
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        """It is over.  On the loop."""
        self._activity = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._stop(self.too_late())

    def is_late(self) -> bool:
        """True when the time that it was given is up, give or take a tick of the loop's timers."""
        return self.deadline is not None and self.system.scheduler.clock.time() > self.deadline - _TICK

    def too_late(self) -> DeadlineExceededError:
        """What its caller gets when the time is up."""
        name = type(self.module).__name__
        return DeadlineExceededError(
            f"The call of {name} took longer than the {self.timeout:g} s that it was given, and was ended.",
            timeout=self.timeout,
        )

    def cancel(self) -> None:
        """Nobody waits for it any more: end it and all that it began.  Any thread; nothing if it is over."""
        scheduler = self.system.scheduler
        if threading.get_ident() == scheduler.ident:
            self._stop(asyncio.CancelledError())
        else:
            scheduler.call_soon(self._stop, asyncio.CancelledError())

    def _stop(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        if self._activity is not None:
            self._activity.cancel()
        for end in list(self._begun or ()):
            end()

    def wait(self, reply: Reply[Any]) -> Any:
        """The answer, for synchronous code; a caller that is interrupted ends the call."""
        try:
            return reply.get()
        except BaseException:
            self.abandon(reply)
            raise

    def abandon(self, reply: Reply[Any]) -> None:
        """Whoever waited for the answer is interrupted or cancelled: that ends the call, unless it is over."""
        if not reply.done():
            self.cancel()

    def adopt(self, end: Callable[[], None], reply: Reply[Any]) -> None:
        """Something begun on behalf of this call, over when ``reply`` is set: ``end`` ends it with this call.

        So what a thread of this call waits for is ended, which cannot be interrupted itself. Any thread; ``end`` must
        be quick. If this call has been ended, what it began is too.
        """
        if self._begun is None:
            self._begun = set()
        self._begun.add(end)
        reply.add_done_callback(lambda _: self._begun.discard(end))  # type: ignore[union-attr]
        if self.error is not None:
            end()

    def __repr__(self) -> str:
        return f"<Call {type(self.module).__name__}({', '.join(self.inputs)})>"


current_call: ContextVar[Call | None] = ContextVar("dspex.call", default=None)
"""The call that this code works for."""

chosen_system: ContextVar[System | None] = ContextVar("dspex.system", default=None)
"""The system whose `with` block is around this code."""


def settings_on(system: System) -> dict[str, Any]:
    """The settings made around this code over those of the system that is to do its work.

    What another system's `with` block around it has set is that system's, and stays behind.
    """
    outer = _overlay.get()
    chosen = chosen_system.get()
    if chosen is not None and chosen is not system:
        theirs = chosen.settings
        outer = {name: value for name, value in outer.items() if theirs.get(name, _ABSENT) is not value}
    return {**system.settings, **outer}


@contextmanager
def working_on(system: System) -> Iterator[None]:
    """With the settings that hold for work on this system: those of its own `with` block, also where that is not
    around this code, as in a thread of the user's own."""
    outer = _overlay.get()
    _overlay.set(settings_on(system))
    try:
        yield
    finally:
        _overlay.set(outer)
