"""Tasks and streams: what the recordings do not show."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from actors import ActorRef, AsyncActor, Crash, Killed, Reply, Scheduler, Shutdown, fiber
from actors.testing import VirtualClock, no_leaks, quiesce
from supervision import (
    MaxChildrenError,
    SpecError,
    TaskDone,
    TaskExit,
    TaskFailedError,
    TaskSupervisor,
    TaskTimeoutError,
    async_,
    async_nolink,
    async_stream,
    await_many,
    count_children,
    start_task,
    which_children,
)

mood: ContextVar[str] = ContextVar("mood", default="none")


@pytest.fixture
def tasks(scheduler: Scheduler) -> ActorRef[Any]:
    ref = TaskSupervisor.start_link().get(timeout=5)
    assert ref is not None
    return ref


def fails() -> None:
    raise ValueError("bad")


async def answer(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def forever() -> None:
    await asyncio.Event().wait()


class Caller(AsyncActor):
    """Runs functions in fibers."""

    @fiber
    def on_receive(self, message: Any) -> Any:
        return message()


# ---- tasks


def test_a_task_may_be_a_coroutine_function_a_plain_one_or_one_that_blocks(tasks: ActorRef[Any]) -> None:
    assert async_nolink(tasks, answer, 1).get(timeout=5) == 1
    assert async_nolink(tasks, lambda: 2).get(timeout=5) == 2
    assert async_nolink(tasks, lambda: answer(3)).get(timeout=5) == 3
    here = threading.current_thread().name
    name = async_nolink(tasks, lambda: threading.current_thread().name, threaded=True).get(timeout=5)
    assert name not in (here, "test-loop")


def test_a_plain_task_may_wait_for_others_as_if_it_were_on_a_thread(tasks: ActorRef[Any]) -> None:
    release: Reply[str] = Reply()
    task = async_nolink(tasks, lambda: release.get())
    release.set("there")
    assert task.get(timeout=5) == "there"


def test_a_task_is_awaited_on_any_loop(tasks: ActorRef[Any]) -> None:
    async def main() -> Any:
        return await async_nolink(tasks, answer, 7)

    assert asyncio.run(main()) == 7


def test_the_context_variables_of_the_caller_reach_the_task(tasks: ActorRef[Any]) -> None:
    token = mood.set("calm")
    try:
        assert async_nolink(tasks, mood.get).get(timeout=5) == "calm"
        assert async_nolink(tasks, answer_mood).get(timeout=5) == "calm"
    finally:
        mood.reset(token)


async def answer_mood() -> str:
    return mood.get()


def test_a_crash_of_a_task_is_the_cause_of_the_error_of_who_waits(tasks: ActorRef[Any]) -> None:
    with pytest.raises(TaskFailedError) as caught:
        async_nolink(tasks, fails).get(timeout=5)
    assert caught.value.reason == Crash("ValueError", "bad")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_caller_that_is_no_actor_is_not_hurt_by_a_linked_task(tasks: ActorRef[Any]) -> None:
    with pytest.raises(TaskFailedError):
        async_(tasks, fails).get(timeout=5)


def test_the_end_of_the_caller_ends_its_linked_tasks(tasks: ActorRef[Any], scheduler: Scheduler) -> None:
    caller: ActorRef[Any] = Caller.start()
    task = caller.ask(lambda: async_(tasks, forever), timeout=5)
    quiesce(scheduler)
    caller.kill()
    assert task.outcome.get(timeout=5) == TaskExit(Killed())


def test_a_task_may_be_killed_before_it_has_begun(tasks: ActorRef[Any], scheduler: Scheduler) -> None:
    tasks.suspend()
    ran: list[int] = []
    task = async_nolink(tasks, ran.append, 1)
    stopping = task.shutdown()
    tasks.resume()
    assert stopping.get(timeout=5) is None
    quiesce(scheduler)
    assert ran == []
    assert count_children(tasks).get(timeout=5).active == 0


def test_a_full_supervisor_fails_the_task_with_the_reason(scheduler: Scheduler) -> None:
    tasks = TaskSupervisor.start_link(max_children=0).get(timeout=5)
    assert tasks is not None
    for wait in (
        lambda: async_nolink(tasks, answer, 1).get(timeout=5),
        lambda: async_nolink(tasks, answer, 1).yield_(5.0, scheduler).get(timeout=5),
        lambda: async_nolink(tasks, answer, 1).shutdown().get(timeout=5),
        lambda: await_many([async_nolink(tasks, answer, 1)]).get(timeout=5),
        lambda: start_task(tasks, fails).get(timeout=5),
        lambda: list(async_stream(tasks, [1], answer)),
    ):
        with pytest.raises(MaxChildrenError):
            wait()


def test_many_are_awaited_in_order_and_within_one_time() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock) as scheduler:
        tasks = TaskSupervisor.start_link().get(timeout=5)
        assert tasks is not None
        assert await_many([]).get(timeout=5) == []
        assert await_many([async_nolink(tasks, answer, n) for n in range(5)]).get(timeout=5) == [0, 1, 2, 3, 4]
        stuck = [async_nolink(tasks, answer, 1), async_nolink(tasks, forever)]
        quiesce(scheduler)
        late = await_many(stuck, timeout=3.0)
        clock.advance(2.9)
        assert not late.done()
        clock.advance(0.2)
        with pytest.raises(TaskTimeoutError):
            late.get(timeout=5)


def test_a_task_that_ignores_its_shutdown_is_killed_when_its_time_is_over() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock) as scheduler:
        tasks = TaskSupervisor.start_link().get(timeout=5)
        assert tasks is not None
        release: Reply[None] = Reply()

        async def ignores() -> None:
            while not release.done():
                try:
                    await release
                except asyncio.CancelledError:
                    continue

        task = async_nolink(tasks, ignores)
        quiesce(scheduler)
        result = task.shutdown(4.0)
        clock.advance(3.9)
        assert not result.done()
        clock.advance(0.2)
        assert result.get(timeout=5) == TaskExit(Killed())
        release.set(None)
        quiesce(scheduler)


def test_polling_a_task_does_not_end_it() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock) as scheduler:
        tasks = TaskSupervisor.start_link().get(timeout=5)
        assert tasks is not None
        release: Reply[int] = Reply()

        async def waits() -> int:
            return await release

        task = async_nolink(tasks, waits)
        quiesce(scheduler)
        polled = task.yield_(1.0)
        clock.advance(1.1)
        assert polled.get(timeout=5) is None
        release.set(3)
        assert task.yield_(1.0).get(timeout=5) == TaskDone(3)
        assert task.shutdown().get(timeout=5) == TaskDone(3)


# ---- streams


def test_a_stream_is_iterated_in_a_thread_in_a_fiber_and_with_async_for(tasks: ActorRef[Any]) -> None:
    def stream() -> Any:
        return async_stream(tasks, range(20), answer, max_concurrency=4)

    expected = [TaskDone(n) for n in range(20)]
    assert list(stream()) == expected
    caller: ActorRef[Any] = Caller.start()
    assert caller.ask(lambda: list(stream()), timeout=5) == expected

    async def main() -> list[Any]:
        return [result async for result in stream()]

    assert asyncio.run(main()) == expected


def test_never_more_tasks_run_than_allowed_and_the_input_is_pulled_as_places_come_free(
    tasks: ActorRef[Any],
) -> None:
    pulled = running = most = 0

    def items() -> Iterator[int]:
        nonlocal pulled
        for n in range(50):
            pulled += 1
            yield n

    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return n

    seen = 0
    for _ in async_stream(tasks, items(), work, max_concurrency=3):
        seen += 1
        assert pulled <= seen + 3 + 3
    assert seen == 50
    assert most <= 3


def test_unordered_results_come_as_tasks_finish(tasks: ActorRef[Any]) -> None:
    gates: list[Reply[int]] = [Reply() for _ in range(3)]

    async def work(n: int) -> int:
        return await gates[n]

    stream = iter(async_stream(tasks, range(3), work, max_concurrency=3, ordered=False))
    gates[2].set(2)
    assert next(stream) == TaskDone(2)
    gates[0].set(0)
    assert next(stream) == TaskDone(0)
    gates[1].set(1)
    assert list(stream) == [TaskDone(1)]


def test_leaving_the_loop_kills_what_runs(tasks: ActorRef[Any], scheduler: Scheduler) -> None:
    async def work(n: int) -> int:
        if n:
            await forever()
        return n

    for result in async_stream(tasks, range(4), work, max_concurrency=4):
        assert result == TaskDone(0)
        break
    quiesce(scheduler)
    assert which_children(tasks).get(timeout=5) == []


def test_leaving_an_async_loop_kills_what_runs(tasks: ActorRef[Any], scheduler: Scheduler) -> None:
    async def work(n: int) -> int:
        if n:
            await forever()
        return n

    async def main() -> None:
        results = aiter(async_stream(tasks, range(4), work, max_concurrency=4))
        assert await anext(results) == TaskDone(0)
        await results.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    quiesce(scheduler)
    assert which_children(tasks).get(timeout=5) == []


def test_the_end_of_the_consumer_kills_its_tasks(tasks: ActorRef[Any], scheduler: Scheduler) -> None:
    caller: ActorRef[Any] = Caller.start()
    caller.tell(lambda: list(async_stream(tasks, range(4), lambda n: forever(), max_concurrency=4, timeout=None)))
    quiesce(scheduler)
    assert count_children(tasks).get(timeout=5).active == 4
    caller.exit(Shutdown())
    caller.down().get(timeout=5)
    quiesce(scheduler)
    assert which_children(tasks).get(timeout=5) == []


def test_outside_actors_a_crash_in_a_linked_stream_is_raised(tasks: ActorRef[Any], scheduler: Scheduler) -> None:
    with pytest.raises(TaskFailedError):
        list(async_stream(tasks, [1], lambda _: fails()))
    assert list(async_stream(tasks, [1], lambda _: fails(), link=False)) == [TaskExit(Crash("ValueError", "bad"))]


def test_a_task_of_a_stream_that_takes_too_long_is_killed_and_told_in_its_place() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock) as scheduler:
        tasks = TaskSupervisor.start_link().get(timeout=5)
        assert tasks is not None
        caller: ActorRef[Any] = Caller.start()

        def work(n: int) -> Any:
            return forever() if n == 1 else n

        options: dict[str, Any] = {"max_concurrency": 2, "timeout": 3.0, "on_timeout": "kill_task"}
        results = caller.call(lambda: list(async_stream(tasks, range(3), work, zip_input_on_exit=True, **options)))
        quiesce(scheduler)
        clock.advance(2.9)
        assert not results.done()
        clock.advance(0.2)
        assert results.get(timeout=5) == [TaskDone(0), TaskExit(Crash("timeout"), 1), TaskDone(2)]
        assert which_children(tasks).get(timeout=5) == []


@pytest.mark.parametrize(
    ("field", "value"), [("max_concurrency", 0), ("max_concurrency", 1.5), ("timeout", 0), ("on_timeout", "wait")]
)
def test_a_wrong_option_of_a_stream_is_named(field: str, value: Any, tasks: ActorRef[Any]) -> None:
    with pytest.raises(SpecError) as caught:
        async_stream(tasks, [], answer, **{field: value})
    assert caught.value.field == field


def test_a_stream_leaves_no_timer_of_a_task_that_is_done() -> None:
    clock = VirtualClock()
    with Scheduler("test", clock=clock) as scheduler:
        tasks = TaskSupervisor.with_options(scheduler=scheduler).start_link().get(timeout=5)
        assert tasks is not None
        before = clock.pending
        assert len(list(async_stream(tasks, range(5), answer, timeout=3600.0))) == 5
        quiesce(scheduler)
        assert clock.pending == before
