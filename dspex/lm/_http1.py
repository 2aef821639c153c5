"""One HTTP/1.1 client connection as an asyncio protocol: write a request, read its reply.

Contract: one exchange at a time per connection; what cannot be read as HTTP/1.1 raises `ProtocolError` and
the connection is never used again. Bodies are framed as RFC 9112 section 6.3 says: no body for 1xx, 204
and 304, chunked, content-length, or until the peer closes. Nothing here knows of pools, retries or JSON.
"""

from __future__ import annotations

import asyncio
import zlib

MAX_HEAD = 64 * 1024
HIGH_WATER = 256 * 1024  # an unread stream pauses the socket above this many buffered bytes


class ProtocolError(Exception):
    """The peer did not speak HTTP/1.1, or its reply ended before it was complete."""


class ReplyTooLargeError(ProtocolError):
    """The reply has more bytes than the client is willing to hold."""


class RawReply:
    """Status, headers (lower-case names, repeated ones joined by a comma) and the whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def parse_head(head: bytes) -> tuple[int, dict[str, str], bool]:
    """(status, headers, whether the connection may be kept) of a reply head without its final blank line."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    version = parts[0]
    if not version.startswith("HTTP/1.") or len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit():
        raise ProtocolError(f"not an HTTP/1.1 status line: {lines[0][:80]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name[0] in " \t":
            raise ProtocolError(f"malformed header line: {line[:80]!r}")
        name = name.lower()
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    connection = headers.get("connection", "").lower()
    keep = "close" not in connection if version == "HTTP/1.1" else "keep-alive" in connection
    return int(parts[1]), headers, keep


class _Inflate:
    """Decodes gzip and deflate bodies piece by piece, within a size limit. (We never ask for compression; some
    gateways send it.)
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._inflater = zlib.decompressobj(47 if encoding == "gzip" else 15)
        self._limit = limit
        self._total = 0

    @property
    def complete(self) -> bool:
        """Whether the end of the compressed data has been seen."""
        return self._inflater.eof

    def feed(self, data: bytes) -> bytes:
        try:
            out = self._inflater.decompress(data, self._limit - self._total + 1)
        except zlib.error as error:
            raise ProtocolError(f"the compressed body is damaged: {error}") from error
        self._total += len(out)
        if self._total > self._limit:
            raise ReplyTooLargeError(f"the decompressed reply is larger than {self._limit} bytes")
        return out


class Connection(asyncio.Protocol):
    """One socket. `send` for a whole reply; `open_stream` for its head, then `read` until it returns b""."""

    __slots__ = (
        "_buffer",
        "_error",
        "_inflate",
        "_keep",
        "_left",
        "_limit",
        "_loop",
        "_paused",
        "_pieces",
        "_received",
        "_state",
        "_streaming",
        "_unread",
        "_waiter",
        "closed",
        "headers",
        "idle_since",
        "status",
        "transport",
        "uses",
    )

    transport: asyncio.Transport
    status: int
    headers: dict[str, str]

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._state = "idle"  # idle | head | length | until_close | chunk_size | chunk | chunk_end | trailer | done
        self._buffer = b""
        self._pieces: list[bytes] = []  # an empty deque takes ten times the room, on each of thousands of sockets
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._inflate: _Inflate | None = None
        self._keep = self._paused = self._streaming = False
        self._unread = self._received = self._left = 0
        self.closed = False
        self.uses = 0
        self.idle_since = 0.0

    # --- the exchange -------------------------------------------------------------------------------------

    async def send(self, request: bytes) -> RawReply:
        """Write `request`, return its whole reply. When cancelled, the socket is aborted at once."""
        arrived = self.begin(request)
        del request
        try:
            await arrived
        except BaseException:
            self.abort()
            raise
        return self.reply()

    def begin(self, request: bytes) -> asyncio.Future[None]:
        """Write `request`. What comes back is done when its `reply` is there; who gives up sooner has to `abort`."""
        self._waiter = arrived = self._loop.create_future()
        self._begin(request, streaming=False)
        return arrived

    def reply(self) -> RawReply:
        """The whole reply to the request that was begun; or raises why there is none."""
        if self._error is not None:
            raise self._error
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return RawReply(self.status, self.headers, body)

    async def open_stream(self, request: bytes) -> None:
        """Write `request` and wait for the head of its reply: then `status` and `headers` are set."""
        self._begin(request, streaming=True)
        while self._state == "head":
            await self._wait()

    async def read(self) -> bytes:
        """The next piece of a streamed body, b"" at its end."""
        while not self._pieces:
            if self._state == "done" and self._error is None:
                return b""
            await self._wait()
        piece = self._pieces.pop(0)
        self._unread -= len(piece)
        if self._paused and self._unread < HIGH_WATER:
            self._paused = False
            if not self.closed:
                self.transport.resume_reading()
        return piece

    @property
    def reusable(self) -> bool:
        """True when the last reply was read to its end and the peer keeps the connection open."""
        return self._keep and self._state == "done" and not self.closed and not self._pieces

    @property
    def unanswered(self) -> bool:
        """True when not one byte of a reply to the last request has come."""
        return self._received == 0

    def abort(self) -> None:
        """Drop the socket now, without waiting for unsent bytes: the server sees its client go away."""
        self._keep = False
        self.closed = True
        self.transport.abort()

    def _begin(self, request: bytes, streaming: bool) -> None:
        if self.closed:
            raise ConnectionResetError("the connection was closed by the peer before the request was sent")
        self._state = "head"
        self._received = self._unread = 0
        self._inflate = None
        self._streaming = streaming
        self.uses += 1
        self.transport.write(request)

    async def _wait(self) -> None:
        if self._error is None:
            self._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            except BaseException:
                self.abort()
                raise
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- asyncio.Protocol ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._state in ("idle", "done"):
            self.abort()  # bytes that nobody asked for: whatever they are, this socket is not used again
            return
        try:
            self._feed(data)
        except ProtocolError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._state == "until_close" and exc is None:
            self._finish()
        elif self._state not in ("idle", "done"):
            where = "in the middle of the reply" if self._received else "before a reply came"
            self._fail(ConnectionResetError(f"the connection was lost {where} ({exc or 'closed by the peer'})"))

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._state = "done"
        self._pieces.clear()
        self.abort()
        self._wake()

    # --- parsing ------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._limit:
            raise ReplyTooLargeError(f"the reply is larger than {self._limit} bytes")
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while data and self._state != "done":
            state = self._state
            if state == "head":
                rest = self._head(data)
            elif state == "length" or state == "chunk":
                rest = self._sized(data)
            elif state == "until_close":
                self._body(data)
                rest = b""
            else:
                rest = self._line(data)
            if rest is None:  # incomplete: wait for more
                self._buffer = data
                return
            data = rest
        if data:
            self._keep = False  # more than one reply to one request

    def _head(self, data: bytes) -> bytes | None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > MAX_HEAD:
                raise ProtocolError(f"the head of the reply is larger than {MAX_HEAD} bytes")
            if not b"HTTP/1.".startswith(data[:7]):
                raise ProtocolError(f"not an HTTP/1.1 reply: {data[:40]!r}")
            return None
        status, headers, self._keep = parse_head(data[:end])
        rest = data[end + 4 :]
        if 100 <= status < 200:
            if status == 101:
                raise ProtocolError("the server switched to another protocol, unasked")
            return rest  # an interim reply: the real one follows
        self.status, self.headers = status, headers
        encoding = headers.get("content-encoding")
        if encoding is not None and encoding not in ("", "identity"):
            if encoding not in ("gzip", "x-gzip", "deflate"):
                raise ProtocolError(f"unknown content-encoding {encoding!r}")
            self._inflate = _Inflate("gzip" if "gzip" in encoding else "deflate", self._limit)
        length = headers.get("content-length")
        coding = headers.get("transfer-encoding")
        if status in (204, 304):
            self._finish()
        elif coding is not None:
            if coding.lower() != "chunked":
                raise ProtocolError(f"unknown transfer-encoding {coding!r}")
            self._state = "chunk_size"
        elif length is not None:
            if not length.isdigit():
                raise ProtocolError(f"bad content-length {length!r}")
            self._left = int(length)
            if self._left > self._limit:
                raise ReplyTooLargeError(f"the reply has {length} bytes, the limit is {self._limit}")
            self._state = "length"
            if self._left == 0:
                self._finish()
        else:
            self._keep = False
            self._state = "until_close"
        if self._streaming:
            self._wake()
        return rest

    def _sized(self, data: bytes) -> bytes:
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            self._body(data)
            return b""
        if len(data) == left:
            self._body(data)
            rest = b""
        else:
            self._body(data[:left])
            rest = data[left:]
        if self._state == "length":
            self._finish()
        else:
            self._state = "chunk_end"
        return rest

    def _line(self, data: bytes) -> bytes | None:
        end = data.find(b"\r\n")
        if end < 0:
            if len(data) > MAX_HEAD:
                raise ProtocolError("a chunk header without an end")
            return None
        line, rest = data[:end], data[end + 2 :]
        if self._state == "chunk_size":
            digits = line.split(b";", 1)[0].strip()
            try:
                self._left = int(digits, 16)
            except ValueError:
                raise ProtocolError(f"bad chunk size {line[:40]!r}") from None
            if self._left < 0 or digits[:1] in b"+-":
                raise ProtocolError(f"bad chunk size {line[:40]!r}")
            self._state = "chunk" if self._left else "trailer"
        elif self._state == "chunk_end":
            if line:
                raise ProtocolError("a chunk is longer than it said")
            self._state = "chunk_size"
        elif not line:  # the blank line after the trailers
            self._finish()
        return rest

    def _body(self, data: bytes) -> None:
        if self._inflate is not None:
            data = self._inflate.feed(data)
        if not data:
            return
        self._pieces.append(data)
        if self._streaming:
            self._unread += len(data)
            if self._unread > HIGH_WATER and not self._paused and not self.closed:
                self._paused = True
                self.transport.pause_reading()
            self._wake()

    def _finish(self) -> None:
        if self._inflate is not None and not self._inflate.complete:
            self._fail(ProtocolError("the compressed body is cut short"))
            return
        self._state = "done"
        self._wake()
