"""The bridge to httpx's transport interface, in both directions. httpx is imported when this module is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx

from dspex._errors import LMTransportError

from ._http1 import RawReply
from ._transport import MAX_REPLY_BYTES, StreamedReply, Transport, read_whole


class HttpxTransport:
    """Any `httpx.AsyncBaseTransport` as a `Transport`: MockTransport in tests, a user's own for odd networks."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, max_reply_bytes: int = MAX_REPLY_BYTES) -> None:
        self._inner = inner
        self._max_reply_bytes = max_reply_bytes

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> RawReply:
        async with self.stream(method, url, headers, body) as reply:
            return await read_whole(reply, self._max_reply_bytes)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[StreamedReply]:
        request = httpx.Request(method, url, headers=dict(headers), content=body)
        try:
            response = await self._inner.handle_async_request(request)
        except httpx.TransportError as error:
            raise _transport_error(error, url) from error
        response.request = request
        try:
            yield _HttpxStream(response, url)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._inner.aclose()


class _HttpxStream:
    def __init__(self, response: httpx.Response, url: str) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._url = url

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.aiter_bytes():
                yield piece
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _transport_error(error, self._url) from error


class _TransportAsHttpx(httpx.AsyncBaseTransport):
    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in ("host", "content-length", "connection")
        }
        exchange = self._inner.stream(request.method, str(request.url), headers, await request.aread())
        try:
            reply = await exchange.__aenter__()
        except LMTransportError as error:
            raise httpx.TransportError(str(error)) from error
        # The body reaches httpx decoded, so the headers that describe its coded form must go.
        kept = [(k, v) for k, v in reply.headers.items() if k not in ("content-encoding", "transfer-encoding")]
        return httpx.Response(reply.status, headers=kept, stream=_Body(exchange, reply), request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, exchange: AbstractAsyncContextManager[StreamedReply], reply: StreamedReply) -> None:
        self._exchange = exchange
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._reply.pieces():
                yield piece
        except LMTransportError as error:
            raise httpx.TransportError(str(error)) from error

    async def aclose(self) -> None:
        await self._exchange.__aexit__(None, None, None)


def as_httpx(transport: Transport) -> httpx.AsyncBaseTransport:
    """A `Transport` of ours for an `httpx.AsyncClient` (or anything that takes an httpx transport)."""
    return _TransportAsHttpx(transport)


def _transport_error(error: Exception, url: str) -> LMTransportError:
    if isinstance(error, httpx.ConnectError):
        code = "connect"
    elif isinstance(error, httpx.TimeoutException):
        code = "timeout"
    elif isinstance(error, (httpx.RemoteProtocolError, httpx.DecodingError)):
        code = "protocol"
    else:
        code = "reset"
    return LMTransportError(f"{url}: {error or type(error).__name__}", code=code)
