"""The three dispatchers: as GenStage's did when they were recorded, and their laws under any operations."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.stage._broadcast_dispatcher import BroadcastDispatcher
from actors.stage._buffer import Buffer
from actors.stage._demand import Demand
from actors.stage._demand_dispatcher import DemandDispatcher
from actors.stage._dispatcher import SubscriptionError
from actors.stage._partition_dispatcher import PartitionDispatcher

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "genstage_dispatchers.json").read_text())

MAKE = {
    "demand": DemandDispatcher,
    "broadcast": BroadcastDispatcher,
    "partition": lambda: PartitionDispatcher(3, lambda event: (event, event % 3)),
}


def test_there_are_sixty_recordings_of_each_dispatcher():
    assert Counter(name.split("_")[1] for name in RECORDED) == dict.fromkeys(MAKE, 60)


@pytest.mark.parametrize("name", RECORDED)
def test_the_dispatcher_does_what_genstages_did(name):
    dispatcher = MAKE[name.split("_")[1]]()
    for (operation, *arguments), result, delivered in RECORDED[name]:
        step = getattr(dispatcher, operation)(*arguments)
        given = ["leftover", step.leftover] if operation == "dispatch" else ["demand", step.demand]
        assert (given, sorted([consumer, events] for consumer, events in step.deliveries)) == (result, delivered)


# -- laws


class Producing(RuleBasedStateMachine):
    """A producer that sends what it is asked for, and sometimes more, to consumers that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = self.make()
        self.buffer: list[int] = []
        self.asked: dict[str, int] = {}  # by living consumers, and not served
        self.got: dict[str, list[int]] = {}
        self.lost: list[int] = []
        self.owed = 0  # asked of the producer, and not sent by it
        self.names = 0
        self.next = 0

    def apply(self, step):
        self.owed += step.demand
        self.lost += step.discarded
        for consumer, events in step.deliveries:
            assert events
            self.asked[consumer] -= len(events)
            self.got[consumer] += events
        assert step.demand >= 0

    def send(self, count):
        events = list(range(self.next, self.next + count))
        self.next += count
        self.owed = max(0, self.owed - count)
        self.dispatch(events)

    def dispatch(self, events):
        """As a stage does: what waits in the buffer goes first."""
        events = self.buffer + events
        available = self.dispatcher.available
        step = self.dispatcher.dispatch(events)
        assert step.leftover == events[available:]
        self.buffer = step.leftover
        self.apply(step)

    @precondition(lambda self: len(self.asked) < self.most)
    @rule()
    def subscribe(self):
        name = f"c{self.names}"
        self.names += 1
        self.asked[name], self.got[name] = 0, []
        self.apply(self.dispatcher.subscribe(name, self.options(name)))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def cancel(self, data):
        name = data.draw(st.sampled_from(sorted(self.asked)))
        self.apply(self.dispatcher.cancel(name))
        del self.asked[name]
        self.dispatch([])

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), count=st.integers(1, 7))
    def ask(self, data, count):
        name = data.draw(st.sampled_from(sorted(self.asked)))
        self.asked[name] += count
        self.apply(self.dispatcher.ask(name, count))
        self.dispatch([])

    @rule(count=st.integers(1, 9))
    def send_unasked(self, count):
        self.send(count)

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def send_asked(self, data):
        self.send(data.draw(st.integers(1, self.owed)))

    @invariant()
    def nobody_gets_more_than_it_asked_for(self):
        assert all(count >= 0 for count in self.asked.values())

    @invariant()
    def every_consumer_gets_its_events_in_order(self):
        assert all(events == sorted(events) for events in self.got.values())


class ToOne(Producing):
    """Dispatchers that give each event to one consumer."""

    @invariant()
    def every_event_is_somewhere_exactly_once(self):
        everywhere = Counter(event for events in self.got.values() for event in events)
        everywhere.update(self.buffer)
        everywhere.update(self.held())
        everywhere.update(self.lost)
        assert everywhere == Counter(range(self.next))

    def held(self):
        return []


