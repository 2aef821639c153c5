"""Stages at work: end to end as GenStage did when it was recorded, and what is ours."""

from __future__ import annotations

import json
import re
import threading
from contextvars import ContextVar
from itertools import islice
from pathlib import Path

import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import (
    Bounded,
    Crash,
    Exit,
    HandlerError,
    Killed,
    NoProcess,
    Normal,
    Reply,
    Scheduler,
    Shutdown,
    blocking,
    fiber,
    sleep,
)
from actors.stage import (
    BroadcastDispatcher,
    Consumer,
    IterableProducer,
    PartitionDispatcher,
    Producer,
    ProducerConsumer,
    SubscriptionError,
    count_buffered,
    set_demand,
    subscribe,
)
from actors.testing import await_down, quiesce

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "genstage_stages.json").read_text())
REASONS = {"normal": Normal(), "shutdown": Shutdown(), "boom": Crash("boom")}
NAMES = {reason: f":{name}" for name, reason in REASONS.items()}


@pytest.fixture(scope="module")
def scheduler():
    with Scheduler(name="stages") as scheduler:
        yield scheduler


@pytest.fixture(autouse=True)
def here(scheduler):
    """Each test starts its actors on the scheduler of the module, and leaves none."""
    from actors.runtime import chosen_scheduler

    token = chosen_scheduler.set(scheduler)
    yield
    for ref in scheduler.refs():
        ref.kill()
    quiesce(scheduler)
    chosen_scheduler.reset(token)


def recorded(pattern):
    return [name for name in RECORDED if re.fullmatch(pattern, name)]


def options(text):
    """`max_demand: 10, min_demand: 5` as keyword arguments."""
    return {key: int(value) for key, value in re.findall(r"(\w+): (-?\d+)", text)}


class Counter(Producer):
    """Finite: counts from 0 to n; logs what it is asked for."""

    def __init__(self, n, log, dispatcher=None, **settings):
        self.numbers = iter(range(n))
        self.log = log
        self.dispatcher = dispatcher
        for name, value in settings.items():
            setattr(self, name, value)

    def make_dispatcher(self):
        return self.dispatcher or super().make_dispatcher()

    def handle_demand(self, count):
        self.log.append(("demand", count))
        return list(islice(self.numbers, count))

    def handle_message(self, message):
        match message:
            case ("emit", events):
                self.emit(events)
            case ("stop", reason):
                self.exit(reason)


class Multiplier(ProducerConsumer):
    def __init__(self, times, log, source, options):
        self.times = times
        self.log = log
        self.source = source
        self.options = options

    async def on_start(self):
        await self.subscribe(self.source, **self.options)

    def handle_events(self, events, subscription):
        self.log.append(("pc", len(events)))
        return [event for event in events for _ in range(self.times)]


class Collector(Consumer):
    def __init__(self, name, log, *sources):
        self.name = name
        self.log = log
        self.sources = sources

    async def on_start(self):
        for source, options in self.sources:
            await self.subscribe(source, **options)

    def handle_events(self, events, subscription):
        self.log.append(("batch", self.name, list(events)))

    def handle_cancel(self, subscription, ending, reason):
        self.log.append(("cancel", self.name, ending, reason))


def batches(log, name=None):
    return [entry[2] for entry in log if entry[0] == "batch" and name in (None, entry[1])]


def demands(log):
    return [entry[1] for entry in log if entry[0] == "demand"]


# -- the 52 recordings


def test_every_recording_is_played_by_a_test_below():
    played = [
        *recorded("chain_.*"),
        *recorded("pc_.*"),
        *recorded("sub_bad_.*"),
        *recorded("buffer_.*"),
        *recorded("cancel_.*"),
        "manual_demand",
        "demand_accumulate",
        "consumer_death_returns_demand",
        "broadcast_two",
        "partition_two",
    ]
    assert sorted(played) == sorted(RECORDED)
    assert len(played) == 52


