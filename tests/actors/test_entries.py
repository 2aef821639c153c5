"""The table inside a registry, against a plain list as its model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from actors._entries import Entry, EntryTable, KeyTaken, exact

KEYS = st.sampled_from([1, 1.0, True, "1", (1, 2), (1.0, 2), (True, 2), frozenset({1}), frozenset({1.0}), None])
OWNERS = st.sampled_from("abc")


def same(one: object, other: object) -> bool:
    """Elixir's ===, spelled out."""
    return type(one) is type(other) and repr(one) == repr(other)


@given(KEYS, KEYS)
def test_keys_are_the_same_only_if_value_and_type_are_all_the_way_down(one, other):
    assert (exact(one) == exact(other)) == same(one, other)


def test_equal_numbers_of_other_types_are_other_keys():
    table = EntryTable[str](True, lambda owner: True)
    for number, key in enumerate((1, 1.0, True, ((1,),), ((1.0,),))):
        table.add(key, "a", number)
    assert [entry.value for entry in table.find(1.0)] == [1]
    assert [entry.value for entry in table.find(((1.0,),))] == [4]


class Model(RuleBasedStateMachine):
    """The same operations on the table and on a list of (key, owner, value)."""

    entries = Bundle("entries")
    unique = False

    def __init__(self) -> None:
        super().__init__()
        self.dead: set[str] = set()
        self.table = EntryTable[str](self.unique, lambda owner: owner not in self.dead)
        self.model: list[Entry[str]] = []

    def living(self) -> list[Entry[str]]:
        return [entry for entry in self.model if entry.owner not in self.dead]

    @rule(key=KEYS, owner=OWNERS, value=st.integers(), target=entries)
    def add(self, key, owner, value):
        holder = [entry for entry in self.living() if same(entry.key, key)]
        if self.unique and holder:
            with pytest.raises(KeyTaken) as taken:
                self.table.add(key, owner, value)
            assert taken.value.entry is holder[0]
            return holder[0]
        if self.unique:
            self.model = [entry for entry in self.model if not same(entry.key, key)]
        entry = self.table.add(key, owner, value)
        self.model.append(entry)
        return entry

    @rule(entry=entries)
    def remove(self, entry):
        self.table.remove(entry)
        self.model = [each for each in self.model if each is not entry]

    @rule(owner=OWNERS)
    def remove_owner(self, owner):
        assert list(self.table.remove_owner(owner)) == [each for each in self.model if each.owner == owner]
        self.model = [each for each in self.model if each.owner != owner]

    @rule(owner=OWNERS)
    def die(self, owner):
        self.dead.add(owner)

    @rule(owner=OWNERS)
    def be_born(self, owner):
        self.table.remove_owner(owner)
        self.model = [each for each in self.model if each.owner != owner]
        self.dead.discard(owner)

    @rule(key=KEYS)
    def find(self, key):
        assert list(self.table.find(key)) == [each for each in self.living() if same(each.key, key)]

    @invariant()
    def owners_counts_and_contents_agree(self):
        assert len(self.table) == len(self.model)
        assert set(self.table) == set(self.living())
        for owner in "abc":
            mine = [each for each in self.model if each.owner == owner]
            assert list(self.table.of_owner(owner)) == mine
            assert self.table.has_owner(owner) == bool(mine)


class UniqueModel(Model):
    unique = True


TestDuplicateKeys = Model.TestCase
TestUniqueKeys = UniqueModel.TestCase
TestDuplicateKeys.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestUniqueKeys.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
