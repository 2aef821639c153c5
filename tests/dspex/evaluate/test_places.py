"""The laws of the places."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dspex.evaluate._places import CROWD, Places


class PlacesMachine(RuleBasedStateMachine):
    """A model that follows everyone by hand, in `state`: at work, resting, waiting for a turn."""

    def __init__(self):
        super().__init__()
        self.places = Places(2)
        self.state = {}
        self.waiting = []
        self.held = 0
        self.next = 0

    def those(self, *states):
        return sorted(who for who, state in self.state.items() if state in states)

    def give_turns(self):
        """What every user does after a change: whoever could go on does, while there is a place."""
        while (who := self.places.turn()) is not None:
            assert self.at_work < self.places.width
            assert who == self.waiting.pop(0)
            self.state[who] = "at work"

    @property
    def at_work(self):
        return len(self.those("at work")) + self.held

    @precondition(lambda self: self.places.room)
    @rule()
    def begin(self):
        assert not self.waiting
        self.places.begin(self.next)
        self.state[self.next] = "at work"
        self.next += 1

    @precondition(lambda self: self.state)
    @rule(data=st.data(), hold=st.booleans())
    def end(self, data, hold):
        who = data.draw(st.sampled_from(sorted(self.state)))
        was = self.state.pop(who)
        if was == "waiting":
            self.waiting.remove(who)
        self.places.end(who)
        if hold and was == "at work":
            self.places.hold()
            self.held += 1
        self.give_turns()

    @precondition(lambda self: self.held)
    @rule()
    def release(self):
        self.places.release()
        self.held -= 1
        self.give_turns()

    @precondition(lambda self: self.those("at work"))
    @rule(data=st.data())
    def rest(self, data):
        who = data.draw(st.sampled_from(self.those("at work")))
        self.places.rest(who)
        self.state[who] = "resting"
        self.give_turns()

    @precondition(lambda self: self.those("resting"))
    @rule(data=st.data())
    def back(self, data):
        who = data.draw(st.sampled_from(self.those("resting")))
        goes_on = self.places.back(who)
        assert goes_on == (self.at_work < self.places.width)
        self.state[who] = "at work" if goes_on else "waiting"
        if not goes_on:
            self.waiting.append(who)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def insist(self, data):
        who = data.draw(st.sampled_from(self.waiting))
        assert self.places.insist(who)
        self.waiting.remove(who)
        self.state[who] = "at work"

    @rule(who=st.integers(100, 200))
    def strangers_change_nothing(self, who):
        self.places.rest(who)
        assert self.places.back(who)
        assert not self.places.insist(who)
        self.places.end(who)

    @rule(width=st.integers(1, 4))
    def resize(self, width):
        self.places.width = width
        self.give_turns()

    @precondition(lambda self: self.waiting)
    @rule()
    def clear(self):
        self.places.clear()
        self.state.clear()
        self.waiting.clear()
        self.held = 0
        self.give_turns()

    @invariant()
    def the_counts_are_right(self):
        assert self.places.at_work == self.at_work
        assert self.places.in_flight == len(self.state) + self.held
        assert self.places.useful <= CROWD * self.places.width

    @invariant()
    def no_more_may_begin_than_there_are_places_for(self):
        assert self.places.room >= 0
        if self.places.room:
            assert self.at_work + self.places.room <= self.places.width
            assert len(self.state) + self.places.room <= CROWD * self.places.width

    @invariant()
    def nobody_waits_while_there_is_a_place(self):
        assert not self.waiting or self.at_work >= self.places.width
        assert self.places.turn() is None


TestPlaces = PlacesMachine.TestCase
TestPlaces.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_there_is_at_least_one_place():
    with pytest.raises(ValueError, match="num_workers"):
        Places(0)
