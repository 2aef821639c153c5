"""What Pykka documents of its actors holds for both kinds of ours, but for the one difference that we document."""

from __future__ import annotations

import threading
import time
from typing import Any

import pykka
import pytest

from actors import ActorCrashed, ActorDeadError, Crash, Normal, Reject, Reply


def make(kind: Any) -> Any:
    class Subject(kind):
        greeting = "hello"

        def __init__(self, *values: Any, **named: Any) -> None:
            super().__init__()
            self.values = values
            self.named = named
            self.seen: list[Any] = []
            self.cat = "dog"
            self.box = pykka.traversable(Box())

        def on_start(self) -> None:
            self.started_in = threading.current_thread()

        def on_receive(self, message: Any) -> Any:
            self.seen.append(message)
            if message == "raise":
                raise ValueError("asked to")
            if message == "reject":
                raise Reject(KeyError("asked to"))
            return {"echo": message}

        def double(self, number: int) -> int:
            return number * 2

        async def later(self, number: int) -> int:
            return number + 1

        def fail(self) -> None:
            raise LookupError("no such thing")

        def where(self) -> threading.Thread:
            return self.started_in

        def history(self) -> list[Any]:
            return list(self.seen)

    return Subject


class Box:
    def __init__(self) -> None:
        self.content = "ball"

    def open(self) -> str:
        return self.content


@pytest.fixture
def subject(actor_kind: Any) -> Any:
    return make(actor_kind)


def test_start_passes_its_arguments_to_the_constructor(subject: Any) -> None:
    proxy = subject.start(1, 2, three=3).proxy()
    assert proxy.values.get() == (1, 2)
    assert proxy.named.get() == {"three": 3}


def test_a_ref_is_a_pykka_ref_and_an_actor_a_pykka_actor(subject: Any) -> None:
    ref = subject.start()
    assert isinstance(ref, pykka.ActorRef)
    assert issubclass(subject, pykka.Actor)
    assert isinstance(ref.ask("x", block=False), pykka.Future)


def test_every_actor_has_a_urn_of_its_own(subject: Any) -> None:
    urns = {subject.start().actor_urn for _ in range(20)}
    assert len(urns) == 20


def test_ask_gives_the_return_value_of_the_handler(subject: Any) -> None:
    assert subject.start().ask("a") == {"echo": "a"}


def test_ask_without_blocking_gives_a_future(subject: Any) -> None:
    future = subject.start().ask("a", block=False)
    assert future.get(timeout=5) == {"echo": "a"}
    assert future.get() == {"echo": "a"}


def test_messages_of_one_sender_are_handled_in_the_order_they_were_sent(subject: Any) -> None:
    ref = subject.start()
    for number in range(300):
        if number % 3:
            ref.tell(number)
        else:
            ref.ask(number, block=False)
    assert ref.proxy().history().get(timeout=5) == list(range(300))


def test_tell_gives_nothing_back(subject: Any) -> None:
    assert subject.start().tell("a") is None


def test_a_proxy_calls_methods_reads_and_sets_attributes(subject: Any) -> None:
    proxy = subject.start().proxy()
    assert proxy.double(4).get() == 8
    assert proxy.later(4).get() == 5
    assert proxy.cat.get() == "dog"
    proxy.cat = "mouse"
    assert proxy.cat.get() == "mouse"
    assert proxy.greeting.get() == "hello"
    assert proxy.box.open().get() == "ball"
    assert proxy.box.content.get() == "ball"


def test_a_deferred_proxy_call_gives_nothing_back(subject: Any) -> None:
    proxy = subject.start().proxy()
    assert proxy.double.defer(2) is None


def test_a_proxy_has_no_attribute_that_the_actor_lacks(subject: Any) -> None:
    with pytest.raises(AttributeError):
        _ = subject.start().proxy().nothing_of_the_kind


def test_a_proxy_of_a_dead_actor_is_refused(subject: Any) -> None:
    ref = subject.start()
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


def test_stop_is_true_for_a_living_actor_and_false_for_a_dead_one(subject: Any) -> None:
    ref = subject.start()
    assert ref.stop() is True
    assert ref.stop() is False
    assert ref.stop(block=False).get() is False
    assert not ref.is_alive()
    assert ref.actor_stopped.is_set()
    assert ref.exit_reason == Normal()


def test_stop_lets_the_messages_before_it_be_handled(actor_kind: Any) -> None:
    handled = []

    class Slow(actor_kind):
        def on_receive(self, message: Any) -> None:
            handled.append(message)

    ref = Slow.start()
    for number in range(50):
        ref.tell(number)
    ref.stop()
    assert handled == list(range(50))


def test_a_question_after_stop_is_answered_with_actor_dead(actor_kind: Any) -> None:
    entered, go = threading.Event(), threading.Event()

    class Held(actor_kind):
        def on_receive(self, message: Any) -> None:
            entered.set()
            go.wait(5)

    ref = Held.start()
    ref.tell("hold")
    assert entered.wait(5)
    stopping = ref.stop(block=False)
    question = ref.ask("too late", block=False)
    again = ref.stop(block=False)
    go.set()
    assert stopping.get(timeout=5) is True
    assert again.get(timeout=5) is True
    with pytest.raises(pykka.ActorDeadError):
        question.get(timeout=5)


