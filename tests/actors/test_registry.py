"""Registries of actors: who is found, who may change what, and what happens when an owner ends."""

from __future__ import annotations

import asyncio
import threading

import pytest

from actors import ActorDeadError, ActorRef, AsyncActor, Crash, Exit, Killed, NameTakenError, Scheduler, ThreadActor
from actors._errors import ActorError
from actors._registry import NotRegisteredError, Registered, Registry, Unregistered
from actors.testing import await_down


@pytest.fixture
def scheduler():
    with Scheduler(name="registry") as scheduler:
        yield scheduler


class Doer(AsyncActor):
    """Does what it is told, in its own name."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.seen: list[object] = []

    def on_receive(self, message):
        if callable(message):
            return message(self)
        self.seen.append(message)
        return self.number


class ThreadDoer(ThreadActor):
    on_receive = Doer.on_receive
    __init__ = Doer.__init__


@pytest.fixture(params=[Doer, ThreadDoer], ids=["async", "thread"])
def doer(request):
    return request.param


def in_actor(ref: ActorRef, function):
    return ref.ask(lambda actor: function(), timeout=5)


def test_a_unique_key_belongs_to_one_actor_and_is_refused_even_to_that_one(scheduler, doer):
    registry, one, two = Registry(), doer.start(), doer.start()
    registry.register("k", 1, owner=one)
    for owner in (two, one):
        with pytest.raises(NameTakenError) as refused:
            registry.register("k", 2, owner=owner)
        assert refused.value.ref is one
    assert [(entry.owner, entry.value) for entry in registry.lookup("k")] == [(one, 1)]


def test_the_owner_is_the_calling_actor(scheduler, doer):
    registry, ref = Registry(), doer.start()
    in_actor(ref, lambda: registry.register("k", 1))
    assert registry.whereis("k") is ref
    assert in_actor(ref, registry.keys) == ["k"]
    assert in_actor(ref, lambda: registry.values("k")) == [1]


def test_without_an_actor_and_without_an_owner_nothing_is_registered(scheduler):
    with pytest.raises(ActorError, match="owner="):
        Registry().register("k")


def test_entries_are_gone_when_the_down_of_their_owner_is_there(scheduler, doer):
    registry, one, two = Registry(), doer.start(), doer.start()
    registry.register("k", owner=one)
    down = one.down()
    one.kill()
    down.get(timeout=5)
    assert registry.lookup("k") == ()
    registry.register("k", owner=two)
    assert registry.whereis("k") is two


def test_registering_an_actor_that_has_ended_is_refused_and_leaves_nothing(scheduler, doer):
    registry, ref = Registry(), doer.start()
    ref.stop()
    with pytest.raises(ActorDeadError):
        registry.register("k", owner=ref)
    assert registry.count() == 0


def test_the_entries_of_an_owner_that_ends_are_all_forgotten(scheduler, doer):
    registry, ref = Registry("duplicate"), doer.start()
    for number in range(3):
        registry.register(("k", number), owner=ref)
        registry.register("all", number, owner=ref)
    ref.stop()
    ref.down().get(timeout=5)
    assert registry.count() == 0


def test_duplicate_keys_hold_many_entries_and_dispatch_gives_them_all_at_once(scheduler, doer):
    registry, one, two = Registry("duplicate"), doer.start(), doer.start()
    for owner, value in ((one, 1), (one, 2), (two, 3)):
        registry.register("t", value, owner=owner)
    calls = []
    registry.dispatch("t", lambda entries: calls.append([entry.value for entry in entries]))
    assert calls == [[1, 2, 3]]
    assert registry.unregister("t", owner=one) == 2
    assert [(entry.owner, entry.value) for entry in registry.lookup("t")] == [(two, 3)]


def test_dispatch_to_nobody_calls_nothing(scheduler):
    Registry("duplicate").dispatch("none", lambda entries: pytest.fail("called"))


def test_only_the_entries_whose_value_is_accepted_are_taken_out(scheduler):
    registry, ref = Registry("duplicate"), Doer.start()
    for value in range(4):
        registry.register("k", value, owner=ref)
    assert registry.unregister("k", where=lambda value: value % 2, owner=ref) == 2
    assert registry.values("k", ref) == [0, 2]


def test_only_the_owner_changes_a_value(scheduler, doer):
    registry, one, two = Registry(), doer.start(), doer.start()
    registry.register("k", 1, owner=one)
    assert registry.update_value("k", lambda value: value + 1, owner=one) == (2, 1)
    with pytest.raises(NotRegisteredError):
        registry.update_value("k", lambda value: value + 1, owner=two)
    assert registry.lookup("k")[0].value == 2


def test_values_of_duplicate_keys_cannot_be_updated(scheduler):
    with pytest.raises(TypeError, match="unique"):
        Registry("duplicate").update_value("k", lambda value: value, owner=Doer.start())


def test_match_select_and_count_filter_by_value(scheduler):
    registry, ref = Registry("duplicate"), Doer.start()
    for key, value in (("a", 1), ("a", 2), ("b", 3)):
        registry.register(key, value, owner=ref)
    assert [entry.value for entry in registry.match("a", lambda value: value > 1)] == [2]
    assert registry.count_match("a", lambda value: value > 0) == 2
    assert sorted(entry.key for entry in registry.select(lambda entry: entry.value != 2)) == ["a", "b"]
    assert registry.count() == len(registry.select()) == 3


def test_an_actor_started_under_a_via_name_is_found_by_it_until_it_ends(scheduler, doer):
    registry = Registry()
    name = registry.via("a", "some value")
    ref = doer.with_options(name=name).start(5)
    assert name.ask("get", timeout=5) == 5
    name.tell("told")
    assert in_actor(ref, lambda: None) is None
    assert registry.lookup("a")[0].value == "some value"
    with pytest.raises(NameTakenError):
        doer.with_options(name=name).start(6)
    ref.stop()
    assert name.whereis() is None
    with pytest.raises(ActorDeadError):
        name.ask("get")
    with pytest.raises(ActorDeadError):
        name.tell("get")


def test_a_via_name_finds_the_successor(scheduler):
    name = scheduler.registry.via("a")
    Doer.with_options(name=name).start(1).stop()
    Doer.with_options(name="a").start(2)
    assert name.ask("get", timeout=5) == 2
    assert scheduler.whereis("a").name == "a"


def test_a_name_that_was_refused_does_not_stay_taken(scheduler):
    holder = Doer.with_options(name="a").start(1)
    with pytest.raises(NameTakenError):
        Doer.with_options(name="a").start(2)
    holder.stop()
    assert Doer.with_options(name="a").start(3).ask("get", timeout=5) == 3


def test_names_of_numbers_that_are_only_equal_differ(scheduler):
    refs = {type(name): Doer.with_options(name=name).start() for name in (1, 1.0, True)}
    assert scheduler.whereis(1.0) is refs[float]
    assert scheduler.whereis(True) is refs[bool]


def test_listeners_hear_of_entries_in_order_also_when_the_owner_ends(scheduler, doer):
    heard: list[object] = []
    listener = doer.start()
    registry = Registry(listeners=[heard.append, listener])
    ref = doer.start()
    registry.register("k", 1, owner=ref)
    registry.unregister("k", owner=ref)
    registry.register("l", 2, owner=ref)
    ref.stop()
    ref.down().get(timeout=5)
    expected = [
        Registered(registry, "k", ref, 1),
        Unregistered(registry, "k", ref),
        Registered(registry, "l", ref, 2),
        Unregistered(registry, "l", ref),
    ]
    assert heard == expected
    assert listener.ask(lambda actor: list(actor.seen), timeout=5) == expected


def test_closing_a_registry_signals_its_owners_as_the_end_of_a_linked_process_would(scheduler, doer):
    registry = Registry()
    plain, trapping, stranger = doer.start(), doer.with_options(trap_exit=True).start(), doer.start()
    registry.register("p", owner=plain)
    registry.register("t", owner=trapping)
    registry.close(Killed())
    assert await_down(plain).reason == Killed()
    assert trapping.ask(lambda actor: actor.seen, timeout=5) == [Exit(None, Killed())]
    assert stranger.is_alive()
    assert registry.count() == 0


def test_who_registers_while_dying_leaves_no_entry(scheduler):
    registry = Registry("duplicate")
    refs = [ThreadDoer.start() for _ in range(30)]
    threads = [threading.Thread(target=ref.kill) for ref in refs]
    for ref, thread in zip(refs, threads, strict=True):
        thread.start()
        try:
            registry.register("k", owner=ref)
        except ActorDeadError:
            continue
    for ref, thread in zip(refs, threads, strict=True):
        thread.join()
        ref.down().get(timeout=5)
    assert registry.count() == 0


def test_keys_must_be_of_a_known_kind():
    with pytest.raises(ValueError, match="'unique' or 'duplicate'"):
        Registry("some")


# -- locks


def test_waiters_get_a_lock_one_by_one_in_the_order_of_asking():
    registry = Registry()
    order: list[int] = []
    queued = []
    for number in range(5):
        turn = registry._locks.ask("k", None)
        turn.granted.add_done_callback(lambda _, number=number: order.append(number))
        queued.append(turn)
    assert order == [0]
    registry._locks.end("k", queued[2])  # gives up while it waits
    for number in (0, 1, 3, 4):
        registry._locks.end("k", queued[number])
        registry._locks.end("k", queued[number])
    assert order == [0, 1, 3, 4]
    assert registry._locks._queues == {}


def test_a_lock_excludes_the_same_key_only():
    registry = Registry()
    with registry.lock("k"), registry.lock(1), registry.lock(1.0):
        turn = registry._locks.ask("k", None)
        assert not turn.granted.done()
    assert turn.granted.done()


def test_a_lock_is_let_go_when_its_block_raises():
    registry = Registry()
    with pytest.raises(ZeroDivisionError), registry.lock("k"):
        raise ZeroDivisionError
    with registry.lock("k"):
        pass


def test_a_lock_object_is_for_one_taking():
    lock = Registry().lock("k")
    with lock:
        pass
    with pytest.raises(RuntimeError, match="another one"), lock:
        pass


def test_an_async_waiter_is_let_in_by_a_thread():
    registry = Registry()

    async def main() -> str:
        async with registry.lock("k"):
            return "in"

    holder = registry.lock("k")
    holder.__enter__()
    entered: list[str] = []
    thread = threading.Thread(target=lambda: entered.append(asyncio.run(main())))
    thread.start()
    assert entered == []
    holder.__exit__()
    thread.join(5)
    assert entered == ["in"]


def test_the_lock_of_an_actor_that_ends_goes_to_the_next_and_no_monitor_is_left(scheduler, doer):
    registry, ref = Registry(), doer.start()

    def take(actor):
        registry.lock("k").__enter__()

    def take_and_release(actor):
        with registry.lock("free"):
            pass
        return actor._monitors

    ref.ask(take, timeout=5)
    assert len(ref.ask(take_and_release, timeout=5)) == 1
    waiting = registry._locks.ask("k", None)
    assert not waiting.granted.done()
    ref.exit(Crash("boom"))
    waiting.granted.get(timeout=5)
