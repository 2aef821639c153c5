"""Who is entered under which key: the table inside a registry, without locks and without actors.

Keys are compared as Elixir's `===` does: `1`, `1.0` and `True` are three keys, inside tuples and frozensets too.
Adding, finding and removing cost the same however many entries there are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Entry", "EntryTable", "KeyTaken", "exact"]

O = TypeVar("O", bound=Hashable)  # noqa: E741  an owner
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def exact(key: Hashable) -> Hashable:
    """A stand-in for `key` that equals another's only if the keys are equal and of one type, all the way down."""
    kind = type(key)
    if kind is tuple:
        return (tuple, tuple(map(exact, key)))  # type: ignore[call-overload]
    if kind is frozenset:
        return (frozenset, frozenset(map(exact, key)))  # type: ignore[call-overload]
    return (kind, key)


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Generic[O]):
    """`owner` is entered under `key`, with a value of its own."""

    key: Hashable
    owner: O
    value: Any = None


class KeyTaken(Exception):
    """The table is unique and a living owner holds the key.  The registry knows what to say to people."""

    def __init__(self, entry: Entry[Any]) -> None:
        self.entry = entry
        super().__init__(entry)


class EntryTable(Generic[O]):
    """Entries by key and by owner.  `is_alive(owner)` is asked whenever it matters: a dead one counts as absent."""

    def __init__(self, unique: bool, is_alive: Callable[[O], bool]) -> None:
        self.unique = unique
        self._is_alive = is_alive
        self._by_key: _Many[Hashable, Entry[O]] = _Many()
        self._by_owner: _Many[O, Entry[O]] = _Many()

    def add(self, key: Hashable, owner: O, value: Any = None) -> Entry[O]:
        """Enter `owner`.

        Raises:
            KeyTaken: the table is unique and a living owner, be it the same, holds the key.
        """
        name = exact(key)
        if self.unique:
            for held in self._by_key.get(name):
                if self._is_alive(held.owner):
                    raise KeyTaken(held)
                self._discard(name, held)
        entry = Entry(key, owner, value)
        self._by_key.add(name, entry)
        self._by_owner.add(owner, entry)
        return entry

    def find(self, key: Hashable) -> tuple[Entry[O], ...]:
        """The entries of living owners under `key`, the oldest first."""
        return tuple(entry for entry in self._by_key.get(exact(key)) if self._is_alive(entry.owner))

    def of_owner(self, owner: O) -> tuple[Entry[O], ...]:
        """All entries of `owner`, the oldest first."""
        return self._by_owner.get(owner)

    def has_owner(self, owner: O) -> bool:
        """True if it has any entry."""
        return owner in self._by_owner

    def remove(self, entry: Entry[O]) -> None:
        """Take one entry out; no effect if it is out already."""
        self._discard(exact(entry.key), entry)

    def remove_owner(self, owner: O) -> tuple[Entry[O], ...]:
        """Take all entries of `owner` out and return them."""
        entries = self._by_owner.get(owner)
        for entry in entries:
            self.remove(entry)
        return entries

    def replace_value(self, entry: Entry[O], value: Any) -> Entry[O]:
        """Give an entry of a unique table another value."""
        self.remove(entry)
        return self.add(entry.key, entry.owner, value)

    def __iter__(self) -> Iterator[Entry[O]]:
        """The entries of living owners, in no order that is promised."""
        return (entry for entry in self._by_key.items() if self._is_alive(entry.owner))

    def __len__(self) -> int:
        """How many entries there are, those of owners who died a moment ago included."""
        return self._by_key.size

    def _discard(self, name: Hashable, entry: Entry[O]) -> None:
        if self._by_key.discard(name, entry):
            self._by_owner.discard(entry.owner, entry)


class _Many(Generic[K, V]):
    """Key to items, in order.  One item, the usual case, is held bare; more of them in a dict."""

    __slots__ = ("_items", "size")

    def __init__(self) -> None:
        self._items: dict[K, V | dict[V, None]] = {}
        self.size = 0

    def add(self, key: K, item: V) -> None:
        held = self._items.get(key)
        if held is None:
            self._items[key] = item
        elif type(held) is dict:
            held[item] = None
        else:
            self._items[key] = {held: None, item: None}  # type: ignore[dict-item]
        self.size += 1

    def get(self, key: K) -> tuple[V, ...]:
        held = self._items.get(key)
        if held is None:
            return ()
        return tuple(held) if type(held) is dict else (held,)  # type: ignore[return-value]

    def discard(self, key: K, item: V) -> bool:
        held = self._items.get(key)
        if held is item:
            del self._items[key]
        elif type(held) is dict and item in held:
            del held[item]
            if not held:
                del self._items[key]
        else:
            return False
        self.size -= 1
        return True

    def items(self) -> list[V]:
        return [item for key in list(self._items) for item in self.get(key)]

    def __contains__(self, key: K) -> bool:
        return key in self._items