def test_telling_or_asking_a_dead_actor_raises_at_once(subject: Any) -> None:
    ref = subject.start()
    ref.stop()
    with pytest.raises(pykka.ActorDeadError, match="not running"):
        ref.tell("x")
    with pytest.raises(ActorDeadError):
        ref.ask("x")


def test_an_actor_can_stop_itself_after_the_mail_it_has(actor_kind: Any) -> None:
    class Mortal(actor_kind):
        def on_receive(self, message: Any) -> Any:
            if message == "stop":
                self.stop()
            return message

    ref = Mortal.start()
    down = ref.down()
    ref.tell("stop")
    assert down.get(timeout=5).reason == Normal()


def test_ask_times_out_and_the_actor_lives(actor_kind: Any) -> None:
    release = threading.Event()

    class Slow(actor_kind):
        async def on_receive(self, message: Any) -> Any:
            import asyncio

            while not release.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            return message

    ref = Slow.start()
    with pytest.raises(pykka.Timeout):
        ref.ask("x", timeout=0.01)
    release.set()
    assert ref.ask("y", timeout=5) == "y"


def test_on_start_runs_before_the_first_message_and_not_in_the_callers_thread(subject: Any) -> None:
    assert subject.start().proxy().where().get() is not threading.current_thread()


def test_on_stop_runs_on_a_normal_stop_and_on_failure_on_a_crash(actor_kind: Any) -> None:
    calls: list[Any] = []

    class Hooked(actor_kind):
        def on_receive(self, message: Any) -> None:
            raise ValueError("boom")

        def on_stop(self) -> None:
            calls.append("stop")

        def on_failure(self, kind: Any, value: Any, traceback: Any) -> None:
            calls.append((kind, str(value), traceback is not None))

    Hooked.start().stop()
    assert calls == ["stop"]
    ref = Hooked.start()
    ref.tell("x")
    ref.down().get(timeout=5)
    assert calls == ["stop", (ValueError, "boom", True)]


def test_an_exception_crashes_the_actor_and_the_asker_gets_it_as_the_cause(subject: Any) -> None:
    """The documented difference: Pykka's actor survives an exception under `ask`."""
    ref = subject.start()
    with pytest.raises(ActorCrashed) as caught:
        ref.ask("raise")
    assert isinstance(caught.value.__cause__, ValueError)
    assert not ref.is_alive()
    assert caught.value.reason == Crash("ValueError", "asked to")
    assert "on_receive" in caught.value.reason.traceback


def test_an_exception_in_a_proxied_method_crashes_the_actor_too(subject: Any) -> None:
    ref = subject.start()
    with pytest.raises(ActorCrashed) as caught:
        ref.proxy().fail().get(timeout=5)
    assert isinstance(caught.value.__cause__, LookupError)
    assert not ref.is_alive()


def test_reject_answers_with_the_error_itself_and_the_actor_lives(subject: Any) -> None:
    ref = subject.start()
    with pytest.raises(KeyError, match="asked to"):
        ref.ask("reject")
    ref.tell("reject")
    assert ref.ask("still here") == {"echo": "still here"}


def test_futures_map_filter_join_and_reduce(subject: Any) -> None:
    ref = subject.start()
    one, two = ref.proxy().double(1), ref.proxy().double(2)
    assert one.map(lambda value: value + 1).get() == 3
    assert one.join(two).get() == [2, 4]
    numbers: Reply[Any] = Reply()
    numbers.set([1, 2, 3])
    assert numbers.filter(lambda value: value > 1).get() == [2, 3]
    assert numbers.reduce(lambda total, value: total + value, 10).get() == 16
    assert pykka.get_all([one, two], timeout=5) == [2, 4]


def test_a_thousand_actors_are_one_loop_and_no_threads(scheduler: Any) -> None:
    from actors import AsyncActor

    subject = make(AsyncActor)
    before = threading.active_count()
    refs = [subject.start() for _ in range(1000)]
    assert [ref.ask("x", block=False).get(timeout=5) for ref in refs] == [{"echo": "x"}] * 1000
    assert threading.active_count() == before


def test_senders_on_many_threads_lose_nothing(subject: Any) -> None:
    ref = subject.start()

    def send(sender: int) -> None:
        for number in range(200):
            ref.tell((sender, number))

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = ref.proxy().history().get(timeout=10)
    assert len(seen) == 1600
    for sender in range(8):
        assert [number for who, number in seen if who == sender] == list(range(200))


def test_a_dead_actor_is_let_go_of(subject: Any) -> None:
    import gc
    import weakref

    ref = subject.start()
    actor = weakref.ref(ref._process)
    ref.stop()
    deadline = time.monotonic() + 5
    while actor() is not None and time.monotonic() < deadline:
        gc.collect()
    assert actor() is None