def observe_chain(scheduler, n, consumer, multiplier=None):
    log = []
    source = Counter.start(n, log)
    if multiplier is not None:
        source = Multiplier.start(multiplier[0], log, source, multiplier[1])
    Collector.start("c", log, (source, consumer))
    quiesce(scheduler)
    events = [event for batch in batches(log) for event in batch]
    return {
        "demands": demands(log),
        "batches": [len(batch) for batch in batches(log)],
        "pc_batches": [entry[1] for entry in log if entry[0] == "pc"],
        "total": len(events),
        "in_order": events == sorted(events),
        "other": [],
    }


@pytest.mark.parametrize("name", recorded("chain_.*"))
def test_demands_and_batches_of_a_chain_are_genstages(scheduler, name):
    about, observed = RECORDED[name]["about"], RECORDED[name]["observed"]
    if name == "chain_default":
        n, consumer = 2500, {}
    elif name == "chain_max_only":
        n, consumer = 30, {"max_demand": 10}
    else:
        n = int(re.search(r"\((\d+) events", about)[1])
        maximum, minimum = re.search(r"max_demand (\d+) min_demand (\d+)", about).groups()
        consumer = {"max_demand": int(maximum), "min_demand": int(minimum)}
    assert observe_chain(scheduler, n, consumer) == observed


@pytest.mark.parametrize("name", recorded("pc_.*"))
def test_demands_and_batches_through_a_producer_consumer_are_genstages(scheduler, name):
    about, observed = RECORDED[name]["about"], RECORDED[name]["observed"]
    times, upstream, downstream, n = re.search(
        r"each event (\d+) times; subscribed \[(.*?)\]\) -> consumer \[(.*?)\]; (\d+) source", about
    ).groups()
    assert observe_chain(scheduler, int(n), options(downstream), (int(times), options(upstream))) == observed


@pytest.mark.parametrize("name", recorded("sub_bad_.*"))
def test_bad_options_are_refused_with_genstages_limits_and_the_consumer_lives(scheduler, name):
    bad = {
        "sub_bad_max0": {"max_demand": 0},
        "sub_bad_min_eq_max": {"max_demand": 5, "min_demand": 5},
        "sub_bad_min_neg": {"max_demand": 5, "min_demand": -1},
        "sub_bad_bad_cancel": {"cancel": "nope"},
    }[name]
    consumer = Collector.start("c", [])
    with pytest.raises(SubscriptionError) as refused:
        subscribe(consumer, Counter.start(5, []), **bad).get(timeout=5)
    status, text = RECORDED[name]["observed"]
    assert status == "error"
    # the same bound is named: "greater than 1, got: 0" is our "at least 1, not 0"
    numbers = re.findall(r"-?\d+", text)
    assert re.findall(r"-?\d+", str(refused.value)) == numbers
    assert ("cancel" in str(refused.value)) == (not numbers)
    assert consumer.is_alive()


@pytest.mark.parametrize("name", recorded("buffer_(?!excess).*"))
def test_events_that_nobody_asked_for_are_buffered_as_genstage_does(scheduler, name):
    settings = {
        "buffer_first3": {"buffer_size": 3, "buffer_keep": "first"},
        "buffer_last3": {"buffer_size": 3, "buffer_keep": "last"},
        "buffer_infinity": {"buffer_size": None},
        "buffer_default": {},
    }[name]
    log = []
    with structlog.testing.capture_logs() as logs:
        producer = Counter.start(0, log, **settings)
        producer.ask(("emit", [1, 2, 3, 4, 5, 6]), timeout=5)
        buffered = count_buffered(producer).get(timeout=5)
        Collector.start("c", log, (producer, {"max_demand": 10, "min_demand": 0}))
        quiesce(scheduler)
    assert {"buffered": buffered, "log": batches(log)} == RECORDED[name]["observed"]
    lost = [entry["events"] for entry in logs if entry["log_level"] == "warning"]
    assert lost == ([3] if settings.get("buffer_size") else [])


