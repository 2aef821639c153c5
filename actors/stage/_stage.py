"""Stages: producers and consumers that exchange events at the pace of demand (Elixir's GenStage).

A consumer asks its producers for so many events; a producer never sends more than it was asked for.  So a slow
consumer slows its producers, and nothing piles up between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Literal

from actors._errors import HandlerError
from actors._exits import ExitReason
from actors._ref import ActorRef
from actors._reply import Reply
from actors.stage._base import _result
from actors.stage._consuming import Consuming, Ending
from actors.stage._demand import Batch
from actors.stage._producing import Producing
from actors.stage._subscription import CountBuffered, SetDemand, Subscribe, Subscription

__all__ = [
    "Consumer",
    "IterableProducer",
    "Producer",
    "ProducerConsumer",
    "count_buffered",
    "set_demand",
    "subscribe",
]


class _More:
    """To oneself: go on meeting demand, after the mail that came meanwhile."""

    __slots__ = ()


class Producer(Producing):
    """Makes events when it is asked: `handle_demand(count)` returns them, or `emit`s them, then or later.

    What it makes beyond the demand is buffered.  Demand that it has not met is not repeated to it.
    """

    stage_handlers: ClassVar[dict[str, int]] = {**Producing.stage_handlers, "handle_demand": 1}

    def handle_demand(self, count: int) -> Any:
        """So many more events are wanted.  Returning fewer, or None, is allowed: `emit` the others when they come."""
        raise HandlerError(f"{type(self).__qualname__} produces events and has no handle_demand")

    _owed = 0  # demand that was passed on, or is held back, and not met yet
    _serving = False
    _forward: bool | None = None  # None: as `initial_demand` says

    @cached_property
    def _held_back(self) -> deque[int]:
        return deque()

    async def _route(self, message: Any) -> Any:
        if type(message) is _More:
            self._serving = False
            await self._serve()
            return None
        return await super()._route(message)

    async def _serve(self) -> None:
        self._drain()
        missing = self._dispatcher.available - self._owed
        if missing <= 0:
            return
        self._owed += missing
        if self._forward is False or (self._forward is None and self.initial_demand == "accumulate"):
            self._held_back.append(missing)
            return
        await self._produce(missing)
        # A selector may have kept events back, whose place others must take: not in a loop here, which an
        # unlucky selector would never let end.
        if self._dispatcher.available > self._owed and not self._serving:
            self._serving = True
            self.deliver_notice(_More())

    async def _produce(self, count: int) -> None:
        events = await _result(self.handle_demand(count))
        if events is not None:
            self.emit(events)

    async def _set_demand(self, forward: bool) -> None:
        self._forward = forward
        while forward and self._held_back:
            await self._produce(self._held_back.popleft())

    def _has_emitted(self, count: int) -> None:
        self._owed = max(0, self._owed - count)


class Consumer(Consuming):
    """Handles events: `handle_events(events, subscription)`."""


class ProducerConsumer(Consuming, Producing):
    """Turns events into events: what `handle_events` returns is handed on.

    It asks its producers by its own demands, and takes up what they send only when its consumers have asked for
    something.  Its buffer is unbounded, since one event may become many.  When a subscription of it ends in order,
    what came before is handed on first; an abnormal end takes effect at once.
    """

    stage_handlers: ClassVar[dict[str, int]] = {**Consuming.stage_handlers, **Producing.stage_handlers}

    buffer_size: int | None = None

    @cached_property
    def _waiting(self) -> deque[tuple[Subscription, list[Any] | tuple[Ending, ExitReason]]]:
        return deque()

    async def _consume(self, subscription: Subscription, events: list[Any]) -> None:
        self._waiting.append((subscription, events))
        await self._serve()

    async def _ended(self, subscription: Subscription, ending: Ending, reason: ExitReason) -> None:
        if reason.abnormal:
            await Consuming._ended(self, subscription, ending, reason)
        else:
            self._waiting.append((subscription, (ending, reason)))
            await self._serve()

    async def _serve(self) -> None:
        self._drain()
        while self._waiting:
            subscription, item = self._waiting[0]
            if isinstance(item, tuple):
                if self.buffered and subscription.ends_consumer(item[1]):
                    return  # not before its last events are handed on
                self._waiting.popleft()
                if subscription in self._upstream:
                    await Consuming._ended(self, subscription, *item)
                continue
            if self._dispatcher.available <= 0:
                return
            self._waiting.popleft()
            if subscription in self._upstream:
                await Consuming._consume(self, subscription, item)
            self._drain()

    async def _handle_batch(self, subscription: Subscription, batch: Batch) -> None:
        events = await _result(self.handle_events(batch.events, subscription))
        if events is not None:
            self.emit(events)


class IterableProducer(Producer):
    """Produces what an iterable gives, drawn only as it is asked for; ends with `Normal` when all is handed out."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterator: Iterator[Any] = iter(iterable)
        self._exhausted = False

    def handle_demand(self, count: int) -> Sequence[Any]:
        events = list(islice(self._iterator, count))
        self._exhausted = len(events) < count
        return events

    async def _serve(self) -> None:
        await super()._serve()
        if self._exhausted and not self.buffered:
            self.stop()


def subscribe(consumer: ActorRef[Any], to: ActorRef[Any], **options: Any) -> Reply[Subscription]:
    """Let `consumer` subscribe to the producer `to`; see `Consumer.subscribe` for the options.  Any thread.

    The reply is a `SubscriptionError` if they make no sense.
    """
    return consumer.call(Subscribe(to, options))


def set_demand(producer: ActorRef[Any], demand: Literal["forward", "accumulate"]) -> Reply[None]:
    """Let demand through to `handle_demand`, what was held back first; or hold it back from now on."""
    if demand not in ("forward", "accumulate"):
        raise ValueError(f"demand is 'forward' or 'accumulate', not {demand!r}")
    return producer.call(SetDemand(demand == "forward"))


def count_buffered(producer: ActorRef[Any]) -> Reply[int]:
    """How many events the producer has made that nobody has asked for."""
    return producer.call(CountBuffered())
