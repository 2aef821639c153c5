"""The consuming side of a stage: producers, what is asked of them, and what they send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

from actors._errors import HandlerError, Reject
from actors._exits import ExitReason
from actors._links import Monitor
from actors._messages import Down
from actors._ref import ActorRef
from actors.stage._base import Stage, _result
from actors.stage._demand import Batch, Demand
from actors.stage._dispatcher import SubscriptionError
from actors.stage._subscription import (
    Cancelled,
    Dispatched,
    Subscribe,
    Subscribed,
    Subscription,
    post,
)

__all__ = ["Consuming", "Ending"]

Ending: TypeAlias = Literal["cancel", "down"]
"""How a subscription has ended: it was cancelled, or its producer has ended."""


@dataclass(slots=True)
class _Upstream:
    """One producer, from its consumer's side.  The account of a manual subscription is not kept."""

    demand: Demand
    monitor: Monitor


class Consuming(Stage):
    """Subscribes to producers and gets their events in batches."""

    stage_handlers: ClassVar[dict[str, int]] = {
        **Stage.stage_handlers,
        "handle_events": 2,
        "handle_subscribe": 1,
        "handle_cancel": 3,
    }

    def handle_events(self, events: Sequence[Any], subscription: Subscription) -> Any:
        """A batch of events, at most `max_demand - min_demand` of them, in the producer's order."""
        raise HandlerError(f"{type(self).__qualname__} consumes events and has no handle_events")

    def handle_subscribe(self, subscription: Subscription) -> Any:
        """A subscription begins.  A manual one may be kept here, to ask by."""

    def handle_cancel(self, subscription: Subscription, ending: Ending, reason: ExitReason) -> Any:
        """A subscription has ended.  Afterwards its cancel mode decides whether this stage ends too."""

    async def subscribe(
        self,
        to: ActorRef[Any],
        *,
        max_demand: int = 1000,
        min_demand: int | None = None,
        cancel: Literal["permanent", "transient", "temporary"] = "permanent",
        manual: bool = False,
        **options: Any,
    ) -> Subscription:
        """Subscribe to a producer: `await` it in `on_start` or any handler.  See `Subscription` for the options.

        Raises:
            SubscriptionError: they make no sense.
        """
        subscription = Subscription(to, self.actor_ref, max_demand, min_demand, cancel, manual, options)
        account = subscription.account()
        self._upstream[subscription] = _Upstream(account, self.monitor(to))
        post(to, Subscribed(subscription))
        await _result(self.handle_subscribe(subscription))
        if not manual:
            subscription.ask(account.maximum)
        return subscription

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Those that are open, the oldest first."""
        return tuple(self._upstream)

    # -- inside

    @cached_property
    def _upstream(self) -> dict[Subscription, _Upstream]:
        return {}

    async def _route(self, message: Any) -> Any:
        match message:
            case Dispatched(subscription, events):
                if subscription in self._upstream:
                    await self._consume(subscription, events)
            case Cancelled(subscription, reason):
                if subscription in self._upstream:
                    await self._ended(subscription, "cancel", reason)
            case Down(monitor, _, reason) if (lost := self._upstream_of(monitor)) is not None:
                await self._ended(lost, "down", reason)
            case Subscribe(producer, options):
                try:
                    return await self.subscribe(producer, **options)
                except SubscriptionError as error:
                    raise Reject(error) from error
            case _:
                return await super()._route(message)
        return None

    async def _consume(self, subscription: Subscription, events: list[Any]) -> None:
        account = self._upstream[subscription].demand
        if subscription.manual:
            await self._handle_batch(subscription, Batch(events, 0))
            return
        excess = account.excess
        for batch in account.cut(events):
            await self._handle_batch(subscription, batch)
            if batch.ask:
                subscription.ask(batch.ask)
        if account.excess > excess:
            self._drop(f"{subscription.producer} sent more events than it was asked for", account.excess - excess)

    async def _handle_batch(self, subscription: Subscription, batch: Batch) -> None:
        await _result(self.handle_events(batch.events, subscription))

    async def _ended(self, subscription: Subscription, ending: Ending, reason: ExitReason) -> None:
        upstream = self._upstream.pop(subscription)
        self.demonitor(upstream.monitor)
        await _result(self.handle_cancel(subscription, ending, reason))
        if subscription.ends_consumer(reason):
            self.exit(reason)

    def _upstream_of(self, monitor: Monitor) -> Subscription | None:
        return next((each for each, held in self._upstream.items() if held.monitor is monitor), None)