def test_events_beyond_the_demand_are_sent_as_demand_comes(scheduler):
    log = []
    producer = Counter.start(0, log)
    Collector.start("c", log, (producer, {"max_demand": 3, "min_demand": 0}))
    quiesce(scheduler)
    log.clear()
    producer.tell(("emit", list(range(1, 8))))
    quiesce(scheduler)
    assert {"batches": batches(log), "demands": demands(log)} == RECORDED["buffer_excess"]["observed"]


def test_a_manual_subscription_gets_nothing_but_what_it_asks_for(scheduler):
    log = []
    consumer = Collector.start("c", log)
    subscription = subscribe(consumer, Counter.start(10, log), manual=True, max_demand=10).get(timeout=5)
    seen = []
    for count in (0, 2, 3):
        if count:
            subscription.ask(count)
        quiesce(scheduler)
        seen.append([[*e[:2], e[2][0], len(e[2])] if e[0] == "batch" else list(e) for e in log])
        log.clear()
    assert seen == RECORDED["manual_demand"]["observed"]


def test_held_back_demand_comes_when_it_is_let_through(scheduler):
    log = []
    producer = Counter.start(5, log, initial_demand="accumulate")
    Collector.start("c", log, (producer, {"max_demand": 10, "min_demand": 0}))
    quiesce(scheduler)
    before = list(log)
    set_demand(producer, "forward").get(timeout=5)
    quiesce(scheduler)
    after = [[*e[:2], e[2][0], len(e[2])] if e[0] == "batch" else list(e) for e in log]
    assert [before, after] == RECORDED["demand_accumulate"]["observed"]


@pytest.mark.parametrize("name", recorded("cancel_.*"))
def test_the_end_of_a_subscription_does_to_the_consumer_what_its_mode_says(scheduler, name):
    mode, how, why = re.fullmatch(r"cancel_(\w+?)_(producer|by_request)_(\w+)", name).groups()
    log = []
    producer = Counter.start(0, log)
    consumer = Collector.start("c", log)
    subscription = subscribe(consumer, producer, cancel=mode, max_demand=2, min_demand=0).get(timeout=5)
    if how == "producer":
        producer.tell(("stop", REASONS[why]))
    else:
        subscription.cancel(REASONS[why])
    quiesce(scheduler)
    observed = {
        "cancel": [[entry[2], NAMES[entry[3]]] for entry in log if entry[0] == "cancel"],
        "consumer": ["alive"] if consumer.is_alive() else ["exit", NAMES[consumer.exit_reason]],
    }
    if how == "by_request":
        observed["producer_alive"] = producer.is_alive()
    assert observed == RECORDED[name]["observed"]


def test_the_demand_of_a_consumer_that_died_is_served_to_the_next(scheduler):
    log = []
    producer = Counter.start(0, log)
    first = Collector.start("a", log, (producer, {"max_demand": 5, "min_demand": 0}))
    quiesce(scheduler)
    log.clear()
    first.stop()
    Collector.start("b", log, (producer, {"max_demand": 4, "min_demand": 0}))
    quiesce(scheduler)
    before = list(log)
    producer.tell(("emit", [1, 2, 3]))
    quiesce(scheduler)
    after = [[*e[:2], e[2][0], len(e[2])] for e in log]
    assert [before, after] == RECORDED["consumer_death_returns_demand"]["observed"]


@pytest.mark.parametrize("name", ["broadcast_two", "partition_two"])
def test_two_consumers_share_by_broadcast_and_by_partition_as_genstages_do(scheduler, name):
    log = []
    if name == "broadcast_two":
        dispatcher, extra = BroadcastDispatcher(), ({}, {})
    else:
        dispatcher = PartitionDispatcher(2, lambda event: (event, event % 2))
        extra = ({"partition": 0}, {"partition": 1})
    producer = Counter.start(8, log, dispatcher, initial_demand="accumulate")
    for consumer, options in zip("ab", extra, strict=True):
        subscribe(Collector.start(consumer, log), producer, max_demand=4, min_demand=0, **options).get(timeout=5)
    set_demand(producer, "forward")
    quiesce(scheduler)
    observed = {consumer: [event for batch in batches(log, consumer) for event in batch] for consumer in "ab"}
    if name == "broadcast_two":
        observed["demand_total"] = sum(demands(log))
    assert observed == RECORDED[name]["observed"]


