"""Events: who hears what, and that nobody is hurt by listening."""

from __future__ import annotations

import asyncio
import threading

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from actors import ActorCrashed, AsyncActor, BlockingOnLoopError, Event, Events, EventStream, Scheduler, fiber
from actors.testing import quiesce


def names(heard: list[Event]) -> list[str]:
    return [event.name for event in heard]


def test_a_subscriber_gets_its_topic_and_what_is_below_it_and_nothing_else():
    events, heard = Events(), []
    events.subscribe("scheduler", heard.append)
    for topic in (
        "scheduler",
        "scheduler.stalled",
        ("scheduler", "thread", "new"),
        "schedulers",
        "other",
        "",
    ):
        events.emit(topic)
    assert names(heard) == ["scheduler", "scheduler.stalled", "scheduler.thread.new"]


def test_a_dotted_string_and_a_tuple_are_one_topic():
    events, heard = Events(), []
    events.subscribe(("a", "b"), heard.append)
    events.emit("a.b")
    events.emit(("a", "b"))
    assert [event.topic for event in heard] == [("a", "b")] * 2


def test_the_empty_topic_hears_everything():
    events, heard = Events(), []
    events.subscribe("", heard.append)
    events.emit("a")
    events.emit("b.c.d")
    assert names(heard) == ["a", "b.c.d"]


def test_an_event_carries_measurements_metadata_and_the_clocks_time():
    events, heard = Events(now=lambda: 12.5), []
    events.subscribe("call", heard.append)
    events.emit("call.done", {"seconds": 0.25}, {"actor": "a"})
    assert heard == [Event(("call", "done"), 12.5, {"seconds": 0.25}, {"actor": "a"})]


def test_a_subscription_made_after_a_topic_was_emitted_is_found():
    events, first, second = Events(), [], []
    events.subscribe("a", first.append)
    events.emit("a.b")
    events.subscribe("a.b", second.append)
    events.emit("a.b")
    assert (len(first), len(second)) == (2, 1)


def test_a_closed_subscription_hears_nothing_more_and_the_last_one_makes_emits_free():
    events, heard = Events(), []
    with events.subscribe("a", heard.append) as subscription:
        assert events.active
        events.emit("a")
    subscription.close()
    events.emit("a")
    assert len(heard) == 1
    assert not events.active
    assert events.subscriptions == ()


def test_a_subscriber_that_raises_is_logged_and_unsubscribed_and_hurts_nobody():
    events, heard = Events(), []

    def broken(event: Event) -> None:
        raise ZeroDivisionError("mine")

    events.subscribe("a", broken)
    events.subscribe("a", heard.append)
    with structlog.testing.capture_logs() as logs:
        events.emit("a")
        events.emit("a")
    assert len(heard) == 2
    assert [(entry["log_level"], entry["topic"], entry["handler"]) for entry in logs] == [("error", "a", broken)]


def test_a_subscriber_may_emit_subscribe_and_unsubscribe_while_it_is_told():
    events, heard = Events(), []

    def once(event: Event) -> None:
        subscription.close()
        events.subscribe("b", heard.append)
        events.emit("b")

    subscription = events.subscribe("a", once)
    events.emit("a")
    events.emit("a")
    assert names(heard) == ["b"]


def test_an_emit_without_subscribers_looks_at_nothing_but_whether_there_are_any():
    def never() -> float:
        raise AssertionError("the clock was read")

    Events(now=never).emit([], object(), object())  # neither hashed, nor split, nor timed


def test_a_stream_gives_events_in_order_and_ends_when_it_is_closed():
    events = Events()
    with events.stream("a") as stream:
        for number in range(3):
            events.emit("a", {"n": number})
    events.emit("a", {"n": 99})
    assert [event.measurements["n"] for event in stream] == [0, 1, 2]
    assert not events.active


def test_a_slow_reader_loses_its_oldest_events_and_they_are_counted():
    events = Events()
    stream = events.stream("a", limit=3)
    for number in range(10):
        events.emit("a", {"n": number})
    events.close()
    assert [event.measurements["n"] for event in stream] == [7, 8, 9]
    assert stream.dropped == 7


def test_a_stream_of_no_room_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Events().stream("a", limit=0)


def test_a_reader_that_waits_is_woken_from_another_thread():
    events = Events()
    stream = events.stream("a")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(event.name for event in stream))
    reader.start()
    events.emit("a.1")
    events.emit("a.2")
    stream.close()
    reader.join(5)
    assert heard == ["a.1", "a.2"]


def test_getting_from_a_stream_times_out_and_tells_the_end_apart():
    stream = EventStream[int](2)
    with pytest.raises(TimeoutError):
        stream.get(timeout=0)
    stream.push(1)
    stream.close()
    stream.push(2)
    assert stream.get() == 1
    with pytest.raises(LookupError):
        stream.get()


def test_a_task_reads_a_stream_that_other_threads_write():
    async def main() -> list[float]:
        events = Events()
        stream = events.stream("a", limit=10_000)

        def write() -> None:
            for number in range(500):
                events.emit("a", {"n": number})
            stream.close()

        writer = threading.Thread(target=write)
        writer.start()
        heard = [event.measurements["n"] async for event in stream]
        writer.join()
        return heard

    assert asyncio.run(main()) == list(range(500))


