"""Every event to every consumer, at the pace of the slowest (GenStage's `BroadcastDispatcher`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from actors.stage._dispatcher import Consumer, Dispatcher, Step, SubscriptionError

__all__ = ["BroadcastDispatcher"]


@dataclass(slots=True)
class _Seat:
    demand: int
    selector: Callable[[Any], bool] | None


class BroadcastDispatcher(Dispatcher):
    """Option of a subscription: `selector`, a function of the event; only those for which it is true are sent.

    What a selector keeps from a consumer does not count against what it asked for.  A new consumer gets events from
    its subscription on, and holds all others until it asks.
    """

    def __init__(self) -> None:
        self._seats: dict[Consumer, _Seat] = {}
        self._waiting = 0  # what all have asked for: the least of their demands
        self._pending = 0  # asked of the producer, but not wanted by all any more

    @property
    def available(self) -> int:
        return self._waiting

    def subscribe(self, consumer: Consumer, options: Mapping[str, Any]) -> Step:
        selector = options.get("selector")
        if selector is not None and not callable(selector):
            raise SubscriptionError(f"the selector of a subscription must be a function of the event, not {selector!r}")
        self._seats[consumer] = _Seat(0, selector)
        self._pending += self._waiting
        self._waiting = 0
        return Step()

    def cancel(self, consumer: Consumer) -> Step:
        del self._seats[consumer]
        if not self._seats:
            self._pending += self._waiting
            self._waiting = 0
            return Step()
        return Step(demand=self._catch_up())  # it may have been the slowest

    def ask(self, consumer: Consumer, count: int) -> Step:
        self._seats[consumer].demand += count
        return Step(demand=self._catch_up())

    def dispatch(self, events: Iterable[Any]) -> Step:
        left = list(events)
        now, left = left[: self._waiting], left[self._waiting :]
        step = Step(leftover=left)
        if not now:
            return step
        self._waiting -= len(now)
        for consumer, seat in self._seats.items():
            batch = now if seat.selector is None else [event for event in now if seat.selector(event)]
            seat.demand -= len(batch)
            if batch:
                step.deliveries.append((consumer, list(batch)))
        step.demand = self._catch_up()  # where a selector has kept events back
        return step

    def _catch_up(self) -> int:
        """Raise what is waited for to what all have asked for; what of it the producer has still to be asked."""
        least = min(seat.demand for seat in self._seats.values())
        increase, self._waiting = least - self._waiting, least
        already_asked = min(self._pending, increase)
        self._pending -= already_asked
        return increase - already_asked
