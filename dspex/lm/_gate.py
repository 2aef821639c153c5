"""Who may send now: a pool's limiter, breaker, workers and queue in one place, read and changed by the callers
directly.

It is shared like an ETS table: callers on the pool's loop enter and leave without a message. Nothing here is
thread-safe, and nothing here waits but `enter`, in line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors import ActorRef, Reply, Scheduler
from dspex._errors import BreakerOpenError, LMRateLimitError

from ._breaker import Breaker, Failure
from ._events import BREAKER_CLOSED, BREAKER_OPENED, LIMITER_PAUSED, LIMITER_RESUMED
from ._limiter import Limiter


@dataclass(slots=True, eq=False)
class Slot:
    """A worker, as its pool publishes it."""

    ref: ActorRef[Any]
    limit: int
    in_flight: int = 0
    open: bool = True


@dataclass(slots=True, eq=False)
class _Waiting:
    tokens: float
    reply: Reply[Slot] = field(default_factory=Reply)
    gone: bool = False


class Gate:
    """First come, first served. `name` is the pool's, for messages; `on_full` is called when all workers are busy."""

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        limiter: Limiter,
        breaker: Breaker,
        on_full: Callable[[], object],
        max_queue: int = 100_000,
    ) -> None:
        self.name = name
        self.limiter = limiter
        self.breaker = breaker
        self.slots: list[Slot] = []
        self.max_queue = max_queue
        self._scheduler = scheduler
        self._clock = scheduler.clock
        self._on_full = on_full
        self._queue: deque[_Waiting] = deque()
        self._timer: Any = None
        self._paused = False
        self.closed: BaseException | None = None

    @property
    def in_flight(self) -> int:
        return sum(slot.in_flight for slot in self.slots)

    @property
    def queued(self) -> int:
        return sum(not waiting.gone for waiting in self._queue)

    def check_open(self) -> None:
        """Raise BreakerOpenError while the breaker is open. Cheap, and safe from any thread."""
        if self.breaker.opened_by is not None:
            now = self._clock.time()
            if now < self.breaker.open_until:
                raise self._breaker_error(now)

    async def enter(self, tokens: float = 0) -> Slot:
        """A slot to send one request on; give it back with `leave`. Waits in line for a free worker and the limiter.

        Raises BreakerOpenError, at once while the breaker is open, and LMRateLimitError when the queue is full.
        """
        if not self._queue:
            slot = self._admit(tokens)
            if slot is not None:
                return slot
        if len(self._queue) >= self.max_queue:
            message = (
                f"{self.name}: {len(self._queue)} requests are waiting already; send less at once, or raise max_queue"
            )
            raise LMRateLimitError(message, code="queue_full")
        waiting = _Waiting(tokens)
        self._queue.append(waiting)
        try:
            return await waiting.reply
        except BaseException:
            waiting.gone = True
            if waiting.reply.done() and waiting.reply.exception() is None:
                self.breaker.forget()
                self.leave(waiting.reply.get())  # granted in the moment in which its caller gave up
            raise

    def leave(self, slot: Slot) -> None:
        """The request is over, however it ended."""
        slot.in_flight -= 1
        if self._queue:
            self.pump()

    def record(self, failure: Failure | None) -> None:
        """The outcome of a request, for the breaker."""
        breaker = self.breaker
        was = breaker.opened_by
        breaker.record(self._clock.time() if failure is not None or was is not None else 0.0, failure)
        if breaker.opened_by is not was:
            self._breaker_changed()
        elif was is not None and self._queue:
            self.pump()

    def rejected(self, now: float, retry_after: float | None, headers: Mapping[str, str]) -> None:
        """A reply was a 429."""
        limiter = self.limiter
        limiter.rejected(now, retry_after, headers)
        if limiter.paused_until > now and not self._paused:
            self._paused = True
            measured = {"seconds": limiter.paused_until - now, "throttled": limiter.throttled}
            self._scheduler.events.emit(LIMITER_PAUSED, measured, {"pool": self.name})

    def publish(self, slot: Slot) -> None:
        """A new worker."""
        self.slots.append(slot)
        self.pump()

    def retire(self, ref: ActorRef[Any] | None) -> None:
        """A worker is gone; its requests are their callers' to send again."""
        for slot in self.slots:
            if slot.ref is ref:
                slot.open = False
        self.slots = [slot for slot in self.slots if slot.open]

    def close(self, error: BaseException) -> None:
        """The pool ends: whoever waits gets `error`."""
        self.closed = error
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            self._queue.popleft().reply.set_exception(error)

    def pump(self) -> None:
        """Let in whoever may enter, in order."""
        queue = self._queue
        while queue:
            head = queue[0]
            if not head.gone:
                try:
                    slot = self._admit(head.tokens)
                except BreakerOpenError as error:
                    head.reply.set_exception(error)
                else:
                    if slot is None:
                        return
                    head.reply.set(slot)
            queue.popleft()

    def _admit(self, tokens: float) -> Slot | None:
        if self.closed is not None:
            raise self.closed
        for slot in self.slots:
            if slot.in_flight < slot.limit:
                break
        else:
            self._on_full()
            return None
        if self.breaker.opened_by is not None:
            now = self._clock.time()
            if not self.breaker.allow(now):
                raise self._breaker_error(now)
        if not self.limiter.unlimited:
            wait = self.limiter.acquire(self._clock.time(), tokens)
            if self._paused and not self.limiter.paused_until:
                self._paused = False
                self._scheduler.events.emit(LIMITER_RESUMED, {"rate": self.limiter.rate or 0.0}, {"pool": self.name})
            if wait > 0.0:
                self.breaker.forget()
                self._come_back(wait)
                return None
        slot.in_flight += 1
        return slot

    def _come_back(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._clock.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.pump()

    def _breaker_error(self, now: float) -> BreakerOpenError:
        breaker = self.breaker
        wait = breaker.retry_after(now)
        return BreakerOpenError(
            f"{self.name} is failing ({breaker.opened_by}): nothing is sent, the next trial is in {wait:.1f} s",
            failure=breaker.opened_by,
            retry_after=wait,
            pool=self.name,
            answered=breaker.answered,
            down_for=now - breaker.down_since,
        )

    def _breaker_changed(self) -> None:
        events = self._scheduler.events
        if events.active:
            opened = self.breaker.opened_by
            about = {"pool": self.name} if opened is None else {"pool": self.name, "failure": opened}
            events.emit(BREAKER_CLOSED if opened is None else BREAKER_OPENED, {"trips": self.breaker.trips}, about)
        self.pump()
