"""How bytes get to an endpoint and back: the `Transport` interface, which three things implement.

* `DirectTransport` (the default): our own HTTP/1.1 connections on the running loop. LIFO keep-alive with O(1)
  checkout, an explicit limit, TLS, a cached name lookup, and no object per request but the reply itself.
* `AiohttpTransport`: the same over aiohttp, used when the endpoint is reached through a proxy.
* `HttpxTransport`: any `httpx.AsyncBaseTransport` (a MockTransport in tests, a user's own). httpx objects are built
  only there.

Never httpx's own connection pool: it rescans all its connections at every request. A transport belongs to the loop
it is first used on. Every failure below HTTP is an `LMTransportError` with a `code`: dns, refused, tls, reset,
protocol, too_large, connect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from dspex._errors import LMTransportError

from ._http1 import RawReply

MAX_REPLY_BYTES = 64 * 1024 * 1024
KEEP_ALIVE = 30.0
RESERVED_FILES = 256  # descriptors left to the rest of the program when the limit is derived from RLIMIT_NOFILE


class StreamedReply(Protocol):
    """The head of a reply whose body is read piece by piece."""

    status: int
    headers: Mapping[str, str]

    def pieces(self) -> AsyncIterator[bytes]: ...


class Transport(Protocol):
    """One exchange with an endpoint. Cancelling either call aborts the request: the server sees its client go away."""

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> RawReply: ...

    def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> AbstractAsyncContextManager[StreamedReply]: ...

    async def aclose(self) -> None: ...


def default_max_connections() -> int:
    """As many connections as this process may have files open, less a reserve, at most 16,384."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 16_384
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 16_384
    return max(16, min(16_384, soft - RESERVED_FILES))


async def read_whole(reply: StreamedReply, max_bytes: int) -> RawReply:
    """A streamed reply with its body. LMTransportError(code="too_large") above `max_bytes`."""
    pieces: list[bytes] = []
    size = 0
    async for piece in reply.pieces():
        size += len(piece)
        if size > max_bytes:
            raise LMTransportError(f"the reply is larger than {max_bytes} bytes", code="too_large")
        pieces.append(piece)
    return RawReply(reply.status, dict(reply.headers), b"".join(pieces))
