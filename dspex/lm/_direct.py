"""The transport of our own: HTTP/1.1 over the sockets of the running loop, without a proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from dspex._errors import LMConfigurationError, LMTransportError

from ._http1 import Connection, ProtocolError, RawReply, ReplyTooLargeError
from ._resolver import Resolver
from ._transport import KEEP_ALIVE, MAX_REPLY_BYTES, StreamedReply, default_max_connections

_OPENING = 512  # connections to one endpoint that are being opened at once: that takes as much memory as a call


class DirectTransport:
    """Our own HTTP/1.1 connections: no proxy, no redirects, no cookies.

    At most `max_connections` sockets are open; a request above that waits, first come first served. The connection
    used last is used next (LIFO), so that a pool shrinks to what the load needs: one that was idle for `keep_alive`
    seconds is not used again.
    """

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        keep_alive: float = KEEP_ALIVE,
        connect_timeout: float = 15.0,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.max_connections = max_connections if max_connections is not None else default_max_connections()
        if self.max_connections < 1:
            raise LMConfigurationError(f"max_connections must be at least 1, not {max_connections}")
        self._keep_alive = keep_alive
        self._connect_timeout = connect_timeout
        self._max_reply_bytes = max_reply_bytes
        self._tls = tls
        self._resolver = Resolver()
        self._idle: dict[tuple[str, str, int], deque[Connection]] = {}
        self._targets: dict[str, tuple[tuple[str, str, int], str, bytes]] = {}
        self._heads: dict[tuple[str, str, int], bytes] = {}
        self._open = 0
        # For each endpoint: one that does not answer must not keep others from being reached.
        self._opening: defaultdict[Hashable, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_OPENING))
        self._queue: deque[asyncio.Future[None]] = deque()
        self._live: set[Connection] = set()
        self._closed = False

    @property
    def open_connections(self) -> int:
        """Sockets open or being opened."""
        return self._open

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> RawReply:
        origin = self._target(url)[0]
        connection = await self._checkout(origin)
        try:
            # Nothing holds its bytes before there is a socket for them, nor after: of thousands in flight each kilobyte
            # counts.
            await connection.begin(self._request(method, url, headers, body))
            return connection.reply()
        except (OSError, ProtocolError) as error:
            raise _transport_error(error, origin) from error
        finally:
            self._checkin(origin, connection)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[StreamedReply]:
        origin = self._target(url)[0]
        connection = await self._checkout(origin)
        try:
            try:
                await connection.open_stream(self._request(method, url, headers, body))
            except (OSError, ProtocolError) as error:
                raise _transport_error(error, origin) from error
            yield _DirectStream(connection, origin)
        finally:
            if not connection.reusable and not connection.closed:
                connection.abort()  # an abandoned stream: the server must not go on producing it
            self._checkin(origin, connection)

    async def aclose(self) -> None:
        """Close every connection at once. Requests in flight fail with a transport error."""
        self._closed = True
        self._idle.clear()
        for connection in list(self._live):
            connection.abort()
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_exception(LMTransportError("the transport was closed", code="closed"))
        await asyncio.sleep(0)  # the loop closes aborted sockets in its next turn

    # --- requests -----------------------------------------------------------------------------------------

    def _target(self, url: str) -> tuple[tuple[str, str, int], str, bytes]:
        """Origin, path and host header."""
        target = self._targets.get(url)
        if target is None:
            target = _target(url)
            if len(self._targets) < 1024:  # urls are few; a caller who makes them up must not fill the memory
                self._targets[url] = target
        return target

    def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        _, path, host = self._target(url)
        lines = [f"{method} {path} HTTP/1.1\r\nhost: "]
        for name, value in headers.items():
            lines.append(f"{name}: {value}\r\n")
        text = "".join(lines[1:])
        if text.count("\n") != len(headers):
            raise LMConfigurationError("a header name or value contains a line break")
        start = lines[0].encode("ascii") + host
        return b"%b\r\n%bcontent-length: %d\r\n\r\n%b" % (start, text.encode("latin-1"), len(body), body)

    # --- connections --------------------------------------------------------------------------------------

    async def _checkout(self, origin: tuple[str, str, int]) -> Connection:
        if self._closed:
            raise LMTransportError("the transport was closed", code="closed")
        loop = asyncio.get_running_loop()
        connection = self._take_idle(origin, loop)
        if connection is not None:
            return connection
        if self._open >= self.max_connections:
            self._evict_idle()
        while self._open >= self.max_connections:
            waiter: asyncio.Future[None] = loop.create_future()
            self._queue.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_next()  # the turn was ours already: pass it on
                raise
            connection = self._take_idle(origin, loop)
            if connection is not None:
                return connection
            if self._open >= self.max_connections:
                self._evict_idle()
        self._open += 1
        try:
            async with self._opening[origin]:
                connection = await self._connect(origin, loop)
        except BaseException:
            self._open -= 1
            self._wake_next()
            raise
        self._live.add(connection)
        return connection

    def _take_idle(self, origin: tuple[str, str, int], loop: asyncio.AbstractEventLoop) -> Connection | None:
        idle = self._idle.get(origin)
        if not idle:
            return None
        oldest = loop.time() - self._keep_alive
        while idle:
            connection = idle.pop()
            if connection.closed:
                self._forget(connection)
            elif connection.idle_since < oldest:
                idle.append(connection)
                while idle:  # what lies below was idle for even longer
                    stale = idle.pop()
                    stale.abort()
                    self._forget(stale)
            else:
                return connection
        return None

    def _evict_idle(self) -> None:
        """Give the place of the least recently used idle connection, of whatever origin, to a new one."""
        for idle in self._idle.values():
            if idle:
                victim = idle.popleft()
                victim.abort()
                self._forget(victim)
                return

    def _checkin(self, origin: tuple[str, str, int], connection: Connection) -> None:
        if connection.reusable and not self._closed:
            connection.idle_since = connection._loop.time()
            idle = self._idle.get(origin)
            if idle is None:
                idle = self._idle[origin] = deque()
            idle.append(connection)
        else:
            if not connection.closed:
                connection.abort()
            self._forget(connection)
        if self._queue:
            self._wake_next()

    def _forget(self, connection: Connection) -> None:
        if connection in self._live:
            self._live.discard(connection)
            self._open -= 1

    def _wake_next(self) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _connect(self, origin: tuple[str, str, int], loop: asyncio.AbstractEventLoop) -> Connection:
        scheme, host, port = origin
        tls: ssl.SSLContext | None = None
        if scheme == "https":
            if self._tls is None:
                self._tls = ssl.create_default_context()
            tls = self._tls
        failures: list[OSError] = []
        try:
            for address in await self._resolver.resolve(host, port):
                try:
                    opened = await self._open_socket(address, port, loop)
                except OSError as error:
                    failures.append(error)
                    continue
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._max_reply_bytes),
                    sock=opened,
                    ssl=tls,
                    server_hostname=host if tls is not None else None,
                )
                return connection
            self._resolver.forget(host, port)
            raise failures[-1]
        except OSError as error:
            raise _transport_error(error, origin) from error

    async def _open_socket(self, address: str, port: int, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """Connected, within the time that there is for it."""
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            try:
                async with asyncio.timeout(self._connect_timeout):
                    await loop.sock_connect(opened, (address, port))
            except TimeoutError as error:
                # A loop with thousands of connections to open may be late itself: the socket knows.
                if error.errno is None and not _is_connected(opened):
                    message = f"no connection to {address}:{port} within {self._connect_timeout:g} s"
                    raise LMTransportError(message, code="connect") from error
                if error.errno is not None:
                    raise
        except BaseException:
            opened.close()
            raise
        return opened


class _DirectStream:
    def __init__(self, connection: Connection, origin: tuple[str, str, int]) -> None:
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers
        self._connection = connection
        self._origin = origin

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._connection.read():
                yield piece
        except (OSError, ProtocolError) as error:
            raise _transport_error(error, self._origin) from error


def _is_connected(opened: socket.socket) -> bool:
    try:
        opened.getpeername()
    except OSError:
        return False
    return True


def _target(url: str) -> tuple[tuple[str, str, int], str, bytes]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LMConfigurationError(f"not an http(s) URL: {url!r}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(c <= " " for c in path):
        raise LMConfigurationError(f"the URL must be percent-encoded: {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port != (443 if parts.scheme == "https" else 80):
        host = f"{host}:{port}"
    return (parts.scheme, parts.hostname, port), path, host.encode("idna" if not host.isascii() else "ascii")


def _transport_error(error: Exception, origin: tuple[str, str, int]) -> LMTransportError:
    _, host, port = origin
    where = f"{host}:{port}"
    if isinstance(error, LMTransportError):
        return error
    if isinstance(error, ReplyTooLargeError):
        return LMTransportError(f"{where}: {error}", code="too_large")
    if isinstance(error, ProtocolError):
        return LMTransportError(f"{where} did not answer in valid HTTP/1.1: {error}", code="protocol")
    if isinstance(error, ssl.SSLError):
        return LMTransportError(f"no TLS connection to {where}: {error}", code="tls")
    if isinstance(error, ConnectionRefusedError):
        return LMTransportError(f"{where} refuses connections: is the server running?", code="refused")
    if isinstance(error, ConnectionError):
        return LMTransportError(f"{where}: {error}", code="reset")
    if isinstance(error, OSError) and error.errno == 24:
        hint = "too many open files: raise `ulimit -n` or lower max_connections"
        return LMTransportError(f"no connection to {where}: {hint}", code="files")
    return LMTransportError(f"no connection to {where}: {error}", code="connect")
