"""Looking at actors from outside never asks them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actors import AsyncActor, Crash, Reply, Scheduler, ThreadActor, blocking, inspect
from actors._introspect import fenced, look


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler("looked at", stall_after=30.0) as scheduler:
        yield scheduler


class Waits(AsyncActor):
    def __init__(self, begun: threading.Event, release: Reply[None]) -> None:
        super().__init__()
        self.begun = begun
        self.release = release

    async def on_receive(self, message: Any) -> None:
        await self.inner()

    async def inner(self) -> None:
        self.begun.set()
        await self.release


class Blocks(ThreadActor):
    def __init__(self, begun: threading.Event, release: threading.Event) -> None:
        super().__init__()
        self.begun = begun
        self.release = release

    def on_receive(self, message: Any) -> None:
        self.begun.set()
        self.release.wait(10)


class Holds(AsyncActor):
    def __init__(self, begun: threading.Event, release: threading.Event) -> None:
        super().__init__()
        self.begun = begun
        self.release = release

    def on_receive(self, message: Any) -> None:
        self.begun.set()
        self.release.wait(10)


def test_an_idle_actor_runs_and_handles_nothing(scheduler: Scheduler) -> None:
    seen = look(AsyncActor.start(), stack=True)
    assert (seen.state, seen.mailbox, seen.message, seen.since, seen.stack) == ("running", 0, None, None, None)


def test_a_waiting_handler_is_shown_with_its_message_its_mail_and_the_chain_of_its_awaits(
    scheduler: Scheduler,
) -> None:
    begun, release = threading.Event(), Reply[None]()
    ref = Waits.start(begun, release)
    ref.tell("first")
    ref.tell("second")
    assert begun.wait(5)
    seen = look(ref, stack=True)
    release.set(None)
    assert (seen.state, seen.message, seen.mailbox) == ("running", "str", 1)
    assert seen.since is not None
    assert seen.since <= scheduler.clock.time()
    assert seen.stack is not None
    assert "on_receive" in seen.stack
    assert "inner" in seen.stack


def test_an_actor_that_blocks_its_own_thread_is_shown_where_it_blocks(scheduler: Scheduler) -> None:
    begun, release = threading.Event(), threading.Event()
    ref = Blocks.start(begun, release)
    ref.tell("stuck")
    assert begun.wait(5)
    seen = look(ref, stack=True)
    release.set()
    assert seen.message == "str"
    assert seen.since is not None
    assert seen.stack is not None
    assert "release.wait" in seen.stack


def test_an_actor_that_blocks_the_whole_loop_can_still_be_looked_at(scheduler: Scheduler) -> None:
    begun, release = threading.Event(), threading.Event()
    ref = Holds.start(begun, release)
    ref.tell("stuck")
    assert begun.wait(5)
    seen = look(ref, stack=True)
    release.set()
    assert seen.message == "str"
    assert seen.stack is not None
    assert "release.wait" in seen.stack


def test_a_suspended_actor_and_a_dead_one_are_told_apart(scheduler: Scheduler) -> None:
    ref = AsyncActor.start()
    ref.suspend()
    ref.inspect(lambda _: None).get(timeout=5)
    assert look(ref).state == "suspended"
    ref.kill()
    ref.down().get(timeout=5)
    assert look(ref).state == "dead"


def test_an_actor_killed_in_code_that_cannot_be_ended_is_fenced_until_that_returns(scheduler: Scheduler) -> None:
    begun, release = threading.Event(), threading.Event()
    ref = Blocks.start(begun, release)
    ref.tell("stuck")
    assert begun.wait(5)
    ref.kill()
    assert fenced(ref)
    thread = next(thread for thread in threading.enumerate() if thread.name == str(ref))
    release.set()
    thread.join(5)
    assert not fenced(ref)


def test_a_list_of_all_actors_shows_each_with_what_it_does(scheduler: Scheduler) -> None:
    begun, release = threading.Event(), Reply[None]()
    idle = AsyncActor.with_options(name="idle").start()
    busy = Waits.start(begun, release)
    busy.tell("work")
    busy.tell("more")
    held = AsyncActor.start()
    held.suspend()
    held.tell("later")
    assert begun.wait(5)
    held.inspect(lambda actor: None).get(timeout=5)
    infos = {info.id: info for info in scheduler.actors()}
    assert [infos[ref.id].state for ref in (idle, busy, held)] == ["idle", "running", "suspended"]
    assert [infos[ref.id].mailbox for ref in (idle, busy, held)] == [0, 1, 1]
    assert (infos[idle.id].name, infos[idle.id].message) == ("idle", None)
    assert (infos[busy.id].message, infos[busy.id].handled) == ("str", 1)
    assert infos[busy.id].actor_class == f"{__name__}.Waits"
    assert infos[busy.id].since is not None
    assert all(info.stack is None for info in infos.values())
    release.set(None)


def test_the_crashes_of_a_name_are_counted_over_its_incarnations(scheduler: Scheduler) -> None:
    for _ in range(3):
        ref = AsyncActor.with_options(name="worker").start()
        ref.exit(Crash("boom"))
        ref.down().get(timeout=5)
    ref = AsyncActor.with_options(name="worker").start()
    assert inspect(ref).crashes == 3


def test_a_dead_actor_whose_thread_goes_on_is_shown_as_fenced(scheduler: Scheduler) -> None:
    begun, release = threading.Event(), threading.Event()
    ref = Blocks.start(begun, release)
    ref.tell("block")
    assert begun.wait(5)
    ref.kill()
    ref.down().get(timeout=5)
    assert inspect(ref).state == "fenced"
    release.set()


def test_the_stack_of_a_handler_on_a_pool_thread_is_that_threads(scheduler: Scheduler) -> None:
    begun, release = threading.Event(), threading.Event()

    class OnPool(AsyncActor):
        @blocking
        def on_receive(self, message: Any) -> None:
            self.deep_inside()

        def deep_inside(self) -> None:
            begun.set()
            release.wait(10)

    ref = OnPool.start()
    ref.tell("block")
    assert begun.wait(5)
    assert "deep_inside" in (inspect(ref).stack or "")
    release.set()


def test_a_child_names_its_parent(scheduler: Scheduler) -> None:
    class Parent(AsyncActor):
        async def on_receive(self, message: Any) -> Any:
            return await AsyncActor.start_link()

    parent = Parent.start()
    child = parent.ask("start one", timeout=5)
    assert inspect(child).parent == str(parent)