def test_an_async_subscriber_runs_on_its_loop_one_event_at_a_time():
    async def main() -> tuple[list[float], int, set[int]]:
        events = Events()
        heard: list[float] = []
        threads: set[int] = set()
        running = most = 0
        done = asyncio.Event()

        async def handler(event: Event) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            threads.add(threading.get_ident())
            await asyncio.sleep(0)
            heard.append(event.measurements["n"])
            running -= 1
            if len(heard) == 50:
                done.set()

        subscription = events.subscribe("a", handler)
        writer = threading.Thread(target=lambda: [events.emit("a", {"n": n}) for n in range(50)])
        writer.start()
        await done.wait()
        writer.join()
        subscription.close()
        await asyncio.sleep(0)
        return heard, most, threads - {threading.get_ident()}

    assert asyncio.run(main()) == (list(range(50)), 1, set())


def test_an_async_subscriber_that_raises_is_logged_and_unsubscribed():
    async def main() -> bool:
        events = Events()

        told = asyncio.Event()

        async def broken(event: Event) -> None:
            told.set()
            raise ZeroDivisionError("mine")

        events.subscribe("a", broken)
        events.emit("a")
        await told.wait()
        return events.active

    with structlog.testing.capture_logs() as logs:
        assert asyncio.run(main()) is False
    assert [entry["log_level"] for entry in logs] == ["error"]


def test_an_object_with_an_async_call_is_an_async_subscriber():
    class Collector:
        def __init__(self) -> None:
            self.heard: list[str] = []
            self.told = asyncio.Event()

        async def __call__(self, event: Event) -> None:
            self.heard.append(event.name)
            self.told.set()

    async def main() -> list[str]:
        events, collector = Events(), Collector()
        events.subscribe("a", collector)
        events.emit("a")
        await collector.told.wait()
        events.close()
        await asyncio.sleep(0)
        return collector.heard

    assert asyncio.run(main()) == ["a"]


def test_events_of_one_thread_keep_their_order_while_others_emit():
    events, heard = Events(), []
    events.subscribe("t", heard.append)
    threads = [
        threading.Thread(target=lambda who=who: [events.emit("t", {"n": n}, {"who": who}) for n in range(300)])
        for who in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for who in range(4):
        assert [e.measurements["n"] for e in heard if e.metadata["who"] == who] == list(range(300))


@given(st.lists(st.tuples(st.sampled_from(["push", "read", "close"]), st.integers())), st.integers(1, 4))
def test_a_stream_keeps_the_newest_in_order_and_counts_every_loss(operations, limit):
    stream = EventStream[int](limit)
    model: list[int] = []
    lost, closed = 0, False
    for what, number in operations:
        if what == "push" and not closed:
            model.append(number)
            lost += len(model) > limit
            model = model[-limit:]
            stream.push(number)
        elif what == "push":
            stream.push(number)
        elif what == "close":
            closed = True
            stream.close()
        elif model:
            assert stream.get(timeout=0) == model.pop(0)
    assert (len(stream), stream.dropped) == (len(model), lost)


def test_wants_tells_whether_an_event_would_reach_anybody() -> None:
    events = Events()
    assert not events.wants("lm.request.start")
    with events.subscribe("lm", lambda event: None):
        assert events.wants("lm.request.start")
        assert events.wants("lm")
        assert not events.wants("cache.hit")
    assert not events.wants("lm.request.start")


# -- in actors


def test_a_fiber_that_reads_a_stream_parks_and_the_loop_goes_on(scheduler):
    stream = EventStream[int](10)

    class Reader(AsyncActor):
        @fiber
        def on_receive(self, message):
            return list(stream)

    class Writer(AsyncActor):
        def on_receive(self, message):
            stream.push(message)

    heard, writer = Reader.start().call("read"), Writer.start()
    for number in range(3):
        writer.ask(number, timeout=5)
    stream.close()
    assert heard.get(timeout=5) == [0, 1, 2]


def test_a_fiber_gives_up_reading_in_time(scheduler):
    stream = EventStream[int](10)

    class Reader(AsyncActor):
        @fiber
        def on_receive(self, timeout):
            return stream.get(timeout)

    with pytest.raises(ActorCrashed) as crashed:
        Reader.start().ask(0.001, timeout=5)
    assert isinstance(crashed.value.__cause__, TimeoutError)
    stream.close()
    with pytest.raises(ActorCrashed) as crashed:
        Reader.start().ask(None, timeout=5)
    assert isinstance(crashed.value.__cause__, LookupError)


def test_the_bare_loop_may_read_what_is_there_and_may_not_wait(scheduler):
    stream = EventStream[int](10)
    stream.push(7)

    class Reader(AsyncActor):
        def on_receive(self, message):
            return stream.get()

    reader = Reader.start()
    assert reader.ask("one", timeout=5) == 7
    with pytest.raises(ActorCrashed) as crashed:
        reader.ask("another", timeout=5)
    assert isinstance(crashed.value.__cause__, BlockingOnLoopError)


def test_an_async_subscriber_in_an_actor_ends_with_its_scheduler():
    heard = []

    class Listener(AsyncActor):
        async def on_receive(self, message):
            self.scheduler.events.subscribe("actor", self.hear)

        async def hear(self, event):
            heard.append(event.name)

    with Scheduler(name="listened to") as scheduler:
        Listener.start().ask("listen", timeout=5)
        Listener.start().stop()
        quiesce(scheduler)
        assert heard == ["actor.started", "actor.ended"]
    assert not scheduler.events.active
