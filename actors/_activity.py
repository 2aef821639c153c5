"""One handler at work on the loop: a coroutine or a fiber, driven step by step without an asyncio task.

To asyncio an activity looks like the current task, so `asyncio.timeout`, `gather`, aiohttp or anyio work inside
(they ask for `current_task()` and call `cancel`, `cancelling`, `uncancel` on it).  It costs nothing that a handler
which never waits would not cost: no task, no future, no turn of the loop.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from actors._local import Fiber

if TYPE_CHECKING:
    from types import FrameType

    from actors._process import Process
    from actors._reply import Reply
    from actors._scheduler import Scheduler

__all__ = ["Activity"]

_PENDING: Any = object()


class Activity:
    """Runs `work` in `context` until it ends, then calls `finished(activity, value, error)` once, on the loop.

    `work` is a coroutine, or a function to run in a fiber (`fiber=True`).  Lives on one scheduler; everything but
    `wake` and `cancel_soon` is called in its thread.
    """

    __slots__ = (
        "__weakref__",
        "_awaited",
        "_cancels",
        "_fiber",
        "_in_fiber",
        "_must_cancel",
        "_queued",
        "_result",
        "_throw",
        "_timed_out",
        "_work",
        "actor",
        "context",
        "deferred",
        "finished",
        "message",
        "reply",
        "scheduler",
        "since",
        "thread",
    )

    thread: threading.Thread  # of the pool, that works for it; not set if there is none

    def __init__(
        self,
        scheduler: Scheduler,
        work: Coroutine[Any, Any, Any] | Callable[[], Any],
        context: Context,
        finished: Callable[[Activity, Any, BaseException | None], None],
        *,
        fiber: bool = False,
        actor: Process | None = None,
        message: Any = None,
        reply: Reply[Any] | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.since = scheduler.clock.time()
        self.context = context
        self.finished = finished
        self.actor = actor
        self.message = message
        self.reply = reply
        self.deferred = False
        self._work: Any = work
        self._fiber: Fiber | None = None
        self._awaited: Any = None
        self._throw: BaseException | None = None
        self._must_cancel = False
        self._timed_out = False
        self._cancels = 0
        self._queued = False
        self._result: Any = _PENDING  # (value, error) once it has ended
        self._in_fiber = fiber

    # -- the loop's side

    def run(self) -> None:
        """One step: from here to the next wait, or to the end.  A wake-up that no longer means anything is ignored."""
        self._queued = False
        if self._result is not _PENDING:
            return
        awaited = self._awaited
        if awaited is not None and self._throw is None and not self._timed_out and not awaited.done():
            return
        self._awaited = None
        scheduler = self.scheduler
        outer = scheduler.running_actor
        scheduler.running_actor = self.actor
        scheduler.running_activity = self
        _enter_task(scheduler.loop, self)  # type: ignore[arg-type]
        try:
            if self._in_fiber:
                fiber = self._fiber
                if fiber is None:
                    fiber = self._fiber = Fiber.take(scheduler.idle_fibers, scheduler.hub, self)
                fiber.switch()
                if self._result is _PENDING:
                    return
                fiber.gr_context = None
                value, error = self._result
            else:
                throw, self._throw = self._throw, None
                if throw is None:
                    awaited = self.context.run(self._work.send, None)
                else:
                    awaited = self.context.run(self._work.throw, throw)
                self._wait_for(awaited)
                return
        except StopIteration as end:
            value, error = end.value, None
        except BaseException as raised:  # noqa: BLE001  a handler's end, however it comes, is data for its actor
            value, error = None, raised
        finally:
            _leave_task(scheduler.loop, self)  # type: ignore[arg-type]
            scheduler.running_actor = outer
            scheduler.running_activity = None
        self._result = (value, error)
        self._work = self._fiber = None
        self.finished(self, value, error)

    def _wait_for(self, awaited: Any) -> None:
        if awaited is None:  # a bare yield, as asyncio.sleep(0) does: come back after the others
            if self._must_cancel:
                self._must_cancel = False
                self._throw = asyncio.CancelledError()
            self.wake()
            return
        self._awaited = awaited
        add_waiter = getattr(awaited, "_add_waiter", None)
        if add_waiter is not None:
            add_waiter(self)
        elif getattr(awaited, "_asyncio_future_blocking", None) is not None:
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self._future_done, context=self.context)
        else:
            self._awaited = None
            self._throw = RuntimeError(f"a handler awaited {awaited!r}, which is not awaitable on an asyncio loop")
            self.wake()
            return
        if self._must_cancel:
            self._must_cancel = False
            self._interrupt(asyncio.CancelledError())

    def _future_done(self, future: Any) -> None:
        if self._awaited is future:
            self.wake()

    def wake(self) -> None:
        """Put the next step on the ready queue.  Any thread."""
        if not self._queued:
            self._queued = True
            self.scheduler.enqueue(self)

    # -- the fiber's side

    def work_in_fiber(self) -> bool:
        """The fiber's own code.  False if the fiber itself has been told to end."""
        work = self._work
        try:
            if self._throw is not None:
                throw, self._throw = self._throw, None
                raise throw
            self._result = (work(), None)
        except BaseException as raised:  # noqa: BLE001  as in run()
            self._result = (None, raised)
            return not isinstance(raised, GreenletExit)
        return True

    def park(self, awaited: Any, timeout: float | None = None) -> None:
        """Called in the fiber: give way until `awaited` is done, `timeout` seconds have passed, or a cancel comes."""
        timer = None
        self._timed_out = False
        if timeout is not None:
            timer = self.scheduler.clock.call_later(max(timeout, 0), self._time_out, awaited)
        try:
            while not awaited.done():
                self._wait_for(awaited)
                self._fiber.parent.switch()  # type: ignore[union-attr]
                if self._throw is not None:
                    throw, self._throw = self._throw, None
                    raise throw
                if self._timed_out:
                    drop = getattr(awaited, "_drop_waiter", None)
                    if drop is not None:
                        drop(self)
                    return
        finally:
            self._timed_out = False
            if timer is not None:
                timer.cancel()

    def sleep(self, seconds: float) -> None:
        """Called in the fiber: give way for `seconds` of the scheduler's clock."""
        self._timed_out = False
        self._awaited = pause = _Pause()
        timer = self.scheduler.clock.call_later(seconds, self._time_out, pause)
        if self._must_cancel:
            self._must_cancel = False
            self._interrupt(asyncio.CancelledError())
        try:
            while not self._timed_out:
                self._fiber.parent.switch()  # type: ignore[union-attr]
                if self._throw is not None:
                    throw, self._throw = self._throw, None
                    raise throw
        finally:
            self._timed_out = False
            timer.cancel()

    def _time_out(self, awaited: Any) -> None:
        if self._awaited is awaited:
            self._timed_out = True
            self.wake()

    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Called in the fiber: run a coroutine to its end, parking wherever it waits."""
        throw: BaseException | None = None
        while True:
            try:
                awaited = coroutine.send(None) if throw is None else coroutine.throw(throw)
            except StopIteration as end:
                return end.value
            throw = None
            try:
                if awaited is None:
                    self._wait_for(None)
                    self._fiber.parent.switch()  # type: ignore[union-attr]
                    if self._throw is not None:
                        raise_now, self._throw = self._throw, None
                        raise raise_now
                else:
                    self.park(awaited)
            except BaseException as raised:  # noqa: BLE001  it belongs to the coroutine, which may catch it
                throw = raised

    # -- ending it from outside

    def _interrupt(self, error: BaseException) -> None:
        awaited, self._throw = self._awaited, error
        drop = getattr(awaited, "_drop_waiter", None)
        if drop is not None:
            drop(self)
        self.wake()

    def cancel(self, msg: Any = None) -> bool:
        """Raise `asyncio.CancelledError` at its next wait (now, if it waits).  False if it has ended.

        As with asyncio's tasks, what it waits for is cancelled first when that can be.
        """
        if self._result is not _PENDING:
            return False
        self._cancels += 1
        awaited = self._awaited
        if awaited is None:
            if self._in_fiber and self.scheduler.running_activity is not self:
                self._throw = asyncio.CancelledError()
                self.wake()
            else:
                self._must_cancel = True
        elif hasattr(awaited, "_add_waiter") or not awaited.cancel(msg=msg):
            self._interrupt(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True

    def kill(self) -> bool:
        """Raise at its wait right now, in the hub.  True if it has ended by the time this returns."""
        if self._result is not _PENDING:
            return True
        self.finished = _ignore
        awaited = self._awaited
        self._throw = asyncio.CancelledError("killed")
        self.run()
        if isinstance(awaited, asyncio.Future):
            awaited.cancel()
        return self._result is not _PENDING

    def ended(self) -> bool:
        """True once nothing of it can run any more."""
        return self._result is not _PENDING

    @property
    def frame(self) -> FrameType | None:
        """Where it stands, while it waits; for people to look at, never resumed through it."""
        if self._fiber is not None:
            return self._fiber.gr_frame
        return getattr(self._work, "cr_frame", None)

    # -- what libraries ask of asyncio's current task

    def cancelling(self) -> int:
        """asyncio.Task: how many cancels are pending."""
        return self._cancels

    def uncancel(self) -> int:
        """asyncio.Task: a cancel has been dealt with."""
        if self._cancels > 0:
            self._cancels -= 1
            if self._cancels == 0:
                self._must_cancel = False
        return self._cancels

    def done(self) -> bool:
        """asyncio.Task."""
        return self._result is not _PENDING

    def cancelled(self) -> bool:
        """asyncio.Task."""
        return self.done() and isinstance(self._result[1], asyncio.CancelledError)

    def get_coro(self) -> Any:
        """asyncio.Task."""
        return self._work

    def get_context(self) -> Context:
        """asyncio.Task."""
        return self.context

    def get_name(self) -> str:
        """asyncio.Task."""
        return f"{self.actor} {type(self.message).__name__}" if self.actor is not None else "activity"

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """asyncio.Task."""
        return self.scheduler.loop

    @property
    def _fut_waiter(self) -> Any:
        return None if hasattr(self._awaited, "_add_waiter") else self._awaited

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """asyncio.Task: anyio registers one to forget the task when it ends."""
        before = self.finished

        def finished(activity: Activity, value: Any, error: BaseException | None) -> None:
            before(activity, value, error)
            self.scheduler.loop.call_soon(callback, self, context=context)

        self.finished = finished

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        """asyncio.Task: callbacks stay until the end; none is removed."""
        return 0


class _Pause:
    """What a sleeping fiber waits for: nothing but time."""

    __slots__ = ()

    def done(self) -> bool:
        return False

    def cancel(self, msg: Any = None) -> bool:
        return False


def _ignore(activity: Activity, value: Any, error: BaseException | None) -> None:
    """The end of an activity whose actor is dead: nobody is told."""
