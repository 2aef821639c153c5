"""One streamed answer of a hosted model: read piece by piece, and whole at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from dspex._errors import LMError, LMRateLimitError, LMTimeoutError
from dspex._settings import settings

from ._paid import settle
from ._route import on_loop
from ._sse import EventReader, EventTooLargeError
from .wire import Source

if TYPE_CHECKING:
    from ._deposit import Deposit
    from ._gate import Slot
    from ._lm import LM
    from ._messages import OpenStream
    from ._pool import Pool
    from ._route import Route
    from ._types import LMRequest, LMResponse, StreamChunk


class HostedStream:
    """`async for chunk in stream.chunks()`, once; then `response` is the whole answer.

    Tried again like any call until its head has come, not afterwards. Leaving the iteration early aborts the request.
    The deadline that is in force where it is made bounds all of it.
    """

    def __init__(self, lm: LM, request: LMRequest, route: Route) -> None:
        self.response: LMResponse | None = None
        self._sent = 0
        self._lm = lm
        self._request = request
        self._route = route
        self._deadline: float | None = settings.deadline
        self._source = Source(lm.endpoint.provider, lm.endpoint.model)

    async def chunks(self) -> AsyncIterator[StreamChunk]:
        """The pieces. On any event loop."""
        scheduler = self._route.scheduler
        pool, slot, message, deposit = await on_loop(scheduler, self._opened())
        assembler, events = self._lm.endpoint.format.assembler(self._source), EventReader()
        failure: LMError | None = None
        try:
            async for piece in self._pieces(message):
                for event, data in events.feed(piece):
                    for chunk in assembler.feed(event, data):
                        yield chunk
            for event, data in events.close():
                for chunk in assembler.feed(event, data):
                    yield chunk
            self.response = settle(self._lm.endpoint.name, assembler.response(), self._sent, deposit)
        except EventTooLargeError as error:
            failure = LMError(str(error), code="too_large", provider=self._source.provider, model=self._source.model)
            raise failure from error
        except LMError as error:
            failure = self._lm.conceal(error)
            raise failure from error.__cause__
        finally:
            whole = self.response is not None
            scheduler.call_soon(pool.close_stream, slot, message, failure, not whole)
            if deposit is not None and not whole:
                deposit.forfeit()

    async def _opened(self) -> tuple[Pool, Slot, OpenStream, Deposit | None]:
        try:
            async with asyncio.timeout(self._left()):
                return await self._open()
        except TimeoutError as error:
            raise self._too_late("answered") from error

    def _left(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._route.scheduler.clock.time())

    def _too_late(self, before: str) -> LMTimeoutError:
        model = self._lm.model
        return LMTimeoutError(f"the call's deadline passed before {model} {before}", code="deadline", model=model)

    async def _pieces(self, message: OpenStream) -> AsyncIterator[bytes]:
        """What comes, until the deadline."""
        pieces = message.feed.pieces()
        while True:
            try:
                async with asyncio.timeout(self._left()):
                    piece = await anext(pieces, None)
            except TimeoutError as error:
                raise self._too_late("had said all") from error
            if piece is None:
                return
            yield piece

    async def _open(self) -> tuple[Pool, Slot, OpenStream, Deposit | None]:
        """The stream whose head has come, with a status of success. On the loop."""
        lm, route = self._lm, self._route
        pool = lm.to_pool()
        call = lm.outgoing(self._request, self._deadline, pool, stream=True)
        deposit = lm.deposit_for(settings.budget, self._request, call)

        async def attempt() -> Any:
            if deposit is not None:
                await deposit.make()
            self._sent += 1
            try:
                return await opened()
            except BaseException as error:
                if deposit is not None:
                    deposit.failed(error)
                raise

        async def opened() -> tuple[Pool, Slot, OpenStream, Deposit | None]:
            slot, message, head = await pool.open_stream(call)
            if 200 <= head.status < 300:
                return pool, slot, message, deposit
            try:
                body = b"".join([piece async for piece in message.feed.pieces()])
                lm.endpoint.format.parse(self._source, head.status, head.headers, body)
            except LMError as error:
                if isinstance(error, LMRateLimitError):
                    pool.gate.rejected(route.scheduler.clock.time(), error.retry_after, head.headers)
                pool.close_stream(slot, message, error)
                raise
            except BaseException:
                pool.close_stream(slot, message, failed=True)
                raise
            raise AssertionError("a reply that is not 2xx parses as an error")

        try:
            found: tuple[Pool, Slot, OpenStream, Deposit | None] = await pool.retried(attempt, call)
            return found
        except BaseException as error:
            if deposit is not None:
                deposit.release()
            if isinstance(error, LMError):
                raise lm.conceal(error) from error.__cause__
            raise
