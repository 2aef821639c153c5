"""What a producer's dispatcher is: who gets which events, and how much to ask for.  Values in, values out.

A consumer stands for one subscription; any hashable will do.  A dispatcher belongs to one producer, performs
nothing itself, and keeps these laws, whatever it does in detail: it never hands a consumer more than it has asked
for, it keeps the order of events, and no event is lost but those it reports as discarded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from actors._errors import ActorError

__all__ = ["Consumer", "Delivery", "Dispatcher", "Step", "SubscriptionError"]

Consumer: TypeAlias = Hashable
Delivery: TypeAlias = tuple[Consumer, list[Any]]


class SubscriptionError(ActorError, ValueError):
    """The options of a subscription are wrong, or the producer cannot take it."""


@dataclass(slots=True)
class Step:
    """What is to be done after one operation on a dispatcher.

    demand: so many more events are to be asked of the producer, if none wait in a buffer.  (A stage, which has one,
        goes by `available` and by what its producer still owes: that cannot drift.)
    deliveries: events to be sent, in this order.
    leftover: events that nobody has asked for: they go to the producer's buffer.
    discarded: events that will reach nobody, because no partition wants them or their consumer left.
    """

    demand: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    leftover: list[Any] = field(default_factory=list)
    discarded: list[Any] = field(default_factory=list)


class Dispatcher(ABC):
    """The decisions of one producer.  Not thread-safe: its producer is an actor."""

    @abstractmethod
    def subscribe(self, consumer: Consumer, options: Mapping[str, Any]) -> Step:
        """A consumer comes, with the options of its subscription.

        Raises:
            SubscriptionError: it cannot be taken; nothing has changed.
        """

    @abstractmethod
    def cancel(self, consumer: Consumer) -> Step:
        """A consumer leaves."""

    @abstractmethod
    def ask(self, consumer: Consumer, count: int) -> Step:
        """A consumer can take `count` more events."""

    @abstractmethod
    def dispatch(self, events: Iterable[Any]) -> Step:
        """The producer has events."""

    @property
    @abstractmethod
    def available(self) -> int:
        """How many events `dispatch` would take now without leftover."""

    @property
    def held(self) -> int:
        """How many events it has taken and keeps for consumers that have not asked yet."""
        return 0
