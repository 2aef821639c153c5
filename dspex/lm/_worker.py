"""The actor that does HTTP: takes exchanges, several at a time, and answers with what came back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from actors import AsyncActor, Reject, TimerHandle, concurrent
from dspex._errors import LMError, LMTimeoutError, LMTransportError

from ._feed import Head
from ._gate import Gate, Slot
from ._http1 import RawReply
from ._messages import Abort, Exchange, OpenStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ._transport import Transport


TICK = 0.05  # seconds: how late a timeout may be noticed


class Worker(AsyncActor):
    """One of a pool's workers. It knows bytes and sockets only: what a reply means is found out by whoever asked, so
    that one strange reply cannot take the other requests in flight with it. The transport is the pool's.
    """

    def __init__(self, transport: Transport, gate: Gate, limit: int) -> None:
        super().__init__()
        self._transport = transport
        self._pool_gate = gate
        self._limit = limit
        self._running: dict[Exchange | OpenStream, Any] = {}
        self._cut_off: dict[Exchange | OpenStream, LMError] = {}
        self._deadlines: dict[Exchange, float] = {}
        self._timer: TimerHandle | None = None
        self.exchanges = 0
        self.aborts = 0

    def on_start(self) -> None:
        gate, me = self._pool_gate, self.actor_ref
        me.monitor(lambda _: gate.retire(me))  # first, so that no slot can outlive its worker
        gate.publish(Slot(me, self._limit))

    @concurrent
    async def on_receive(self, message: Exchange | OpenStream | Abort) -> RawReply | None:
        if not isinstance(message, Exchange):
            await self._other(message)
            return None
        # The exchange right here: a coroutine of its own would cost each of thousands in flight memory.
        self.exchanges += 1
        self._running[message] = asyncio.current_task()
        if message.timeout is not None:
            self._deadlines[message] = self.scheduler.clock.time() + message.timeout
            if self._timer is None:
                self._timer = self.scheduler.clock.call_later(min(TICK, message.timeout), self._look)
            elif message.timeout < TICK:
                self.scheduler.clock.call_later(message.timeout, self._expire)
        try:
            return await self._transport.send("POST", message.url, message.headers, message.body)
        except LMError as error:
            raise Reject(error) from error
        except asyncio.CancelledError:
            cause = self._cut_off.get(message)
            if cause is not None:
                raise Reject(cause) from None
            raise
        finally:
            del self._running[message]
            self._deadlines.pop(message, None)
            if self._cut_off:
                self._cut_off.pop(message, None)

    async def _other(self, message: OpenStream | Abort) -> None:
        if isinstance(message, OpenStream):
            await self._stream(message)
        elif isinstance(message, Abort):
            self.aborts += message.exchange in self._running
            self._cut_short(message.exchange, LMTransportError("the request was aborted by its caller", code="aborted"))

    def _look(self) -> None:
        """One timer for all exchanges: one apiece, nearly always cancelled, costs a tenth of the whole exchange."""
        self._expire()
        self._timer = self.scheduler.clock.call_later(TICK, self._look) if self._deadlines else None

    def _expire(self) -> None:
        now = self.scheduler.clock.time()
        for message in [message for message, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[message]
            self._cut_short(message, _timed_out(message))

    def _cut_short(self, message: Exchange | OpenStream, cause: LMError) -> None:
        """End an exchange from outside, and say why."""
        running = self._running.get(message)
        if running is not None and message not in self._cut_off:
            self._cut_off[message] = cause
            running.cancel()

    async def _stream(self, message: OpenStream) -> None:
        self.exchanges += 1
        self._running[message] = asyncio.current_task()
        feed = message.feed
        try:
            async with _patience(message.timeout) as heard:
                async with self._transport.stream("POST", message.url, message.headers, message.body) as reply:
                    heard()
                    feed.put(Head(reply.status, reply.headers))
                    async for piece in reply.pieces():
                        heard()
                        feed.put(piece)
        except TimeoutError:
            feed.end(_timed_out(message))
        except LMError as error:
            feed.end(error)
        except asyncio.CancelledError:
            cause = self._cut_off.get(message)
            feed.end(cause or LMTransportError("the worker that held the stream ended", code="worker_crashed"))
            if cause is None:
                raise
        else:
            feed.end()
        finally:
            del self._running[message]
            self._cut_off.pop(message, None)


@asynccontextmanager
async def _patience(seconds: float | None) -> AsyncIterator[Any]:
    """Raises TimeoutError when `seconds` pass in silence: the body calls what it is given whenever it hears
    something.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds) as silence:
        yield lambda: silence.reschedule(None if seconds is None else loop.time() + seconds)


def _timed_out(message: Exchange | OpenStream) -> LMTimeoutError:
    return LMTimeoutError(f"no reply from {message.url.partition('?')[0]} within {message.timeout:g} s", code="timeout")
