"""The memory tier beside a model of it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dspex.cache import MemoryTier

KEYS = st.sampled_from("abcdef")


class MemoryMachine(RuleBasedStateMachine):
    """Against a list of (key, payload, expiry), oldest use first."""

    def __init__(self) -> None:
        super().__init__()
        self.tier = MemoryTier(max_entries=4, max_bytes=20, ttl=10.0)
        self.model: list[tuple[str, bytes, float]] = []
        self.now = 0.0

    @rule(key=KEYS, payload=st.binary(max_size=25))
    def put(self, key: str, payload: bytes) -> None:
        self.tier.put(key, payload, self.now)
        self.model = [entry for entry in self.model if entry[0] != key]
        if len(payload) <= 20:
            self.model.append((key, payload, self.now + 10.0))
        while len(self.model) > 4 or sum(len(p) for _, p, _ in self.model) > 20:
            self.model.pop(0)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        entry = next((e for e in self.model if e[0] == key), None)
        if entry is not None:
            self.model.remove(entry)
            if self.now < entry[2]:
                self.model.append(entry)
            else:
                entry = None
        assert self.tier.get(key, self.now) == (None if entry is None else entry[1])

    @rule(key=KEYS)
    def evict(self, key: str) -> None:
        self.tier.evict(key)
        self.model = [entry for entry in self.model if entry[0] != key]

    @rule(seconds=st.floats(0, 8))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        self.tier.clear()
        self.model = []

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.tier) == len(self.model) <= 4
        assert self.tier.size == sum(len(p) for _, p, _ in self.model) <= 20


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=25, stateful_step_count=20)


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0)])
def test_a_tier_without_room_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="room"):
        MemoryTier(*bounds)


def test_what_is_taken_in_lives_no_longer_than_in_either_tier() -> None:
    brief, lasting = MemoryTier(ttl=10.0), MemoryTier()
    brief.put("old", b"1", 0.0)
    lasting.put("new", b"2", 0.0)
    lasting.take_in(brief, 5.0)
    assert lasting.get("old", 9.9) == b"1"
    assert lasting.get("old", 10.0) is None
    brief.take_in(lasting, 20.0)
    assert brief.get("new", 29.9) == b"2"
    assert brief.get("new", 30.0) is None


def test_a_smaller_tier_takes_in_what_was_used_last() -> None:
    large, small = MemoryTier(), MemoryTier(max_entries=2)
    for key in "abc":
        large.put(key, b"1", 0.0)
    large.get("a", 1.0)
    small.take_in(large, 2.0)
    assert [small.get(key, 3.0) for key in "abc"] == [b"1", None, b"1"]
