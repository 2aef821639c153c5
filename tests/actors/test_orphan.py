"""What is left of actors whose code could not be ended with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors import (
    ActorCrashed,
    ActorDeadError,
    AsyncActor,
    Killed,
    Scheduler,
    Shutdown,
    ThreadActor,
    blocking,
    concurrent,
    inspect,
)
from actors.testing import await_down, quiesce


class Deaf:
    """The handler of three actors that hear nothing while they work on a thread."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def work(self, message: Any) -> str:
        self.begun.set()
        self.go.wait(10)
        if message == "fail":
            raise ValueError("late")
        return "late"


class OnItsThread(ThreadActor):
    def __init__(self, deaf: Deaf) -> None:
        self.deaf = deaf

    def on_receive(self, message: Any) -> Any:
        return self.deaf.work(message)


class OverlappingOnThreads(OnItsThread):
    @concurrent
    def on_receive(self, message: Any) -> Any:
        return self.deaf.work(message)


class OnThePool(AsyncActor):
    def __init__(self, deaf: Deaf) -> None:
        self.deaf = deaf

    @blocking
    def on_receive(self, message: Any) -> Any:
        return self.deaf.work(message)


@pytest.fixture(params=[OnItsThread, OverlappingOnThreads, OnThePool])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    deaf = Deaf()
    yield deaf
    deaf.go.set()


def until(condition: Callable[[], bool]) -> None:
    """Threads end when they end: look again until they have."""
    patience = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        patience.wait(0.001)
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("message", ["answer", "fail"])
def test_a_thread_that_a_kill_cannot_end_is_an_orphan_until_it_returns_and_its_answer_is_counted(
    scheduler: Scheduler, kind: Any, deaf: Deaf, message: str
) -> None:
    ref = kind.start(deaf)
    answer = ref.call(message)
    assert deaf.begun.wait(5)
    seen: list[Any] = []
    ref.monitor(lambda _: seen.extend(scheduler.orphans))
    ref.kill()
    assert await_down(ref).reason == Killed()
    assert ref in [orphan.ref for orphan in seen]  # listed by the time its Down is there
    until(lambda: len(scheduler.orphans) == 1)  # an idle thread of the same actor returns at once
    (orphan,) = scheduler.orphans
    assert orphan.work.is_alive()
    assert str(orphan) == f"{ref} in thread {orphan.work.name!r}"
    assert inspect(ref).state == "fenced"
    with pytest.raises(ActorCrashed, match="killed"):
        answer.get(timeout=5)
    with pytest.raises(ActorDeadError, match="killed"):
        ref.tell("more")
    deaf.go.set()
    until(lambda: scheduler.orphans == [])
    until(lambda: scheduler.late_replies == 1)
    assert inspect(ref).state == "dead"
    assert isinstance(answer.exception(), ActorCrashed)


def test_an_exit_signal_leaves_the_same_orphans_where_a_thread_of_the_pool_is_deaf(
    scheduler: Scheduler, deaf: Deaf
) -> None:
    ref = OnThePool.start(deaf)
    ref.tell("x")
    assert deaf.begun.wait(5)
    ref.exit(Shutdown())
    assert await_down(ref).reason == Shutdown()
    assert [orphan.ref for orphan in scheduler.orphans] == [ref]
    deaf.go.set()
    until(lambda: scheduler.orphans == [] and scheduler.late_replies == 1)


def test_an_actor_that_ends_in_order_leaves_no_orphan(scheduler: Scheduler, kind: Any, deaf: Deaf) -> None:
    deaf.go.set()
    ref = kind.start(deaf)
    assert ref.ask("x", timeout=5) == "late"
    ref.stop(timeout=5)
    killed = kind.start(deaf)
    killed.kill()
    await_down(killed)
    until(lambda: scheduler.orphans == [])
    assert scheduler.late_replies == 0


def test_work_for_the_pool_that_has_not_begun_when_its_actor_dies_is_never_begun(
    scheduler: Scheduler, deaf: Deaf
) -> None:
    scheduler.threads.limit = 1
    holder, second = OnThePool.start(deaf), Deaf()
    late = OnThePool.start(second)
    holder.tell("x")
    assert deaf.begun.wait(5)
    answer = late.call("x")
    scheduler.submit(lambda: None).get(timeout=5)
    late.kill()
    with pytest.raises(ActorCrashed):
        answer.get(timeout=5)
    deaf.go.set()
    quiesce(scheduler)
    assert not second.begun.is_set()
    assert scheduler.orphans == []


def test_the_end_of_a_scheduler_names_the_orphans_that_it_leaves(deaf: Deaf) -> None:
    with Scheduler("leaving", shutdown_timeout=0.1) as scheduler:
        ref = OnThePool.start(deaf)
        ref.tell("x")
        assert deaf.begun.wait(5)
        ref.kill()
        await_down(ref)
    report = scheduler.shutdown()
    assert not report.clean
    assert any(str(ref) in orphan for orphan in report.orphans)
    deaf.go.set()