class DemandMachine(ToOne):
    most = 5
    make = DemandDispatcher

    def options(self, name):
        return {}

    @invariant()
    def whoever_waits_is_waited_for(self):
        assert self.dispatcher.available == sum(self.asked.values())

    @invariant()
    def what_is_missing_has_been_asked_of_the_producer(self):
        if not self.buffer:
            assert self.owed >= sum(self.asked.values())


class BroadcastMachine(Producing):
    most = 4
    make = BroadcastDispatcher

    def options(self, name):
        return {}

    @invariant()
    def the_slowest_sets_the_pace(self):
        assert self.dispatcher.available == min(self.asked.values(), default=0)

    @invariant()
    def what_is_missing_has_been_asked_of_the_producer(self):
        assert self.owed + len(self.buffer) >= min(self.asked.values(), default=0)


class PartitionMachine(ToOne):
    most = 3

    def make(self):
        return PartitionDispatcher(3, lambda event: (event, event % 3) if event % 7 else None)

    def options(self, name):
        free = [name for name, partition in self.dispatcher._partitions.items() if partition.consumer is None]
        return {"partition": free[0]}

    def held(self):
        return [event for partition in self.dispatcher._partitions.values() for event in partition.queue]

    @invariant()
    def every_partition_gets_its_own(self):
        assert all(len({event % 3 for event in events}) <= 1 for events in self.got.values())

    @invariant()
    def who_waits_has_nothing_held_back(self):
        assert all(not (p.demand and p.queue) for p in self.dispatcher._partitions.values())


TestDemandLaws = DemandMachine.TestCase
TestBroadcastLaws = BroadcastMachine.TestCase
TestPartitionLaws = PartitionMachine.TestCase
TestDemandLaws.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestBroadcastLaws.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestPartitionLaws.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


def test_with_a_thousand_consumers_the_one_that_asked_for_most_is_served_first():
    dispatcher = DemandDispatcher()
    for number in range(1000):
        dispatcher.subscribe(number, {})
        dispatcher.ask(number, number + 1)
    step = dispatcher.dispatch(range(1000 + 999 + 5))
    assert [(consumer, len(events)) for consumer, events in step.deliveries] == [(999, 1000), (998, 999), (997, 5)]


def test_a_selector_keeps_events_back_without_using_up_what_was_asked_for():
    dispatcher = BroadcastDispatcher()
    dispatcher.subscribe("all", {})
    dispatcher.subscribe("even", {"selector": lambda event: event % 2 == 0})
    assert dispatcher.ask("all", 10).demand == 0
    assert dispatcher.ask("even", 4).demand == 4
    step = dispatcher.dispatch([0, 1, 2, 3])
    assert step.deliveries == [("all", [0, 1, 2, 3]), ("even", [0, 2])]
    assert step.demand == 2
    assert dispatcher.dispatch([4, 5]).deliveries == [("all", [4, 5]), ("even", [4])]


def test_a_selector_must_be_a_function():
    dispatcher = BroadcastDispatcher()
    with pytest.raises(SubscriptionError, match="selector"):
        dispatcher.subscribe("c", {"selector": 3})
    assert dispatcher.available == 0


def test_events_without_a_partition_are_discarded_and_others_asked_for_instead():
    dispatcher = PartitionDispatcher(
        ["odd", "even"], lambda e: None if e == 0 else (e * 10, ["even", "odd", "?"][e % 3])
    )
    dispatcher.subscribe("c", {"partition": "odd"})
    dispatcher.ask("c", 3)
    step = dispatcher.dispatch([0, 1, 2, 4])
    assert step.deliveries == [("c", [10])]
    assert (step.discarded, step.demand, step.leftover) == ([0, 2], 2, [4])


