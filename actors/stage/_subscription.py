"""A subscription: what ties one consumer to one producer, and what the two say to each other about it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from actors._exits import ExitReason, Normal
from actors._ref import ActorRef
from actors.stage._demand import Demand
from actors.stage._dispatcher import SubscriptionError

__all__ = [
    "Ask",
    "CancelMode",
    "CancelSubscription",
    "Cancelled",
    "CountBuffered",
    "Dispatched",
    "SetDemand",
    "Subscribe",
    "Subscribed",
    "Subscription",
    "post",
]

Ref: TypeAlias = ActorRef[Any]
CancelMode: TypeAlias = Literal["permanent", "transient", "temporary"]

_MODES: tuple[CancelMode, ...] = ("permanent", "transient", "temporary")


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One consumer's subscription to one producer.

    cancel: what the end of the subscription does to the consumer.  `permanent`: it ends too, with the same
        reason; `transient`: only if that reason is abnormal; `temporary`: it goes on.
    manual: nothing is asked for but by `ask`.
    options: for the producer's dispatcher, such as `partition` or `selector`.
    """

    producer: Ref
    consumer: Ref
    max_demand: int = 1000
    min_demand: int | None = None
    cancel_mode: CancelMode = "permanent"
    manual: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"subscription of {self.consumer} to {self.producer}"

    def account(self) -> Demand:
        """The consumer's account of it.

        Raises:
            SubscriptionError: the options make no sense.
        """
        if self.cancel_mode not in _MODES:
            raise SubscriptionError(f"cancel must be one of {', '.join(_MODES)}, not {self.cancel_mode!r}")
        return Demand(self.max_demand, self.min_demand)

    def ends_consumer(self, reason: ExitReason) -> bool:
        """True if the consumer must end when the subscription ends for this reason."""
        return self.cancel_mode == "permanent" or (self.cancel_mode == "transient" and reason.abnormal)

    def ask(self, count: int) -> None:
        """Ask the producer for `count` more events: for manual subscriptions.  Any thread."""
        if count < 1:
            raise SubscriptionError(f"at least one event must be asked for, not {count}")
        post(self.producer, Ask(self, count))

    def cancel(self, reason: ExitReason | None = None) -> None:
        """End the subscription, `Normal` by default.  What the producer has sent by then is still handled."""
        post(self.producer, CancelSubscription(self, reason if reason is not None else Normal()))


@dataclass(frozen=True, slots=True)
class Subscribe:
    """To a consumer: subscribe to `producer`.  The answer is the `Subscription`."""

    producer: Ref
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """To the producer: here is a consumer."""

    subscription: Subscription


@dataclass(frozen=True, slots=True)
class Ask:
    """To the producer: the consumer can take so many more."""

    subscription: Subscription
    count: int


@dataclass(frozen=True, slots=True)
class CancelSubscription:
    """To the producer: end this subscription."""

    subscription: Subscription
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Dispatched:
    """To the consumer: events that it has asked for."""

    subscription: Subscription
    events: list[Any]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """To the consumer: the producer has ended this subscription."""

    subscription: Subscription
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class SetDemand:
    """To the producer: hold demand back, or let it through."""

    forward: bool


@dataclass(frozen=True, slots=True)
class CountBuffered:
    """To the producer: how many events are buffered?"""


def post(ref: Ref, message: Any) -> None:
    """Send a stage's own message, in the sender's context.  Demand bounds it, so a mailbox's bound does not."""
    process = ref._process
    if process is not None:
        process.deliver_notice(message, None, copy_context())