# -- what is ours


def test_handlers_of_every_kind_make_a_chain(scheduler):
    threads = []

    class AsyncSource(Counter):
        async def handle_demand(self, count):
            return super().handle_demand(count)

    class FiberDouble(ProducerConsumer):
        @fiber
        def handle_events(self, events, subscription):
            sleep(0)
            return [event * 2 for event in events]

    class BlockingSink(Consumer):
        def __init__(self):
            self.got = []

        @blocking
        def handle_events(self, events, subscription):
            threads.append(threading.current_thread().name)
            self.got += events

        def handle_message(self, message):
            return self.got

    source, double, sink = AsyncSource.start(20, []), FiberDouble.start(), BlockingSink.start()
    subscribe(sink, double, max_demand=4).get(timeout=5)
    subscribe(double, source, max_demand=3).get(timeout=5)
    quiesce(scheduler)
    assert sink.ask("got?", timeout=5) == [2 * number for number in range(20)]
    assert all("blocking" in name for name in threads)


def test_an_iterable_is_drawn_only_as_it_is_asked_for_and_its_producer_ends_after_the_last(scheduler):
    drawn, log = [], []
    first_batch, release = threading.Event(), threading.Event()

    def source():
        for number in range(25):
            drawn.append(number)
            yield number

    class Slow(Collector):
        @blocking
        def handle_events(self, events, subscription):
            first_batch.set()
            release.wait(5)
            super().handle_events(events, subscription)

    producer = IterableProducer.start(source())
    consumer = Slow.start("c", log, (producer, {"max_demand": 6, "cancel": "transient"}))
    first_batch.wait(5)
    assert len(drawn) == 6
    release.set()
    assert await_down(producer).reason == Normal()
    quiesce(scheduler)
    assert [event for batch in batches(log) for event in batch] == list(range(25))
    assert consumer.is_alive()


def test_a_slow_consumer_bounds_what_is_made(scheduler):
    made = []

    class Endless(Producer):
        def handle_demand(self, count):
            made.extend(range(count))
            return range(count)

    class Stuck(Collector):
        def handle_events(self, events, subscription):
            super().handle_events(events, subscription)
            subscription_over = len(batches(self.log)) >= 3
            if subscription_over:
                self.actor_ref.suspend()

    log = []
    Stuck.start("c", log, (Endless.start(), {"max_demand": 10, "min_demand": 5}))
    quiesce(scheduler)
    handled = sum(len(batch) for batch in batches(log))
    assert handled < len(made) <= handled + 10


def test_a_producer_consumer_handles_what_came_before_its_producer_ended(scheduler):
    log = []
    source = IterableProducer.start(range(12))
    double = Multiplier.start(1, log, source, {"max_demand": 20, "cancel": "temporary"})
    await_down(source)
    Collector.start("c", log, (double, {"max_demand": 5, "min_demand": 0}))
    quiesce(scheduler)
    assert [event for batch in batches(log) for event in batch] == list(range(12))


@pytest.mark.parametrize("times", [1, 7])
def test_a_finite_chain_hands_everything_on_before_it_ends(scheduler, times):
    log = []
    source = IterableProducer.start(range(100))
    middle = Multiplier.start(times, log, source, {"max_demand": 50})
    last = Multiplier.start(1, log, middle, {"max_demand": 3})
    consumer = Collector.start("c", log, (last, {"max_demand": 2}))
    assert [await_down(ref).reason for ref in (source, middle, last, consumer)] == [Normal()] * 4
    assert [event for batch in batches(log) for event in batch] == [n for n in range(100) for _ in range(times)]


