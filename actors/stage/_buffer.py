"""Events that a producer has made and nobody has asked for yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

__all__ = ["Buffer", "Keep"]

Keep: TypeAlias = Literal["first", "last"]


class Buffer:
    """A queue of at most `size` events (None: no bound).  When it is full it keeps the `last` or the `first` ones."""

    def __init__(self, size: int | None = 10_000, keep: Keep = "last") -> None:
        if size is not None and size < 0:
            raise ValueError(f"the size of a buffer cannot be negative: {size}")
        if keep not in ("first", "last"):
            raise ValueError(f"a buffer keeps 'first' or 'last', not {keep!r}")
        self.size = size
        self.keep = keep
        self._events: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def store(self, events: Iterable[Any]) -> list[Any]:
        """Put events in; those that there is no room for, of all that were here or came, are returned."""
        self._events.extend(events)
        if self.size is None:
            return []
        excess = len(self._events) - self.size
        if self.keep == "last":
            return [self._events.popleft() for _ in range(excess)]
        return [self._events.pop() for _ in range(excess)][::-1]

    def take(self, count: int) -> list[Any]:
        """Take out the first `count` events, or what there is."""
        return [self._events.popleft() for _ in range(min(count, len(self._events)))]
