"""The producing side of a stage: consumers, their demand, and the events for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar, Literal

from actors._exits import Crash, ExitReason
from actors._links import Monitor
from actors._messages import Down
from actors.stage._base import Stage, _result
from actors.stage._buffer import Buffer, Keep
from actors.stage._demand_dispatcher import DemandDispatcher
from actors.stage._dispatcher import Consumer, Dispatcher, Step
from actors.stage._subscription import (
    Ask,
    Cancelled,
    CancelSubscription,
    CountBuffered,
    Dispatched,
    SetDemand,
    Subscribed,
    Subscription,
    post,
)

__all__ = ["Producing"]


class Producing(Stage):
    """Takes subscriptions and hands events out; how it comes by them is for the class below to say.

    buffer_size, buffer_keep: for events that nobody has asked for yet; None is unbounded.
    initial_demand: `accumulate` holds demand back until `set_demand(ref, "forward")`.
    """

    stage_handlers: ClassVar[dict[str, int]] = {**Stage.stage_handlers, "handle_consumer": 1, "handle_consumer_gone": 2}

    buffer_size: int | None = 10_000
    buffer_keep: Keep = "last"
    initial_demand: Literal["forward", "accumulate"] = "forward"

    def make_dispatcher(self) -> Dispatcher:
        """The rule by which events are handed out; called once.  Override it for another one."""
        return DemandDispatcher()

    def handle_consumer(self, subscription: Subscription) -> Any:
        """A consumer has come."""

    def handle_consumer_gone(self, subscription: Subscription, reason: ExitReason) -> Any:
        """A consumer has cancelled, or ended."""

    def emit(self, events: Iterable[Any]) -> None:
        """Hand out events, asked for or not, in this order.  Only in this stage's own handlers."""
        batch = list(events)
        self._has_emitted(len(batch))
        if self._buffer:
            self._store(batch)
            self._drain()
        else:
            step = self._dispatcher.dispatch(batch)
            self._perform_step(step)
            self._store(step.leftover)

    @property
    def buffered(self) -> int:
        """How many events wait for demand."""
        return len(self._buffer) + self._dispatcher.held

    # -- inside

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        return self.make_dispatcher()

    @cached_property
    def _buffer(self) -> Buffer:
        return Buffer(self.buffer_size, self.buffer_keep)

    @cached_property
    def _consumers(self) -> dict[Subscription, Monitor]:
        return {}

    async def _route(self, message: Any) -> Any:
        match message:
            case Ask(subscription, count):
                if subscription in self._consumers:
                    self._perform_step(self._dispatcher.ask(subscription, count))
                    await self._serve()
            case Subscribed(subscription):
                await self._welcome(subscription)
            case CancelSubscription(subscription, reason):
                if subscription in self._consumers:
                    self.demonitor(self._consumers[subscription])
                    post(subscription.consumer, Cancelled(subscription, reason))
                    await self._bid_farewell(subscription, reason)
            case Down(monitor, _, reason) if (gone := self._subscription_of(monitor)) is not None:
                await self._bid_farewell(gone, reason)
            case CountBuffered():
                return self.buffered
            case SetDemand(forward):
                await self._set_demand(forward)
            case _:
                answer = await super()._route(message)
                await self._serve()
                return answer
        return None

    async def _serve(self) -> None:
        """Demand may have grown: meet it."""
        self._drain()

    async def _set_demand(self, forward: bool) -> None:
        """Hold demand back, or let it through."""

    def _has_emitted(self, count: int) -> None:
        """So many events are being handed out."""

    async def _welcome(self, subscription: Subscription) -> None:
        try:
            step = self._dispatcher.subscribe(subscription, subscription.options)
        except ValueError as error:
            self._drop(f"subscription refused: {error}", 0)
            post(subscription.consumer, Cancelled(subscription, Crash.of(error)))
            return
        self._consumers[subscription] = self.monitor(subscription.consumer)
        self._perform_step(step)
        await _result(self.handle_consumer(subscription))

    async def _bid_farewell(self, subscription: Subscription, reason: ExitReason) -> None:
        del self._consumers[subscription]
        self._perform_step(self._dispatcher.cancel(subscription))
        await _result(self.handle_consumer_gone(subscription, reason))
        await self._serve()

    def _subscription_of(self, monitor: Monitor) -> Subscription | None:
        return next((each for each, held in self._consumers.items() if held is monitor), None)

    def _drain(self) -> None:
        while self._buffer and (available := self._dispatcher.available) > 0:
            self._perform_step(self._dispatcher.dispatch(self._buffer.take(available)))

    def _store(self, events: list[Any]) -> None:
        if events and (lost := self._buffer.store(events)):
            self._drop("the buffer of a stage is full and has lost events", len(lost))

    def _perform_step(self, step: Step) -> None:
        if step.discarded:
            self._drop("a dispatcher has discarded events", len(step.discarded))
        for consumer, events in step.deliveries:
            self._deliver_events(consumer, events)

    def _deliver_events(self, consumer: Consumer, events: list[Any]) -> None:
        assert isinstance(consumer, Subscription)
        post(consumer.consumer, Dispatched(consumer, events))
