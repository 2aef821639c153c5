"""Publish and subscribe: what happens in a system, told to whoever listens.

An event has a topic (`"scheduler.stalled"`, or the tuple `("scheduler", "stalled")`), measurements (numbers)
and metadata (anything else), after Erlang's `telemetry`.  A subscription to a topic gets that topic and all
below it; `""` gets everything.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from actors._event_stream import EventStream
from actors._log import logger

__all__ = ["Event", "EventHandler", "Events", "Subscription", "Topic"]

Topic: TypeAlias = str | tuple[str, ...]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_ROUTES_KEPT: Final = 4096
_FAILED: Final = "event subscriber failed and is unsubscribed"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.  `time` is the clock's, in seconds."""

    topic: tuple[str, ...]
    time: float
    measurements: Mapping[str, float]
    metadata: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The topic with dots: `scheduler.stalled`."""
        return ".".join(self.topic)


EventHandler: TypeAlias = Callable[[Event], None] | Callable[[Event], Awaitable[None]]


class Subscription:
    """What `Events.subscribe` gives back.  `close()` ends it; closing twice does nothing."""

    __slots__ = ("_close", "_events", "deliver", "handler", "topic")

    def __init__(
        self,
        events: Events,
        topic: tuple[str, ...],
        handler: object,
        deliver: Callable[[Event], object],
        close: Callable[[], None],
    ) -> None:
        self._events = events
        self._close = close
        self.topic = topic
        self.handler = handler
        self.deliver = deliver

    def close(self) -> None:
        """Deliver nothing more.  A delivery that runs in another thread at this moment is still finished."""
        self._events._remove(self)
        self._close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Events:
    """Topics and their subscribers.  Everything here may be called from any thread.

    Events of one emitting thread reach a subscriber in the order of their emits.  A subscriber never hurts an
    emitter: one that raises is logged and unsubscribed, a slow one with a buffer loses its oldest, counted.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.active = False
        """True while there is any subscriber.  Check it before computing what only an event needs."""
        self._now = now
        self._lock = threading.Lock()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._routes: dict[Topic, tuple[Subscription, ...]] = {}

    def emit(
        self,
        topic: Topic,
        measurements: Mapping[str, float] = _NOTHING,
        metadata: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Tell the subscribers of `topic` and of its prefixes.  No subscriber makes it raise or wait."""
        if not self.active:
            return
        routes = self._routes
        subscriptions = routes.get(topic)
        if subscriptions is None:
            subscriptions = self._route(topic)
        if not subscriptions:
            return
        event = Event(_parts(topic), self._now(), measurements, metadata)
        for subscription in subscriptions:
            try:
                subscription.deliver(event)
            except Exception:  # noqa: BLE001  the subscriber's fault must stay the subscriber's
                logger("actors.events").exception(_FAILED, topic=event.name, handler=subscription.handler)
                subscription.close()

    def wants(self, topic: Topic) -> bool:
        """True if somebody would get an event of `topic`: to skip the making of a costly one."""
        if not self.active:
            return False
        subscriptions = self._routes.get(topic)
        return bool(self._route(topic) if subscriptions is None else subscriptions)

    def subscribe(
        self,
        topic: Topic,
        handler: EventHandler,
        *,
        limit: int = 1000,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Subscription:
        """Call `handler(event)` for each event of `topic` and of the topics below it.

        A plain function runs at once in the emitting thread: keep it short.  An `async def` runs on `loop`
        (the running one by default), one event at a time, behind a buffer of `limit` that loses its oldest.
        """
        parts = _parts(topic)
        if not _is_async(handler):
            return self._add(Subscription(self, parts, handler, handler, _nothing))
        pump = _Pump(handler, limit, loop or asyncio.get_running_loop())
        subscription = Subscription(self, parts, handler, pump.stream.push, pump.close)
        pump.start(subscription)
        return self._add(subscription)

    def stream(self, topic: Topic = "", *, limit: int = 1000) -> EventStream[Event]:
        """The events of `topic` from now on, to be read by a thread (`for`) or a task (`async for`).

        It holds at most `limit` events not yet read; then the oldest is lost and `stream.dropped` counts it.
        Close it, or use it in `with`: what ends the iteration.
        """
        stream: EventStream[Event] = EventStream(limit)
        subscription = self._add(Subscription(self, _parts(topic), stream, stream.push, stream.close))
        stream.on_close = subscription.close
        return stream

    def close(self) -> None:
        """End all subscriptions; streams finish after what they still hold."""
        for subscription in self._subscriptions:
            subscription.close()

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Those open now, oldest first."""
        return self._subscriptions

    def _add(self, subscription: Subscription) -> Subscription:
        with self._lock:
            self._replace((*self._subscriptions, subscription))
        return subscription

    def _remove(self, subscription: Subscription) -> None:
        with self._lock:
            self._replace(each for each in self._subscriptions if each is not subscription)

    def _replace(self, subscriptions: Iterable[Subscription]) -> None:
        self._subscriptions = tuple(subscriptions)
        self._routes = {}
        self.active = bool(self._subscriptions)

    def _route(self, topic: Topic) -> tuple[Subscription, ...]:
        parts = _parts(topic)
        # Locked: a route found before a subscribe must not be stored after it, hiding the subscriber.
        with self._lock:
            found = tuple(each for each in self._subscriptions if each.topic == parts[: len(each.topic)])
            if len(self._routes) < _ROUTES_KEPT:
                self._routes[topic] = found
        return found


class _Pump:
    """Feeds an `async def` handler from a bounded stream, in one task on its loop."""

    def __init__(self, handler: EventHandler, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.stream: EventStream[Event] = EventStream(limit)
        self._handler = handler
        self._loop = loop
        self._task: asyncio.Task[None] | None = None

    def start(self, subscription: Subscription) -> None:
        self._loop.call_soon_threadsafe(self._spawn, subscription)

    def close(self) -> None:
        self.stream.close(discard=True)

    def _spawn(self, subscription: Subscription) -> None:
        # Held here: a loop keeps only weak references to its tasks.
        self._task = self._loop.create_task(self._run(subscription))

    async def _run(self, subscription: Subscription) -> None:
        try:
            async for event in self.stream:
                result = self._handler(event)
                if result is not None:
                    await result
        except Exception:  # noqa: BLE001  the same rule as for a plain function
            logger("actors.events").exception(_FAILED, topic=".".join(subscription.topic), handler=self._handler)
        finally:
            subscription.close()


def _parts(topic: Topic) -> tuple[str, ...]:
    if isinstance(topic, tuple):
        return topic
    return tuple(topic.split(".")) if topic else ()


def _is_async(handler: Callable[..., object]) -> bool:
    call = type(handler).__call__  # an object may have an async __call__
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def _nothing() -> None:
    pass
