"""Tasks: functions that run as supervised actors and whose answer somebody waits for (Elixir's Task.Supervisor)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Hashable, Iterable
from contextvars import Context, copy_context
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final, Generic, Literal, TypeVar

from actors import (
    ActorRef,
    AsyncActor,
    Down,
    ExitReason,
    Killed,
    Normal,
    Process,
    Reply,
    Scheduler,
    Shutdown,
    Timeout,
    blocking,
    current_actor,
    fiber,
    wait,
)
from supervision._dynamic import DynamicSupervisor
from supervision._errors import TaskFailedError, TaskOwnerError, TaskTimeoutError
from supervision._messages import StartChild
from supervision._spec import ChildSpec, Start

__all__ = ["Task", "TaskDone", "TaskExit", "TaskSupervisor", "async_", "async_nolink", "await_many", "start_task"]

T = TypeVar("T")

NO_INPUT: Final = object()


@dataclass(frozen=True, slots=True)
class TaskDone(Generic[T]):
    """A task has answered `value`."""

    value: T


@dataclass(frozen=True, slots=True)
class TaskExit:
    """A task has ended without an answer.  `input` is what it was given, if a stream was told to say so."""

    reason: ExitReason
    input: Any = NO_INPUT


class TaskSupervisor(DynamicSupervisor):
    """A DynamicSupervisor for tasks: temporary children that run a function and end.

    `async_` and `async_nolink` start one whose answer is wanted, `start_task` one that is just to run,
    `async_stream` one for each item of an iterable.
    """

    def __init__(self, id: Hashable = "tasks", **options: Any) -> None:
        super().__init__(id, **options)


class Task(Generic[T]):
    """A function that runs somewhere, for the actor that started it.

    `task.get(timeout=)` in a thread or fiber, `await task` elsewhere: the answer, or TaskFailedError, or
    TaskTimeoutError (the task goes on then and its answer is dropped).  Only the owner may wait, if it is an actor.
    """

    def __init__(self, owner: ActorRef[Any] | None, linked: bool) -> None:
        self.owner = owner
        self.linked = linked
        self.ref: ActorRef[Any] | None = None
        self.unwanted = False
        self.outcome: Reply[TaskDone[T] | TaskExit] = Reply()
        """What became of it.  Fails only if the task was not started, with the reason."""

    def __repr__(self) -> str:
        return f"<Task {self.ref} {self.outcome!r}>"

    def get(self, *, timeout: float | None = None) -> T:
        """The answer; waits as `Reply.get` does."""
        self._check_owner()
        try:
            return self._value(self.outcome.get(timeout=timeout))
        except Timeout:
            raise TaskTimeoutError(timeout or 0.0) from None

    def __await__(self) -> Generator[Any, Any, T]:
        self._check_owner()
        return self._value((yield from self.outcome.__await__()))

    def yield_(self, timeout: float, scheduler: Scheduler | None = None) -> Reply[TaskDone[T] | TaskExit | None]:
        """A reply with what became of it, or None if nothing has after `timeout` seconds; it goes on then."""
        self._check_owner()
        return _within(self.outcome, timeout, self._scheduler(scheduler), lambda: None)

    def shutdown(self, timeout: float | Literal["brutal_kill"] = 5.0) -> Reply[TaskDone[T] | TaskExit | None]:
        """End it, and reply when it has ended.

        TaskDone if it had answered, TaskExit if it ended otherwise than it was told to (killed after `timeout`
        seconds, for example), None if it has been shut down as wanted.
        """
        self._check_owner()
        owner = current_actor()
        if self.linked and owner is not None and self.ref is not None:
            owner.unlink(self.ref)
        result: Reply[TaskDone[T] | TaskExit | None] = Reply()

        def ended(outcome: Reply[TaskDone[T] | TaskExit]) -> None:
            error = outcome.exception()
            if error is not None:
                result.set_exception(error)
                return
            value = outcome.get()
            result.set(None if value == wanted else value)

        wanted = None if self.outcome.done() else TaskExit(Shutdown())
        if timeout == "brutal_kill" or self.ref is None:
            wanted = None if self.outcome.done() else TaskExit(Killed())
            self.kill()
        else:
            self.ref.exit(Shutdown())
            timer = self.ref.scheduler.call_later(timeout, self.ref.kill)
            self.outcome.add_done_callback(lambda _: timer.cancel())
        self.outcome.add_done_callback(ended)
        return result

    def kill(self) -> None:
        """End it at once, even if it has not begun yet."""
        self.unwanted = True
        if self.ref is not None:
            self.ref.kill()

    def _scheduler(self, given: Scheduler | None) -> Scheduler:
        if given is not None:
            return given
        if self.ref is not None:
            return self.ref.scheduler
        assert self.owner is not None, "a task that has not begun and belongs to nobody needs a scheduler"
        return self.owner.scheduler

    def _check_owner(self) -> None:
        if self.owner is not None:
            caller = current_actor()
            if caller is None or caller.actor_ref is not self.owner:
                raise TaskOwnerError(self.owner)

    def _value(self, outcome: TaskDone[T] | TaskExit) -> T:
        if isinstance(outcome, TaskExit):
            raise TaskFailedError(outcome.reason)
        return outcome.value

    def _ended(self, down: Down) -> None:
        self.outcome.set(TaskExit(down.reason))

    def _asked(self, started: Reply[Any]) -> None:
        error = started.exception()
        if error is not None:
            self.outcome.set_exception(error)


def _within(reply: Reply[Any], timeout: float, scheduler: Scheduler, late: Callable[[], Any]) -> Reply[Any]:
    """The reply, or what `late` returns if it is not there in time."""
    result: Reply[Any] = Reply()

    def done(outcome: Reply[Any]) -> None:
        timer.cancel()
        error = outcome.exception()
        if error is not None:
            result.set_exception(error)
        else:
            result.set(outcome.get())

    timer = scheduler.call_later(timeout, lambda: result.set(late()))
    reply.add_done_callback(done)
    return result


@dataclass(frozen=True, slots=True)
class Run:
    """A task to itself: begin."""


class _TaskActor(AsyncActor):
    """Runs one function, in the context of who asked for it, and ends."""

    def __init__(
        self,
        task: Task[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: Context,
    ) -> None:
        super().__init__()
        self.task = task
        self.function = function
        self.arguments = (args, kwargs)
        ref = self.actor_ref
        task.ref = ref
        ref.monitor(task._ended)
        if task.linked and task.owner is not None:
            self.link(task.owner)
        if task.unwanted:
            ref.kill()
        else:
            context.run(ref.tell, Run())

    def _answer(self, value: Any) -> None:
        self.task.outcome.set(TaskDone(value))
        self.exit(Normal())


class _CoroutineTask(_TaskActor):
    async def on_receive(self, message: Any) -> None:
        args, kwargs = self.arguments
        self._answer(await self.function(*args, **kwargs))


class _FiberTask(_TaskActor):
    @fiber
    def on_receive(self, message: Any) -> None:
        args, kwargs = self.arguments
        value = self.function(*args, **kwargs)
        self._answer(wait(value) if isawaitable(value) else value)


class _BlockingTask(_TaskActor):
    @blocking
    def on_receive(self, message: Any) -> None:
        args, kwargs = self.arguments
        self._answer(self.function(*args, **kwargs))


def launch(
    sup: ActorRef[Any],
    task: Task[Any],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    threaded: bool = False,
    options: dict[str, Any] | None = None,
) -> Reply[ActorRef[Any] | None]:
    """Ask the supervisor for a task."""
    kind = _BlockingTask if threaded else _CoroutineTask if asyncio.iscoroutinefunction(function) else _FiberTask
    start = Start(kind, (task, function, args, kwargs, copy_context()))
    name = getattr(function, "__name__", "task")
    started: Reply[Any] = sup.call(StartChild(ChildSpec(name, start, **{"restart": "temporary", **(options or {})})))
    started.add_done_callback(task._asked)
    return started


def _owner() -> ActorRef[Any] | None:
    actor: Process | None = current_actor()
    return actor.actor_ref if actor is not None else None


def async_(sup: ActorRef[Any], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Task[Any]:
    """Run `function(*args)` as a task linked to the calling actor: if one crashes, so does the other.

    A plain function runs in a fiber, an `async def` as it is.  Returns at once.
    """
    task: Task[Any] = Task(_owner(), linked=True)
    launch(sup, task, function, args, kwargs)
    return task


def async_nolink(
    sup: ActorRef[Any], function: Callable[..., Any], *args: Any, threaded: bool = False, **kwargs: Any
) -> Task[Any]:
    """Run `function(*args)` as a task whose crash is told to who waits for it, and hurts nobody.

    `threaded`: on a thread of the pool, for code that blocks.
    """
    task: Task[Any] = Task(_owner(), linked=False)
    launch(sup, task, function, args, kwargs, threaded)
    return task


def start_task(
    sup: ActorRef[Any], function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Reply[ActorRef[Any] | None]:
    """Run `function(*args)` as a task whose answer nobody waits for; the reply is its ref.  MaxChildrenError."""
    return launch(sup, Task(None, linked=False), function, args, kwargs)


def await_many(tasks: Iterable[Task[Any]], *, timeout: float | None = None) -> Reply[list[Any]]:
    """A reply with the answers in the order of `tasks`; the first failure fails it at once, as does the time.

    TaskFailedError, TaskTimeoutError (one time for all).
    """
    wanted = list(tasks)
    result: Reply[list[Any]] = Reply()
    missing = len(wanted)
    for task in wanted:
        task._check_owner()

    def one(outcome: Reply[Any]) -> None:
        nonlocal missing
        error = outcome.exception()
        if error is None and isinstance(outcome.get(), TaskExit):
            error = TaskFailedError(outcome.get().reason)
        if error is not None:
            result.set_exception(error)
            return
        missing -= 1
        if all(task.outcome.done() for task in wanted) and not result.done():
            result.set([task.outcome.get().value for task in wanted])  # type: ignore[union-attr]

    if not wanted:
        return Reply.of([])
    if timeout is not None:
        scheduler = wanted[0]._scheduler(None)
        timer = scheduler.call_later(timeout, lambda: result.set_exception(TaskTimeoutError(timeout)))
        result.add_done_callback(lambda _: timer.cancel())
    for task in wanted:
        task.outcome.add_done_callback(one)
    return result
