"""Links, monitors, exit signals, kills: every way to die, and who is told of it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from actors import (
    ActorCrashed,
    AsyncActor,
    Crash,
    Down,
    Exit,
    Ignore,
    Killed,
    NoProcess,
    Normal,
    Reply,
    Scheduler,
    Shutdown,
    StartError,
    ThreadActor,
    fiber,
    sleep,
)


def watcher(kind: Any) -> Any:
    """An actor that trusts nobody: traps exits, monitors and links what it is told to, and writes all down."""

    class Watcher(kind):
        def __init__(self) -> None:
            super().__init__()
            self.trap_exit = True
            self.got: list[Any] = []
            self.monitors: list[Any] = []

        def on_receive(self, message: Any) -> Any:
            match message:
                case ("monitor", ref):
                    self.monitors.append(self.monitor(ref))
                case ("demonitor", index):
                    self.demonitor(self.monitors[index])
                case ("link", ref):
                    self.link(ref)
                case ("unlink", ref):
                    self.unlink(ref)
                case ("start", cls):
                    return cls.start_link()
                case "got":
                    return list(self.got)
                case _:
                    self.got.append(message)
            return None

    return Watcher


def dying(kind: Any) -> Any:
    class Dying(kind):
        def on_receive(self, message: Any) -> Any:
            if message == "crash":
                raise ValueError("boom")
            if message == "exit":
                self.exit(Shutdown("enough"))
            if message == "stop":
                self.stop()
            if message == "system exit":
                raise SystemExit(3)
            if message == "cancelled":
                raise asyncio.CancelledError
            return message

        def on_stop(self) -> None:
            if getattr(self, "bad_end", False):
                raise OSError("cleanup")

        def spoil(self) -> None:
            self.bad_end = True

    return Dying


WAYS = {
    "a crash under tell": (lambda ref: ref.tell("crash"), Crash("ValueError", "boom")),
    "a crash under ask": (lambda ref: ref.call("crash"), Crash("ValueError", "boom")),
    "its own exit": (lambda ref: ref.tell("exit"), Shutdown("enough")),
    "its own stop": (lambda ref: ref.tell("stop"), Normal()),
    "a stop": (lambda ref: ref.stop(block=False), Normal()),
    "an exit signal": (lambda ref: ref.exit(Shutdown()), Shutdown()),
    "a kill": (lambda ref: ref.kill(), Killed()),
    "SystemExit": (lambda ref: ref.tell("system exit"), Crash("SystemExit", "3")),
    "a stray cancel": (lambda ref: ref.tell("cancelled"), Crash("CancelledError", "")),
    "on_stop raising": (lambda ref: (ref.proxy().spoil().get(), ref.stop(block=False)), Crash("OSError", "cleanup")),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_die_gives_each_monitor_exactly_one_down(actor_kind: Any, way: str) -> None:
    end, reason = WAYS[way]
    ref = dying(actor_kind).start()
    watch = watcher(actor_kind).start()
    watch.ask(("monitor", ref))
    watch.ask(("monitor", ref))
    outside = [ref.down(), ref.down()]
    end(ref)
    for down in outside:
        assert down.get(timeout=5).reason == reason
    assert [type(message) for message in watch.ask("got")] == [Down, Down]
    assert {message.reason for message in watch.ask("got")} == {reason}
    assert len({id(message.monitor) for message in watch.ask("got")}) == 2
    assert ref.exit_reason == reason
    assert not ref.is_alive()


def test_a_failing_on_start_is_one_down_and_a_start_error(actor_kind: Any) -> None:
    class Stillborn(actor_kind):
        def on_start(self) -> None:
            raise RuntimeError("no")

    reply = Stillborn.with_options().start_wait()
    with pytest.raises(StartError, match="no") as caught:
        reply.get(timeout=5)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert Stillborn.start().down().get(timeout=5).reason in (Crash("RuntimeError", "no"), NoProcess())


def test_the_end_of_the_loop_is_a_down_too() -> None:
    scheduler = Scheduler("short").start()
    with_loop = dying(AsyncActor).with_options(scheduler=scheduler).start()
    with_thread = dying(ThreadActor).with_options(scheduler=scheduler).start()
    downs = [with_loop.down(), with_thread.down()]
    assert scheduler.shutdown().clean
    assert [down.get(timeout=5).reason for down in downs] == [Shutdown(), Shutdown()]


def test_monitoring_the_dead_is_an_immediate_down(actor_kind: Any) -> None:
    ref = dying(actor_kind).start()
    ref.stop()
    watch = watcher(actor_kind).start()
    watch.ask(("monitor", ref))
    assert [message.reason for message in watch.ask("got")] == [NoProcess()]
    assert ref.down().get(timeout=5).reason == NoProcess()


def test_after_demonitor_no_down_comes_not_even_one_that_waits(actor_kind: Any) -> None:
    ref = dying(actor_kind).start()
    watch = watcher(actor_kind).start()
    watch.ask(("monitor", ref))
    watch.suspend()
    taken_down = watch.call(("demonitor", 0))
    ref.kill()
    ref.down().get(timeout=5)
    watch.resume()
    taken_down.get(timeout=5)
    got = watch.ask("got")
    assert got == [] or [type(message) for message in got] == [Down]  # it was handled before the demonitor
    ref = dying(actor_kind).start()
    watch.ask(("monitor", ref))
    watch.ask(("demonitor", 1))
    before = len(watch.ask("got"))
    ref.kill()
    ref.down().get(timeout=5)
    assert len(watch.ask("got")) == before


@pytest.mark.parametrize("way", WAYS)
def test_a_linked_actor_that_traps_gets_one_exit_message(actor_kind: Any, way: str) -> None:
    end, reason = WAYS[way]
    ref = dying(actor_kind).start()
    watch = watcher(actor_kind).start()
    watch.ask(("link", ref))
    watch.ask(("link", ref))
    end(ref)
    ref.down().get(timeout=5)
    got = watch.ask("got")
    assert [(type(message), message.ref, message.reason) for message in got] == [(Exit, ref, reason)]


def test_a_linked_actor_that_does_not_trap_dies_of_abnormal_ends_and_of_shutdowns_but_not_of_normal(
    actor_kind: Any,
) -> None:
    for way, (end, reason) in WAYS.items():
        ref, partner = dying(actor_kind).start(), dying(actor_kind).start()
        partner.inspect(lambda actor, ref=ref: actor.link(ref)).get(timeout=5)
        end(ref)
        ref.down().get(timeout=5)
        if reason == Normal():
            assert partner.ask("alive") == "alive", way
        else:
            assert partner.down().get(timeout=5).reason in (reason, NoProcess()), way
            assert partner.exit_reason == reason, way


def test_unlink_forgets_the_exit_that_waits(actor_kind: Any) -> None:
    ref = dying(actor_kind).start()
    watch = watcher(actor_kind).start()
    watch.ask(("link", ref))
    watch.ask(("unlink", ref))
    ref.kill()
    ref.down().get(timeout=5)
    assert watch.ask("got") == []


def test_linking_with_the_dead_is_an_exit_with_no_process(actor_kind: Any) -> None:
    ref = dying(actor_kind).start()
    ref.stop()
    watch = watcher(actor_kind).start()
    watch.ask(("link", ref))
    assert [message.reason for message in watch.ask("got")] == [NoProcess()]


def test_a_kill_cannot_be_trapped(actor_kind: Any) -> None:
    watch = watcher(actor_kind).start()
    watch.kill()
    assert watch.down().get(timeout=5).reason in (Killed(), NoProcess())
    assert watch.exit_reason == Killed()


def test_a_kill_ends_a_handler_that_waits_and_its_asker_learns_it_at_once(scheduler: Scheduler) -> None:
    begun = threading.Event()
    unwound = threading.Event()

    class Waiting(AsyncActor):
        async def on_receive(self, message: Any) -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                unwound.set()

    ref = Waiting.start()
    answer, queued = ref.call("x"), ref.call("y")
    assert begun.wait(5)
    ref.kill()
    for reply in (answer, queued):
        with pytest.raises(ActorCrashed, match="killed"):
            reply.get(timeout=5)
    assert unwound.wait(5)
    assert scheduler.orphans == []


def test_a_kill_ends_a_fiber_that_waits(scheduler: Scheduler) -> None:
    begun, unwound = threading.Event(), threading.Event()

    class Waiting(AsyncActor):
        @fiber
        def on_receive(self, message: Any) -> None:
            begun.set()
            try:
                sleep(3600)
            finally:
                unwound.set()

    ref = Waiting.start()
    answer = ref.call("x")
    assert begun.wait(5)
    ref.kill()
    with pytest.raises(ActorCrashed):
        answer.get(timeout=5)
    assert unwound.wait(5)


def test_a_coroutine_that_swallows_its_cancel_is_fenced(scheduler: Scheduler) -> None:
    begun, done = threading.Event(), threading.Event()

    class Stubborn(AsyncActor):
        async def on_receive(self, message: Any) -> str:
            begun.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)
            done.set()
            return "late"

    ref = Stubborn.start()
    answer = ref.call("x")
    assert begun.wait(5)
    ref.kill()
    with pytest.raises(ActorCrashed):
        answer.get(timeout=5)
    assert done.wait(5)
    scheduler.submit(asyncio.sleep(0.01)).get(timeout=5)
    assert scheduler.orphans == []
    assert scheduler.late_replies == 1


def test_an_exit_signal_that_is_not_trapped_unwinds_the_handler_before_the_down(actor_kind: Any) -> None:
    begun = threading.Event()
    order: list[str] = []
    never = dying(actor_kind).start()
    never.suspend()

    class Waiting(actor_kind):
        @fiber
        def on_receive(self, message: Any) -> None:
            begun.set()
            try:
                never.call("no answer").get()
            finally:
                order.append("unwound")

        def on_stop(self) -> None:
            order.append("on_stop")

    ref = Waiting.start()
    ref.monitor(lambda down: order.append("down"))
    ref.tell("x")
    assert begun.wait(5)
    ref.exit(Shutdown())
    assert ref.down().get(timeout=5).reason in (Shutdown(), NoProcess())
    assert order == ["unwound", "down"]
    never.resume()


def test_the_parents_signal_stops_an_actor_that_traps_after_on_stop(actor_kind: Any) -> None:
    ended: list[Any] = []

    class Child(actor_kind):
        def on_start(self) -> None:
            self.trap_exit = True

        def on_receive(self, message: Any) -> Any:
            return message

        def on_stop(self) -> None:
            ended.append(self.exit_reason)

    parent = watcher(actor_kind).start()
    child = parent.ask(("start", Child)).get(timeout=5)
    child.exit(Shutdown("stranger"))
    assert child.ask("alive") == "alive"
    child.exit(Shutdown("parent"), sender=parent)
    assert child.down().get(timeout=5).reason in (Shutdown("parent"), NoProcess())
    assert ended == [Shutdown("parent")]


def test_start_link_waits_for_on_start_and_names_the_parent(actor_kind: Any) -> None:
    class Child(actor_kind):
        async def on_start(self) -> None:
            self.ready = True

        def on_receive(self, message: Any) -> Any:
            return self.ready, self.parent

    parent = watcher(actor_kind).start()
    child = parent.ask(("start", Child)).get(timeout=5)
    assert child.ask("x") == (True, parent)


def test_start_link_of_an_actor_that_ignores_gives_none_and_one_that_fails_signals_nobody(actor_kind: Any) -> None:
    class Ignoring(actor_kind):
        def on_start(self) -> None:
            raise Ignore

    class Failing(actor_kind):
        def on_start(self) -> None:
            raise RuntimeError("no")

    parent = watcher(actor_kind).start()
    assert parent.ask(("start", Ignoring)).get(timeout=5) is None
    with pytest.raises(StartError):
        parent.ask(("start", Failing)).get(timeout=5)
    assert [message for message in parent.ask("got") if not isinstance(message.reason, Normal)] == []


def test_a_start_that_takes_too_long_is_an_error_and_a_kill(scheduler: Scheduler) -> None:
    class Slow(AsyncActor):
        async def on_start(self) -> None:
            await asyncio.sleep(3600)

    with pytest.raises(StartError, match="longer than"):
        Slow.with_options(timeout=0.01).start_wait().get(timeout=5)
    scheduler.submit(asyncio.sleep(0.01)).get()
    assert scheduler.refs() == []


def test_a_deferred_answer_fails_when_the_actor_ends_first(actor_kind: Any) -> None:
    class Deferring(actor_kind):
        def on_receive(self, message: Any) -> Any:
            if message == "later":
                self.kept = self.defer()
            elif message == "now":
                self.kept.set("here it is")
            return "never seen"

    ref = Deferring.start()
    answer = ref.call("later")
    ref.tell("now")
    assert answer.get(timeout=5) == "here it is"
    lost = ref.call("later")
    ref.tell("x")
    ref.stop()
    with pytest.raises(ActorCrashed):
        lost.get(timeout=5)


def test_fingerprints_name_the_place_and_not_the_message(actor_kind: Any) -> None:
    class Faulty(actor_kind):
        def on_receive(self, message: Any) -> None:
            if message == "elsewhere":
                raise ValueError("c")
            raise ValueError(message)

    crashes = []
    for message in ("a", "b", "elsewhere"):
        ref = Faulty.start()
        down = ref.down()
        ref.tell(message)
        crashes.append(down.get(timeout=5).reason)
    one, two, other = (crash.fingerprint for crash in crashes)
    assert one == two != other
    assert 'raise ValueError("c")' in crashes[2].traceback


def test_a_proxied_call_with_wrong_arguments_crashes_the_actor_and_nothing_else(actor_kind: Any) -> None:
    class Methods(actor_kind):
        async def coroutine(self, one: int) -> int:
            return one

        @fiber
        def fiber(self, one: int) -> int:
            return one

        def plain(self, one: int) -> int:
            return one

    for name in ("coroutine", "fiber", "plain"):
        ref = Methods.start()
        with pytest.raises(ActorCrashed) as caught:
            getattr(ref.proxy(), name)(1, 2, 3).get(timeout=5)
        assert isinstance(caught.value.__cause__, TypeError)
        assert not ref.is_alive()


def test_an_on_exit_that_raises_crashes_its_actor(actor_kind: Any) -> None:
    class Clumsy(actor_kind):
        def on_start(self) -> None:
            self.trap_exit = True

        def on_exit(self, ref: Any, reason: Any) -> None:
            raise LookupError("clumsy")

        def on_receive(self, message: Any) -> Any:
            return message

    ref = Clumsy.start()
    assert ref.ask("x") == "x"
    down = ref.down()
    ref.exit(Shutdown())
    assert down.get(timeout=5).reason == Crash("LookupError", "clumsy")


def test_an_actor_may_save_the_messages_that_it_had_not_taken_up(scheduler: Scheduler) -> None:
    saved: list[Any] = []

    class Saving(AsyncActor):
        async def on_receive(self, message: Any) -> Any:
            await Reply()

        def on_undelivered(self, message: Any, reply: Any, context: Any) -> bool:
            saved.append((message, reply))
            return message != "not this"

    ref = Saving.start()
    replies = [ref.call(message) for message in ("at work", "one", "not this", "two")]
    ref.inspect(lambda actor: None).get(timeout=5)
    ref.kill()
    for index in (0, 2):
        with pytest.raises(ActorCrashed):
            replies[index].get(timeout=5)
    assert [message for message, _ in saved] == ["one", "not this", "two"]
    assert [replies[1].done(), replies[3].done()] == [False, False]
    saved[0][1].set("kept")
    assert replies[1].get(timeout=5) == "kept"