def test_an_abnormal_end_of_its_producer_ends_a_producer_consumer_at_once(scheduler):
    log = []
    source = Counter.start(50, log)
    middle = Multiplier.start(1, log, source, {"max_demand": 50})
    quiesce(scheduler)
    source.tell(("stop", Crash("boom")))
    assert await_down(middle).reason == Crash("boom")


def test_an_iterable_waits_for_the_partitions_that_have_not_asked(scheduler):
    class Split(IterableProducer):
        def make_dispatcher(self):
            return PartitionDispatcher(2, lambda event: (event, event % 2))

    log = []
    producer = Split.start(range(10))
    subscribe(Collector.start("even", log), producer, partition=0, cancel="temporary").get(timeout=5)
    quiesce(scheduler)
    assert producer.is_alive()
    assert count_buffered(producer).get(timeout=5) == 5
    subscribe(Collector.start("odd", log), producer, partition=1, cancel="temporary").get(timeout=5)
    assert await_down(producer).reason == Normal()
    quiesce(scheduler)
    assert sorted(event for batch in batches(log) for event in batch) == list(range(10))


def test_a_selector_that_keeps_events_back_does_not_starve_its_consumer(scheduler):
    log = []
    producer = Counter.start(1000, log, BroadcastDispatcher())
    consumer = Collector.start("c", log)
    selector = {"selector": lambda event: event % 100 == 0}
    subscribe(consumer, producer, max_demand=3, min_demand=0, **selector).get(timeout=5)
    quiesce(scheduler)
    assert [event for batch in batches(log) for event in batch] == list(range(0, 1000, 100))


def test_a_partition_that_is_taken_ends_the_subscription_and_not_the_producer(scheduler):
    log = []
    producer = Counter.start(4, log, PartitionDispatcher(2))
    subscribe(Collector.start("a", log), producer, partition=0).get(timeout=5)
    second = Collector.start("b", log)
    subscribe(second, producer, partition=0, cancel="temporary").get(timeout=5)
    quiesce(scheduler)
    (ended,) = [entry for entry in log if entry[0] == "cancel"]
    assert ended[1:3] == ("b", "cancel")
    assert "has a consumer already" in ended[3].message
    assert producer.is_alive()
    assert second.is_alive()


def test_a_subscription_to_a_producer_that_has_ended_ends_at_once(scheduler):
    log = []
    producer = Counter.start(0, log)
    producer.stop()
    consumer = Collector.start("c", log, (producer, {}))
    assert await_down(consumer).reason == NoProcess()
    assert log == [("cancel", "c", "down", NoProcess())]


def test_producers_are_told_of_consumers_that_come_and_go(scheduler):
    seen = []

    class Host(Counter):
        def handle_consumer(self, subscription):
            seen.append(("come", subscription.consumer))

        def handle_consumer_gone(self, subscription, reason):
            seen.append(("gone", subscription.consumer, reason))

    host = Host.start(0, [])
    one, two = Collector.start("a", []), Collector.start("b", [])
    subscribe(one, host)
    subscription = subscribe(two, host, cancel="temporary").get(timeout=5)
    one.kill()
    await_down(one)
    subscription.cancel(Shutdown("enough"))
    quiesce(scheduler)
    assert seen == [
        ("come", one),
        ("come", two),
        ("gone", one, Killed()),
        ("gone", two, Shutdown("enough")),
    ]


def test_one_consumer_drinks_from_several_producers(scheduler):
    log = []
    one, two = Counter.start(7, log), Counter.start(9, log)
    Collector.start("c", log, (one, {"max_demand": 2}), (two, {"max_demand": 3}))
    quiesce(scheduler)
    assert sorted(event for batch in batches(log) for event in batch) == sorted([*range(7), *range(9)])


def test_a_stage_that_defines_on_receive_is_refused():
    with pytest.raises(HandlerError, match="handle_message"):

        class Wrong(Consumer):
            def on_receive(self, message): ...


