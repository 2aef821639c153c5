"""async_stream: a task for each item of an iterable, so many at a time, results as an iterator."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, Literal, TypeVar

from actors import ActorRef, Crash, ExitReason, Monitor, Process, Reply, Timer, current_actor
from supervision._errors import SpecError, TaskFailedError, TaskTimeoutError
from supervision._task import Task, TaskDone, TaskExit, launch

__all__ = ["TaskStream", "async_stream"]

T = TypeVar("T")

Result = TaskDone[Any] | TaskExit

TIMEOUT: ExitReason = Crash("timeout")
"""How a task of a stream is said to have ended that took too long."""


class TaskStream(Generic[T]):
    """What `async_stream` returns: iterate it with `for` (thread, fiber) or `async for`, once.

    Leaving the loop early kills the tasks that run, as does the end of the actor that iterates.  The input is pulled
    lazily: an item is taken when its task can start.
    """

    def __init__(
        self,
        sup: ActorRef[Any],
        items: Iterable[T],
        function: Callable[[T], Any],
        *,
        max_concurrency: int,
        ordered: bool,
        timeout: float | None,
        on_timeout: Literal["exit", "kill_task"],
        zip_input_on_exit: bool,
        link: bool,
    ) -> None:
        self._sup = sup
        self._items = items
        self._function = function
        self._free = max_concurrency
        self._ordered = ordered
        self._timeout = timeout
        self._on_timeout = on_timeout
        self._zip = zip_input_on_exit
        self._link = link
        self._running: dict[int, tuple[Task[Any], T, Timer | None]] = {}
        self._finished: deque[int] = deque()
        self._results: dict[int, Result] = {}
        self._arrivals: deque[int] = deque()
        self._bell: Reply[None] | None = None
        self._closed = False
        self._consumer: Process | None = None

    # ---- iterating

    def __iter__(self) -> Iterator[Result]:
        steps = self._steps()
        try:
            for result in steps:
                if isinstance(result, Reply):
                    result.get()
                else:
                    yield result
        finally:
            steps.close()

    async def __aiter__(self) -> AsyncIterator[Result]:
        steps = self._steps()
        try:
            for result in steps:
                if isinstance(result, Reply):
                    await result
                else:
                    yield result
        finally:
            steps.close()

    def _steps(self) -> Any:
        """Results, and replies to wait for.

        One finished task is looked at at a time and frees one place, so that the number of tasks started for so many
        results taken is a law.
        """
        consumer = self._consumer = current_actor()
        watch = consumer.actor_ref.monitor(lambda _: self._kill_all()) if consumer is not None else None
        items = iter(self._items)
        spawned = delivered = 0
        exhausted = False
        try:
            while True:
                ready = self._next_ready(delivered)
                if ready is not None:
                    delivered += 1
                    yield self._judged(ready)
                elif self._free and not exhausted:
                    try:
                        item = next(items)
                    except StopIteration:
                        exhausted = True
                        continue
                    yield self._spawn(spawned, item)
                    spawned += 1
                elif exhausted and delivered == spawned:
                    return
                else:
                    yield from self._await_one()
        finally:
            self._closed = True
            self._kill_all()
            _unwatch(watch)

    def _next_ready(self, delivered: int) -> Result | None:
        if self._ordered:
            return self._results.pop(delivered, None)
        return self._results.pop(self._arrivals.popleft()) if self._arrivals else None

    def _await_one(self) -> Iterator[Reply[None]]:
        while not self._finished:
            self._bell = Reply()
            if not self._finished:
                yield self._bell
            self._bell = None
        number = self._finished.popleft()
        task, item, timer = self._running.pop(number)
        if timer is not None:
            timer.cancel()
        self._free += 1
        result: Result = task.outcome.get()
        if isinstance(result, TaskExit) and self._zip:
            result = TaskExit(result.reason, item)
        self._results[number] = result
        if not self._ordered:
            self._arrivals.append(number)

    def _judged(self, result: Result) -> Result:
        if isinstance(result, TaskExit):
            if result.reason is TIMEOUT and self._on_timeout == "exit":
                raise TaskTimeoutError(self._timeout or 0.0)
            if self._link and self._consumer is None and result.reason is not TIMEOUT:
                raise TaskFailedError(result.reason)
        return result

    # ---- tasks

    def _spawn(self, number: int, item: T) -> Reply[None]:
        """Start a task; the reply is there when the supervisor has started it, or has not been able to."""
        task: Task[Any] = Task(None, linked=False)
        timer = None
        if self._timeout is not None:
            timer = self._sup.scheduler.call_later(self._timeout, self._too_late, task)
        self._free -= 1
        self._running[number] = (task, item, timer)
        begun: Reply[None] = Reply()
        started = launch(self._sup, task, self._function, (item,), {})
        started.add_done_callback(lambda _: begun.set(None))
        task.outcome.add_done_callback(lambda outcome: self._notice(number, outcome))
        return begun

    def _notice(self, number: int, outcome: Reply[Any]) -> None:
        self._finished.append(number)
        if self._link and self._consumer is not None and not self._closed and outcome.exception() is None:
            self._pass_on(outcome.get())
        bell = self._bell
        if bell is not None:
            bell.set(None)

    def _pass_on(self, result: Result) -> None:
        """A crash of a linked task goes to the consumer; one that traps exits finds it in the stream instead."""
        consumer = self._consumer
        if consumer is None or consumer.trap_exit or not isinstance(result, TaskExit):
            return
        if result.reason.abnormal and result.reason is not TIMEOUT:
            consumer.actor_ref.exit(result.reason)

    def _too_late(self, task: Task[Any]) -> None:
        if task.outcome.set(TaskExit(TIMEOUT)):
            task.kill()

    def _kill_all(self) -> None:
        for task, _, timer in list(self._running.values()):
            if timer is not None:
                timer.cancel()
            if not task.outcome.done():
                task.kill()


def _unwatch(watch: Monitor | None) -> None:
    if watch is not None:
        watch.active = False


def async_stream(
    sup: ActorRef[Any],
    items: Iterable[T],
    function: Callable[[T], Any],
    *,
    max_concurrency: int | None = None,
    ordered: bool = True,
    timeout: float | None = 5.0,
    on_timeout: Literal["exit", "kill_task"] = "exit",
    zip_input_on_exit: bool = False,
    link: bool = True,
) -> TaskStream[T]:
    """Run `function(item)` as a task under `sup` for each item, at most `max_concurrency` at a time (all cores).

    Yields TaskDone or TaskExit: in input order (`ordered`; finished results are kept back, tasks go on starting), or as
    they come.  `timeout` is seconds for each task: then TaskTimeoutError ends the stream, or with
    `on_timeout="kill_task"` there is a TaskExit in its place.  `zip_input_on_exit` puts the item into each TaskExit.
    With `link`, a crash of a task is a crash of the actor that iterates, unless it traps exits; outside actors it is a
    TaskFailedError.  SpecError for values that make no sense.
    """
    limit = max_concurrency if max_concurrency is not None else os.cpu_count() or 1
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise SpecError("max_concurrency", max_concurrency, "a whole number from 1 up")
    if on_timeout not in ("exit", "kill_task"):
        raise SpecError("on_timeout", on_timeout, "exit or kill_task")
    if timeout is not None and not timeout > 0:
        raise SpecError("timeout", timeout, "a number of seconds above 0, or None")
    return TaskStream(
        sup,
        items,
        function,
        max_concurrency=limit,
        ordered=ordered,
        timeout=timeout,
        on_timeout=on_timeout,
        zip_input_on_exit=zip_input_on_exit,
        link=link,
    )
