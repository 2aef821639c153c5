"""The scheduler: one thread with one event loop on which light actors take their turns."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from contextvars import Token, copy_context
from functools import cached_property
from threading import get_ident
from types import CodeType
from typing import Any, Self, TypeVar

from greenlet import getcurrent, greenlet

from actors._activity import Activity
from actors._bell import Bell
from actors._clock import Clock, LoopClock
from actors._default import LIVING
from actors._errors import ForkedError, NoSchedulerError
from actors._handlers import is_hosting
from actors._local import Fiber, chosen_scheduler, here
from actors._log import logger
from actors._population import Population
from actors._reply import Reply
from actors._shutdown import ShutdownReport, shut_down
from actors._threads import BlockingThreads
from actors._timers import Timers
from actors._watchdog import Stall, Watchdog

__all__ = ["Scheduler"]

T = TypeVar("T")


class Scheduler(Timers, Population):
    """Runs actors.  `with Scheduler() as scheduler:` starts it and, at the end, stops every actor in it.

    One daemon thread with an event loop; several schedulers may live in one process.  All time comes from `clock`
    and all chance from `rng`, so that tests can fix both.  `events` publishes what happens in it.
    """

    def __init__(
        self,
        name: str = "actors",
        *,
        clock: Clock | None = None,
        stall_after: float = 0.1,
        seed: int | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
        shutdown_timeout: float = 5.0,
    ) -> None:
        """
        Args:
            stall_after: seconds that one handler may hold the loop before `scheduler.stalled` is emitted.
            loop_factory: makes the event loop, for example `uvloop.new_event_loop`.
            shutdown_timeout: seconds that leaving the `with` block allows the actors to end.
        """
        Timers.__init__(self, name, clock if clock is not None else LoopClock())
        Population.__init__(self)
        self.rng = random.Random(seed)
        self.blocking: set[CodeType] = set()
        self.suspects: set[CodeType] = set()  # code run by handlers for others: marked in their place when it blocks
        self.hub: greenlet  # while the loop runs
        self.idle_fibers: list[Fiber] = []
        self.native_id = 0
        self.threads = BlockingThreads(name)
        self._loop_factory = loop_factory
        self._shutdown_timeout = shutdown_timeout
        self._watchdog = Watchdog(self, stall_after)
        self._submitted: dict[Activity, Reply[Any]] = {}
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None  # why the loop could not be made
        self._token: Token[Scheduler | None] | None = None
        self._report: ShutdownReport | None = None
        self._closing = threading.Lock()

    @cached_property
    def log(self) -> Any:
        """A structlog logger that names the scheduler."""
        return logger("actors", scheduler=self.name)

    # -- life

    @property
    def running(self) -> bool:
        """True from `start` to `shutdown`, in the process that started it."""
        return self._state == "running"

    def start(self) -> Self:
        """Start the thread and its loop.  Returns when actors can be started.

        Raises:
            NoSchedulerError: it was started before (a scheduler is used once), or no thread or loop can be had.
        """
        if self._state != "new":
            raise NoSchedulerError(f"scheduler {self.name!r} was started before: make a new one")
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=f"{self.name}-loop", daemon=True)
        self._state = "running"
        try:
            self._thread.start()
        except RuntimeError as error:
            self._state = "new"
            raise NoSchedulerError(f"no thread for scheduler {self.name!r}: {error}") from error
        ready.wait()
        if self._failure is not None:
            self._state = "closed"
            self._thread.join()
            raise NoSchedulerError(f"scheduler {self.name!r} did not start: {self._failure}") from self._failure
        LIVING.add(self)
        self._watchdog.start()
        return self

    def _run(self, ready: threading.Event) -> None:
        try:
            self.loop = self._loop_factory()
            here.scheduler = self
            self.clock.bind(self.loop)
            self._bell = Bell(self.loop, self._take_inbound)
        except Exception as error:  # noqa: BLE001  the loop's and the clock's makers are the user's; start() raises it
            self._failure = error
            if hasattr(self, "loop"):
                self.loop.close()
            ready.set()
            return
        asyncio.set_event_loop(self.loop)
        self.hub = getcurrent()
        self.ident = get_ident()
        self.native_id = threading.get_native_id()
        self.loop.call_soon(ready.set)
        try:
            self.loop.run_forever()
        finally:
            self._close_loop()

    def _close_loop(self) -> None:
        loop = self.loop
        self._bell.close()
        for fiber in self.idle_fibers:  # here: a fiber ends in the thread that it ran in, and never by itself
            fiber.throw()
        self.idle_fibers.clear()
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=1.0))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            here.scheduler = None
            self.ident = -1
            # greenlet looks for lost references to the main greenlet of a thread that has ended, and frees it under
            # the last holder if the garbage collector is just looking at that one: so we are no holder.
            del self.hub
            loop.close()

    def __enter__(self) -> Self:
        self.start()
        self._token = chosen_scheduler.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            chosen_scheduler.reset(self._token)
            self._token = None
        self.shutdown(self._shutdown_timeout)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        if self._token is not None:
            chosen_scheduler.reset(self._token)
            self._token = None
        await asyncio.to_thread(self.shutdown, self._shutdown_timeout)

    def shutdown(self, timeout: float = 5.0) -> ShutdownReport:
        """Stop all actors, then the loop and the threads, within `timeout` seconds.

        Actors without a living parent are told to shut down, the youngest first, one after the other; a supervisor
        takes its own children down.  What is left at the deadline is killed and named in the report.  Calling it
        again returns the same report.

        Raises:
            RuntimeError: called from the scheduler's own thread, which it has to wait for.
        """
        if get_ident() == self.ident:
            raise RuntimeError("shutdown() waits for the loop and cannot be called on it: call it from another thread")
        with self._closing:
            if self._report is None:
                self._report = shut_down(self, timeout)
            return self._report

    # -- work that is not an actor's

    def submit(self, work: Callable[..., Any] | Coroutine[Any, Any, Any], *args: Any) -> Reply[Any]:
        """Run a coroutine, an `async def` or, in a fiber, a plain function on the loop.  Any thread.

        The reply has its result.  Context variables are the caller's.  Work that is still going on when the scheduler
        shuts down is cancelled, after the actors have ended.
        """
        reply: Reply[Any] = Reply()
        context = copy_context()
        coroutine = work if asyncio.iscoroutine(work) else None
        if coroutine is None and asyncio.iscoroutinefunction(work):
            coroutine = work(*args)

        def finished(activity: Activity, value: Any, error: BaseException | None) -> None:
            self._submitted.pop(activity, None)
            if error is None:
                reply.set(value)
            else:
                reply.set_exception(error)

        try:
            self._check_running()
        except NoSchedulerError as error:
            if coroutine is not None:
                coroutine.close()
            return Reply.failed(error)
        if coroutine is not None:
            activity = Activity(self, coroutine, context, finished)
        else:
            activity = Activity(self, lambda: work(*args), context, finished, fiber=True)  # type: ignore[operator]
        self._submitted[activity] = reply
        activity.wake()
        return reply

    def run_blocking(self, function: Callable[..., T], *args: Any) -> Reply[T]:
        """Run a function that blocks, on a thread of the pool, in the caller's context.  Any thread.

        Raises:
            NoSchedulerError: the scheduler has been shut down, or no thread can be had.
        """
        reply: Reply[T] = Reply()
        context = copy_context()
        if self.forked:
            raise ForkedError(self.name)

        def work() -> None:
            try:
                value = context.run(function, *args)
            except BaseException as error:  # noqa: BLE001  whatever it raises is the answer
                reply.set_exception(error)
            else:
                reply.set(value)

        self.threads.run(work)
        return reply

    def is_blocking(self, function: Any) -> bool:
        """True if the watchdog, or somebody, has marked this function as one that blocks."""
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        return code in self.blocking

    def mark_blocking(self, function: Any) -> None:
        """From now on this handler runs on a thread."""
        self.blocking.add(getattr(function, "__func__", function).__code__)

    def stalled(self, stall: Stall, codes: list[CodeType]) -> None:
        """The watchdog's news.  In the watchdog's thread: the loop is not to be had at the moment."""
        actor = self.running_actor
        handler = type(actor).on_receive if actor is not None else None
        code = getattr(handler, "__code__", None)
        # Code that others run in their handlers is to blame itself: the innermost piece of it, not the handler.
        suspect = next((found for found in codes if found in self.suspects), None)
        if suspect is not None:
            code = suspect
        marked = (
            code is not None
            and code in codes
            and (suspect is not None or not (asyncio.iscoroutinefunction(handler) or is_hosting(handler)))
        )
        if marked and code is not None:
            self.blocking.add(code)
        self.log.warning(
            "scheduler.stalled",
            seconds=round(stall.seconds, 3),
            waited=stall.waited,
            actor=stall.actor,
            message=stall.message,
            moved_to_threads=marked,
            where=stall.where,  # the whole stack is in the event
        )
        if self.events.active:
            self.events.emit(
                "scheduler.stalled",
                {"seconds": stall.seconds, "cpu_seconds": stall.cpu_seconds},
                {
                    "actor": stall.actor,
                    "message": stall.message,
                    "waited": stall.waited,
                    "stack": stall.stack,
                    "moved_to_threads": marked,
                },
            )

    @property
    def stall(self) -> Stall | None:
        """The stall that goes on right now, or None."""
        return self._watchdog.current

    def __repr__(self) -> str:
        return f"<Scheduler {self.name!r} {self._state}, {len(self._actors)} actors>"