def test_a_handler_of_the_wrong_shape_is_refused():
    with pytest.raises(HandlerError, match="handle_events"):

        class Wrong(Consumer):
            def handle_events(self, events): ...


def test_a_message_that_is_not_understood_crashes_the_stage(scheduler):
    consumer = Collector.start("c", [])
    consumer.tell(Exit(None, Normal()))
    assert "handle_message" in await_down(consumer).reason.message


def test_asking_for_nothing_is_refused(scheduler):
    subscription = subscribe(Collector.start("c", []), Counter.start(0, []), manual=True).get(timeout=5)
    with pytest.raises(SubscriptionError, match="at least one"):
        subscription.ask(0)
    with pytest.raises(ValueError, match="'forward' or 'accumulate'"):
        set_demand(subscription.producer, "stop")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(0, 120),
    upstream=st.integers(1, 12),
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    times=st.integers(0, 3),
)
def test_every_event_arrives_exactly_once_whatever_the_demands(scheduler, n, upstream, widths, times):
    log = []
    source = Counter.start(n, log)
    middle = Multiplier.start(times, log, source, {"max_demand": upstream})
    for number, width in enumerate(widths):
        Collector.start(number, log, (middle, {"max_demand": width}))
    quiesce(scheduler)
    got = sorted(event for batch in batches(log) for event in batch)
    assert got == sorted(event for event in range(n) for _ in range(times))
    for number, width in enumerate(widths):
        assert all(len(batch) <= width - width // 2 for batch in batches(log, number))


@pytest.mark.parametrize("mark", [lambda handler: handler, fiber], ids=["def", "fiber"])
def test_a_stage_that_holds_the_loop_is_moved_to_threads_and_only_that_one(mark):
    threads = []

    class Holds(Consumer):
        @mark
        def handle_events(self, events, subscription):
            threads.append(threading.current_thread().name)
            if len(threads) == 1:
                moved.wait(10)

    class Quick(Consumer):
        @mark
        def handle_events(self, events, subscription):
            pass

    moved = threading.Event()
    with Scheduler(name="held", stall_after=0.02) as scheduler:
        scheduler.events.subscribe("scheduler.stalled", lambda event: moved.set())
        with structlog.testing.capture_logs():
            source = IterableProducer.start(range(3))
            consumer = Holds.start()
            subscribe(consumer, source, max_demand=1).get(timeout=5)
            await_down(consumer)
        assert scheduler.is_blocking(Holds.on_receive)
        assert not scheduler.is_blocking(Quick.on_receive)
    assert [name.split("-")[1] for name in threads] == ["loop", "blocking", "blocking"]


def test_a_def_handler_that_returns_an_awaitable_is_refused(scheduler):
    class Disguised(Consumer):
        def handle_message(self, message):
            return sleep_async()

    async def sleep_async():
        await Reply()

    ref = Disguised.start()
    ref.tell("sleep")
    assert "async def" in await_down(ref).reason.message


def test_events_are_bounded_by_demand_and_not_by_the_mailbox(scheduler):
    log = []
    consumer = Collector.with_options(mailbox=Bounded(1, "reject")).start("c", log)
    producers = [Counter.start(20, log) for _ in range(5)]
    for producer in producers:
        subscribe(consumer, producer, max_demand=2).get(timeout=5)
    quiesce(scheduler)
    assert sum(len(batch) for batch in batches(log)) == 100
    assert consumer.is_alive()


def test_events_come_in_the_context_in_which_they_were_subscribed_to(scheduler):
    tenant = ContextVar("tenant", default="nobody")
    seen = set()

    class Looks(Collector):
        def handle_events(self, events, subscription):
            seen.add(tenant.get())

    consumer, producer = Looks.start("c", []), Counter.start(50, [])
    token = tenant.set("somebody")
    subscribe(consumer, producer, max_demand=5).get(timeout=5)
    tenant.reset(token)
    quiesce(scheduler)
    assert seen == {"somebody"}
