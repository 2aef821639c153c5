"""Each event to one consumer: the one that has asked for most (GenStage's `DemandDispatcher`)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any, TypeAlias

from actors.stage._dispatcher import Consumer, Dispatcher, Step

__all__ = ["DemandDispatcher"]

# (-demand, number): sorting puts the greatest demand first and, of equals, the one that has had it longest.
_Place: TypeAlias = tuple[int, int]


class DemandDispatcher(Dispatcher):
    """The default.  What was asked for by a consumer that left is not asked for again."""

    def __init__(self) -> None:
        self._places: list[tuple[int, int, Consumer]] = []
        self._place_of: dict[Consumer, _Place] = {}
        self._numbers = count()
        self._available = 0
        self._pending = 0  # asked of the producer for consumers that have left since

    @property
    def available(self) -> int:
        return self._available

    def subscribe(self, consumer: Consumer, options: Mapping[str, Any]) -> Step:
        self._put(consumer, 0)
        return Step()

    def cancel(self, consumer: Consumer) -> Step:
        demand = self._take(consumer)
        self._available -= demand
        self._pending += demand
        return Step()

    def ask(self, consumer: Consumer, count: int) -> Step:
        self._put(consumer, self._take(consumer) + count)
        self._available += count
        already_asked = min(self._pending, count)
        self._pending -= already_asked
        return Step(demand=count - already_asked)

    def dispatch(self, events: Iterable[Any]) -> Step:
        left = list(events)
        step = Step()
        while left and self._places and self._places[0][0] < 0:
            demand, _, consumer = self._places[0]
            batch, left = left[:-demand], left[-demand:]
            step.deliveries.append((consumer, batch))
            self._put(consumer, self._take(consumer) - len(batch))
            self._available -= len(batch)
        step.leftover = left
        self._pending = max(0, self._pending - len(left))  # these came for those who left; they wait in the buffer
        return step

    def _take(self, consumer: Consumer) -> int:
        place = self._place_of.pop(consumer)
        del self._places[bisect_left(self._places, place)]
        return -place[0]

    def _put(self, consumer: Consumer, demand: int) -> None:
        place = self._place_of[consumer] = (-demand, next(self._numbers))
        insort(self._places, (*place, consumer))
