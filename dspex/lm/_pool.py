"""One pool per provider, model and key: supervised workers, and the handle that callers hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from actors import ActorDeadError, ActorRef, Reply, Scheduler, Shutdown
from dspex._errors import LMError, LMRateLimitError, LMTransportError
from dspex._resting import place
from supervision import ChildSpec, DynamicSupervisor, start_child, terminate_child

from ._breaker import Breaker, BreakerPolicy, failure_of
from ._deposit import Deposit
from ._events import RETRY, error_text
from ._feed import Feed, Head
from ._gate import Gate, Slot
from ._hang import Patience
from ._http1 import RawReply
from ._limiter import Limiter
from ._messages import Abort, Exchange, OpenStream
from ._retry import Retries, RetryPolicy, with_retries
from ._transport import Transport
from ._worker import Worker

T = TypeVar("T")
RESTARTS = 50  # of a pool's workers, within so many seconds, before the pool gives up
RESTARTS_WITHIN = 5.0
_LOOK = 0.25  # seconds between two looks whether a worker that is to go has nothing left to do


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """`max_in_flight` requests at most are under way; `worker_limit` of them in one worker, so that one crash costs
    no more.
    """

    max_in_flight: int = 16_384
    worker_limit: int = 512
    rpm: float | None = None
    tpm: float | None = None
    breaker: BreakerPolicy | None = None
    max_queue: int = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a pool sends it, with what it may cost in time and tries. `deadline` is on the scheduler's
    clock; `tokens` are charged to a limiter that counts them.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float | None
    deadline: float | None
    retry: RetryPolicy
    tokens: float = 0.0

    def bounded(self, deadline: float | None, now: float, counted: bool) -> Call:
        """The same with a deadline, and without its tokens where nobody counts them."""
        timeout = self.timeout
        if deadline is not None:
            left = max(0.001, deadline - now)
            timeout = left if timeout is None else min(timeout, left)
        elif not self.tokens or counted:
            return self
        return replace(self, timeout=timeout, deadline=deadline, tokens=self.tokens if counted else 0.0)


@dataclass(slots=True)
class _Sending(Generic[T]):
    """A call while it is tried: `sent` so many times."""

    call: Call
    read: Callable[[RawReply], T]
    deposit: Deposit | None
    sent: int = 0


class Pool:
    """What callers hold: `request` and `open_stream`, on the pool's loop.

    Its workers are children of a `DynamicSupervisor`, itself a child of `pools`: one that crashes is started anew and
    publishes itself at the gate; when they crash too often the pool ends, its calls fail, and the next call makes
    another. The workers share one transport, so a restart keeps the connections.
    """

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        pools: ActorRef[Any],
        transport: Transport,
        options: PoolOptions,
    ) -> None:
        self.name = name
        self.scheduler = scheduler
        self.options = options
        self.transport = transport
        limiter = Limiter(options.rpm, options.tpm, now=scheduler.clock.time())
        self.gate = Gate(name, scheduler, limiter, Breaker(options.breaker), self._full, options.max_queue)
        self.patience = Patience()
        self.requests = self.failures = self.retries = 0
        self.supervisor: ActorRef[Any] | None = None
        self._workers = 0
        spec = ChildSpec(
            name, (DynamicSupervisor, (name,), {"intensity": RESTARTS, "period": RESTARTS_WITHIN}), restart="temporary"
        )
        start_child(pools, spec).add_done_callback(self._started)

    def stop(self, reason: str) -> None:
        """Take no more requests, fail those that wait, and let the workers go."""
        self.gate.close(LMTransportError(f"{self.name}: the pool has ended ({reason})", code="closed"))
        if self.supervisor is not None:
            self.supervisor.exit(Shutdown())

    def _started(self, reply: Reply[Any]) -> None:
        error = reply.exception()
        if error is not None:
            self.stop(str(error))
            return
        self.supervisor = supervisor = reply.get()
        supervisor.monitor(lambda down: self.stop(str(down.reason)))
        self._add_worker()

    def _add_worker(self) -> None:
        left = self.options.max_in_flight - self.options.worker_limit * self._workers
        limit = min(self.options.worker_limit, left)
        if limit <= 0 or self.supervisor is None or not self.supervisor.is_alive():
            return
        self._workers += 1
        start_child(self.supervisor, ChildSpec("worker", (Worker, (self.transport, self.gate, limit))))

    def _full(self) -> None:
        if 0 < self._workers == len(self.gate.slots):  # one more at a time: the last that was asked for is at work
            self._add_worker()

    def resize(self, workers: int) -> None:
        """Have at most so many workers from now on, each for `worker_limit` requests at once. On the loop. Requests
        under way end where they are.
        """
        limit = self.options.worker_limit
        self.options = replace(self.options, max_in_flight=workers * limit)
        for number, slot in enumerate(list(self.gate.slots)):
            if number < workers:
                slot.limit = limit
            else:
                slot.limit = 0
                self._dismiss(slot)
        self.gate.pump()

    def _dismiss(self, slot: Slot) -> None:
        """Let a worker go when its last request has ended."""
        if slot.limit or not slot.open or self.supervisor is None or not self.supervisor.is_alive():
            return  # needed again, or gone
        if slot.in_flight:
            self.scheduler.clock.call_later(_LOOK, lambda: self._dismiss(slot))
            return
        self._workers -= 1
        terminate_child(self.supervisor, slot.ref)

    async def request(self, call: Call, read: Callable[[RawReply], T], deposit: Deposit | None = None) -> tuple[T, int]:
        """(what `read` makes of the reply, how many requests were sent). `read` raises what the reply means otherwise.

        Retries as `call.retry` says; a retry that waits holds no worker. Raises the last LMError. Each try has its
        room in the budget, if there is a `deposit`, before it is sent.
        """
        sending = _Sending(call, read, deposit)
        try:
            try:
                return await self._exchange(sending), sending.sent
            except LMError as error:
                return await self._again(partial(self._exchange, sending), call, error), sending.sent
        except LMError as last:
            if sending.sent > 1:
                last.add_note(f"sent {sending.sent} times")
            raise

    async def retried(self, attempt: Callable[[], Awaitable[T]], call: Call) -> T:
        """`attempt`, again and again as `call.retry` says. A waiting retry holds no worker."""
        try:
            return await attempt()
        except LMError as error:
            return await self._again(attempt, call, error)

    async def _again(self, attempt: Callable[[], Awaitable[T]], call: Call, error: LMError) -> T:
        """`attempt` after a first one that failed."""
        self.failures += 1
        retries = Retries(call.retry, self.scheduler.rng, call.deadline)
        clock = self.scheduler.clock
        return await with_retries(attempt, error, retries, clock.time, self._sleep, self._retrying)

    async def open_stream(self, call: Call) -> tuple[Slot, OpenStream, Head]:
        """A stream whose head has come. The caller reads `OpenStream.feed`, and then calls `close_stream`, always."""
        slot = await self.gate.enter(call.tokens)
        message = OpenStream(call.url, call.headers, call.body, call.timeout, Feed())
        self.requests += 1
        try:
            done = slot.ref.call(message)
            done.add_done_callback(lambda reply: _worker_lost(reply, message.feed))
            head = await message.feed.head()
        except BaseException as error:
            self.close_stream(slot, message, error if isinstance(error, LMError) else None, failed=True)
            raise
        return slot, message, head

    def close_stream(self, slot: Slot, message: OpenStream, error: LMError | None = None, failed: bool = False) -> None:
        """The stream was read to its end, failed with `error`, or is given up (`failed` without an error)."""
        if failed and error is None:
            self.gate.breaker.forget()
        else:
            self.gate.record(failure_of(error) if error is not None else None)
        if slot.ref.is_alive():
            slot.ref.tell(Abort(message))
        self.gate.leave(slot)

    async def _admitted(self, sending: _Sending[Any]) -> Slot:
        """A slot to send on, with room in the budget."""
        if sending.deposit is not None:
            await sending.deposit.make()
        slot = await self.gate.enter(sending.call.tokens)
        sending.sent += 1
        return slot

    async def _exchange(self, sending: _Sending[T]) -> T:
        slot = await self._admitted(sending)
        call, gate = sending.call, self.gate
        self.requests += 1
        timeout = call.timeout
        begun: float | None = None
        if call.deadline is not None and call.retry.retries > 0:
            begun = self.scheduler.clock.time()
            left = max(0.001, call.deadline - begun)
            timeout = self.patience.of(left if timeout is None else min(timeout, left))
        message = Exchange(call.url, call.headers, call.body, timeout)
        try:
            reply: RawReply = await slot.ref.call(message)
            response = sending.read(reply)
            gate.limiter.accepted(0.0 if gate.limiter.unlimited else self.scheduler.clock.time(), reply.headers)
            gate.record(None)
            if begun is not None:
                self.patience.replied(self.scheduler.clock.time() - begun)
            return response
        except BaseException as error:
            if isinstance(error, LMRateLimitError):
                gate.rejected(self.scheduler.clock.time(), error.retry_after, reply.headers)
            failure = self._failed(error, slot, message)
            if sending.deposit is not None:
                sending.deposit.failed(failure)
            if failure is error:
                raise
            raise failure from error
        finally:
            gate.leave(slot)

    def _failed(self, error: BaseException, slot: Slot, message: Exchange) -> BaseException:
        """What to raise for a try that failed."""
        if isinstance(error, LMError):
            self.gate.record(failure_of(error))
        elif isinstance(error, ActorDeadError):
            self.gate.breaker.forget()
            return LMTransportError(
                f"{self.name}: the worker that held the request crashed ({error.reason})", code="worker_crashed"
            )
        elif isinstance(error, asyncio.CancelledError):
            self.gate.breaker.forget()
            if slot.ref.is_alive():
                slot.ref.tell(Abort(message))
        return error

    def snapshot(self) -> dict[str, Any]:
        """What there is to see: JSON-able, read without a message."""
        gate, now = self.gate, self.scheduler.clock.time()
        return {
            "name": self.name,
            "workers": len(gate.slots),
            "in_flight": gate.in_flight,
            "queued": gate.queued,
            "requests": self.requests,
            "failures": self.failures,
            "retries": self.retries,
            "throttled": gate.limiter.throttled,
            "rate": gate.limiter.rate,
            "paused_for": max(0.0, gate.limiter.paused_until - now),
            "breaker": gate.breaker.state(now),
            "breaker_failure": gate.breaker.opened_by,
            "breaker_retry_after": gate.breaker.retry_after(now),
        }

    def _retrying(self, error: BaseException, wait: float) -> None:
        self.retries += 1
        events = self.scheduler.events
        if events.wants(RETRY):
            words, code = error_text(error, self.scheduler), getattr(error, "code", None)
            events.emit(RETRY, {"wait": wait}, {"pool": self.name, "error": words, "code": code})

    async def _sleep(self, seconds: float) -> None:
        # A coroutine function, since tenacity does not await what a plain function returns.
        pause: Reply[None] = Reply()
        timer = self.scheduler.clock.call_later(seconds, pause.set)
        own = place.get()
        if own is not None:
            own.rest()
        try:
            await pause
        finally:
            timer.cancel()
            turn = own.back() if own is not None else None
        if turn is not None:
            await turn


def _worker_lost(reply: Reply[Any], feed: Feed) -> None:
    error = reply.exception()
    if error is not None:
        feed.end(LMTransportError(f"the worker that held the stream crashed ({error})", code="worker_crashed"))
