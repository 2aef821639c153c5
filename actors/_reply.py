"""The answer to a message, not there yet: Pykka's future that also waits in fibers and on event loops."""

from __future__ import annotations

import asyncio
import sys
import threading
from _thread import LockType
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pykka
from greenlet import getcurrent

from actors._activity import Activity
from actors._errors import BlockingOnLoopError, Timeout
from actors._local import Fiber, here
from actors._log import logger

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["SETTING", "Reply"]

T = TypeVar("T")

_EAGER_TASKS = sys.version_info >= (3, 12)

# Guards the step from "not set" to "set" of every reply and the adding of waiters, a few bytecodes each time.
# One lock for all: a lock apiece would cost more memory than the reply itself.
SETTING = threading.Lock()


def _in_activity() -> bool:
    """True if an activity awaits: a handler, or what a scheduler was given to run."""
    scheduler = here.scheduler
    if scheduler is None or scheduler.running_activity is None:
        return False
    # Since Python 3.12 an eager task may run inside an activity's step; the awaiting one is then not ours.
    return not _EAGER_TASKS or scheduler.running_activity is cast("object", asyncio.current_task())


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], reply: object) -> None:
    """A reply has come, in whatever thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(_arrived, future)


def _arrived(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Reply(pykka.Future[T]):
    """The answer to come, settable once, readable many times, from anywhere.

    `get` blocks a thread and parks a fiber; on a scheduler's bare loop it raises `BlockingOnLoopError`, since the
    loop would wait for itself.  `await` works on any asyncio loop.  Setting is thread-safe; the first one counts
    and any later one is dropped, as a reply that comes after a timeout must be.
    """

    _done = False
    _value: Any = None
    _exception: BaseException | None = None
    _traceback: TracebackType | None = None
    _waiters: list[Any] | None = None
    _get_hook: Any = None
    _sources: tuple[pykka.Future[Any], ...] = ()

    def __init__(self) -> None:
        """Nothing is stored until there is something to store: a million replies may be waiting."""

    def __repr__(self) -> str:
        if not self._done:
            return "<Reply pending>"
        return f"<Reply {self._value!r}>" if self._exception is None else f"<Reply raises {self._exception!r}>"

    @classmethod
    def of(cls, value: T) -> Reply[T]:
        """A reply that is already there."""
        reply = cls()
        reply._value = value
        reply._done = True
        return reply

    @classmethod
    def failed(cls, error: BaseException) -> Reply[T]:
        """A reply that is already there and raises."""
        reply = cls()
        reply._exception = error
        reply._traceback = error.__traceback__
        reply._done = True
        return reply

    def done(self) -> bool:
        """True when `get` would not wait."""
        return self._done

    def exception(self) -> BaseException | None:
        """The error that `get` would raise; None while pending or when the value is there."""
        return self._exception

    # -- setting

    def set(self, value: T | None = None) -> bool:  # type: ignore[override]
        """Answer with `value`.  False, and no effect, if the reply was set already."""
        with SETTING:
            if self._done:
                return False
            self._value = value
            self._done = True
            waiters = self._waiters
        if waiters is not None:
            self._wake(waiters)
        return True

    def set_exception(self, exc_info: Any = None) -> bool:  # type: ignore[override]
        """Answer with an error: an exception, Pykka's `exc_info` triple, or the exception being handled now."""
        if exc_info is None:
            exc_info = sys.exc_info()
        if isinstance(exc_info, tuple):
            kind, error, traceback = exc_info
            if error is None:
                error = kind()
        else:
            error, traceback = exc_info, exc_info.__traceback__
        with SETTING:
            if self._done:
                return False
            self._exception = error
            self._traceback = traceback
            self._done = True
            waiters = self._waiters
        if waiters is not None:
            self._wake(waiters)
        return True

    def _wake(self, waiters: list[Any]) -> None:
        self._waiters = None
        for waiter in waiters:
            if type(waiter) is Activity:
                waiter.wake()
            elif type(waiter) is LockType:
                try:
                    waiter.release()
                except RuntimeError:
                    pass  # an exit signal ended that wait at the same moment
            else:
                try:
                    waiter(self)
                except Exception:  # noqa: BLE001  its fault must not keep the others waiting
                    logger("actors").exception("a callback of a reply raised", reply=repr(self))

    def _add_waiter(self, waiter: Activity | LockType | Callable[[Reply[T]], object]) -> None:
        with SETTING:
            if not self._done:
                if self._waiters is None:
                    self._waiters = [waiter]
                else:
                    self._waiters.append(waiter)
                return
        self._wake([waiter])

    def _drop_waiter(self, waiter: object) -> None:
        with SETTING:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)

    def add_done_callback(self, callback: Callable[[Reply[T]], object]) -> None:
        """Call `callback(self)` once the reply is there: now if it is, else in the thread that sets it.

        The callback must be quick.  If it raises, that is logged.
        """
        if self._sources:
            for source in self._sources:
                if isinstance(source, Reply) and not source.done():
                    source.add_done_callback(lambda _: self.add_done_callback(callback))
                    return
            self._run_hook(0)
        self._add_waiter(callback)

    # -- getting

    def get(self, *, timeout: float | None = None) -> T:
        """The value; raises the error if the reply is one.

        Waits at most `timeout` seconds, then raises `Timeout`; a thread blocks, a fiber parks.

        Raises:
            Timeout: it is not there in time.  It may still come.
            BlockingOnLoopError: called on a scheduler's loop outside a fiber.
            asyncio.CancelledError: the waiting actor was killed or told to end.
        """
        if not self._done:
            if self._get_hook is not None:
                self._run_hook(timeout)
            else:
                self._wait(timeout)
        if self._exception is not None:
            raise self._exception.with_traceback(self._traceback)
        return cast("T", self._value)

    def _run_hook(self, timeout: float | None) -> None:
        try:
            value = self._get_hook(timeout)
        except Timeout:
            raise
        except Exception as error:  # noqa: BLE001  whatever a mapped function raises is the answer
            self.set_exception(error)
        else:
            self.set(value)

    def _wait(self, timeout: float | None) -> None:
        running = getcurrent()
        if type(running) is Fiber:
            running.activity.park(self, timeout)
        elif here.scheduler is not None:
            raise BlockingOnLoopError("Reply.get()")
        else:
            self._block(timeout)
        if not self._done:
            raise Timeout(f"no reply within {timeout} s")

    def _block(self, timeout: float | None) -> None:
        arrived = threading.Lock()
        arrived.acquire()
        patience = -1 if timeout is None else max(timeout, 0)
        actor = here.actor
        self._add_waiter(arrived)
        if actor is None:
            arrived.acquire(timeout=patience)
        else:
            with actor.interruptible(arrived):
                arrived.acquire(timeout=patience)
        if not self._done:
            self._drop_waiter(arrived)

    def __await__(self) -> Generator[Any, None, T]:
        # Handlers wait here by the thousand: right here, since a generator of its own would cost each of them memory.
        if not self._done:
            if self._sources:
                yield from self._await_sources()
            elif _in_activity():
                while not self._done:
                    yield self
            else:
                yield from self._await_elsewhere()
        if self._exception is not None:
            raise self._exception.with_traceback(self._traceback)
        return cast("T", self._value)

    def _await_elsewhere(self) -> Generator[Any, None, None]:
        """On an event loop that is not a scheduler's, or in a task of that loop."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        tell = partial(_tell, loop, future)
        self._add_waiter(tell)
        try:
            yield from future
        finally:
            if not self._done:
                self._drop_waiter(tell)

    def _await_sources(self) -> Generator[Any, None, None]:
        for source in self._sources:
            try:
                yield from source.__await__()
            except Exception:  # noqa: BLE001  the hook meets the same error and decides
                break
        self._run_hook(0)

    # -- Pykka's ways of deriving one future from others

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Pykka's hook: `func(timeout)` makes the value at the first `get`."""
        if self._done:
            raise RuntimeError("this reply has a value already: set its hook before the value")
        self._get_hook = func

    def _derived(self, hook: Callable[[float | None], Any], *sources: pykka.Future[Any]) -> Reply[Any]:
        reply: Reply[Any] = Reply()
        reply._get_hook = hook
        reply._sources = sources
        return reply

    def map(self, func: Callable[[T], Any]) -> Reply[Any]:
        """A reply with `func` applied to the value."""
        return self._derived(lambda timeout: func(self.get(timeout=timeout)), self)

    def filter(self, func: Callable[[Any], bool]) -> Reply[list[Any]]:  # type: ignore[override]
        """A reply with the items of an iterable value for which `func` is true."""
        return self._derived(lambda t: list(filter(func, cast("Iterable[Any]", self.get(timeout=t)))), self)

    def join(self, *futures: pykka.Future[Any]) -> Reply[list[Any]]:  # type: ignore[override]
        """A reply with the list of all values, this one first."""
        both = (self, *futures)
        return self._derived(lambda timeout: [future.get(timeout=timeout) for future in both], *both)

    def reduce(self, func: Callable[[Any, Any], Any], *args: Any) -> Reply[Any]:
        """A reply with `functools.reduce(func, value, *args)`."""
        import functools

        return self._derived(lambda t: functools.reduce(func, cast("Iterable[Any]", self.get(timeout=t)), *args), self)