def test_without_a_hash_function_an_event_always_goes_the_same_way():
    dispatcher = PartitionDispatcher(4)
    for name in range(4):
        dispatcher.subscribe(name, {"partition": name})
        dispatcher.ask(name, 20)
    step = dispatcher.dispatch(["a", "b", "c", "d"] * 5)
    assert sum(len(events) for _, events in step.deliveries) == 20
    homes = [(event, consumer) for consumer, events in step.deliveries for event in events]
    assert len(set(homes)) == 4


@pytest.mark.parametrize(
    ("options", "complaint"),
    [({}, "needs partition="), ({"partition": 9}, "no partition 9"), ({"partition": 0}, "has a consumer already: c")],
)
def test_a_subscription_to_a_partition_that_cannot_be_is_refused(options, complaint):
    dispatcher = PartitionDispatcher(2)
    dispatcher.subscribe("c", {"partition": 0})
    with pytest.raises(SubscriptionError, match=complaint):
        dispatcher.subscribe("d", options)


@pytest.mark.parametrize(("partitions", "complaint"), [(0, "at least one"), (["a"], "hash function")])
def test_partitions_that_make_no_sense_are_refused(partitions, complaint):
    with pytest.raises(ValueError, match=complaint):
        PartitionDispatcher(partitions)


# -- the buffer


@given(
    st.lists(st.one_of(st.lists(st.integers(), max_size=6), st.integers(0, 6)), max_size=30),
    st.one_of(st.none(), st.integers(0, 5)),
    st.sampled_from(["first", "last"]),
)
def test_a_buffer_is_a_bounded_queue_that_keeps_the_first_or_the_last(operations, size, keep):
    buffer, model = Buffer(size, keep), []
    for operation in operations:
        if isinstance(operation, int):
            assert buffer.take(operation) == model[:operation]
            del model[:operation]
        else:
            model += operation
            room = len(model) if size is None else size
            excess = max(0, len(model) - room)
            kept = model[excess:] if keep == "last" else model[: len(model) - excess]
            lost = model[:excess] if keep == "last" else model[len(model) - excess :]
            assert buffer.store(operation) == lost
            model = kept
        assert len(buffer) == len(model)


@pytest.mark.parametrize(("size", "keep"), [(-1, "last"), (3, "some")])
def test_a_buffer_that_makes_no_sense_is_refused(size, keep):
    with pytest.raises(ValueError, match="buffer"):
        Buffer(size, keep)


# -- the consumer's account


@given(st.data())
def test_a_consumer_keeps_between_its_two_marks_and_never_has_more_than_its_maximum_under_way(data):
    maximum = data.draw(st.integers(1, 20))
    minimum = data.draw(st.integers(0, maximum - 1))
    account = Demand(maximum, minimum)
    under_way, sent, handled = maximum, 0, []
    for _ in range(20):
        count = data.draw(st.integers(0, under_way))
        batches = account.cut(list(range(sent, sent + count)))
        sent += count
        under_way -= count
        for batch in batches:
            assert 0 < len(batch.events) <= maximum - minimum
            handled += batch.events
            under_way += batch.ask
            assert batch.ask == 0 or batch.ask >= maximum - minimum
        assert under_way == account.pending
        assert minimum < account.pending <= maximum
    assert handled == list(range(sent))
    assert account.excess == 0


def test_more_events_than_were_asked_for_are_handled_and_counted():
    account = Demand(4, 0)
    assert [(list(batch.events), batch.ask) for batch in account.cut(range(6))] == [([0, 1, 2, 3], 4), ([4, 5], 0)]
    assert account.excess == 0
    account.cut(range(4))
    assert account.excess == 2


@pytest.mark.parametrize(("maximum", "minimum"), [(0, None), (-1, 0), (5, 5), (5, -1)])
def test_demands_that_make_no_sense_are_refused(maximum, minimum):
    with pytest.raises(SubscriptionError, match="_demand must be at"):
        Demand(maximum, minimum)


def test_the_minimum_is_half_the_maximum_unless_it_is_given():
    assert [Demand(maximum).minimum for maximum in (1, 2, 10, 1000)] == [0, 1, 5, 500]
