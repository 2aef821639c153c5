"""The transport over aiohttp: used for endpoints behind a proxy, and with `transport="aiohttp"`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from dspex._errors import LMTransportError

from ._http1 import RawReply
from ._transport import KEEP_ALIVE, MAX_REPLY_BYTES, StreamedReply, default_max_connections, read_whole

if TYPE_CHECKING:
    import aiohttp


class AiohttpTransport:
    """aiohttp's connection pool with an explicit limit (its own default of 100 caps a program at 100 calls in flight).

    `proxy` is a URL; without one, with `trust_env`, HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide.
    """

    def __init__(
        self,
        *,
        max_connections: int | None = None,
        keep_alive: float = KEEP_ALIVE,
        connect_timeout: float = 15.0,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
    ) -> None:
        self.max_connections = max_connections if max_connections is not None else default_max_connections()
        self._keep_alive = keep_alive
        self._connect_timeout = connect_timeout
        self._max_reply_bytes = max_reply_bytes
        self._tls = tls
        self._proxy = proxy
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> RawReply:
        async with self.stream(method, url, headers, body) as reply:
            return await read_whole(reply, self._max_reply_bytes)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[StreamedReply]:
        import aiohttp
        import yarl

        if self._session is None:
            self._session = self._open()
        try:
            response = await self._session.request(
                method,
                yarl.URL(url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _transport_error(error, url) from error
        try:
            yield _AiohttpStream(response, url)
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()  # an abandoned body: drop the socket, so that the server stops

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=self.max_connections,
            keepalive_timeout=self._keep_alive,
            ssl=self._tls if self._tls is not None else True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=self._connect_timeout),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            trust_env=self._trust_env,
        )


class _AiohttpStream:
    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._url = url

    async def pieces(self) -> AsyncIterator[bytes]:
        import aiohttp

        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _transport_error(error, self._url) from error


def _transport_error(error: BaseException, url: str) -> LMTransportError:
    import aiohttp

    codes: list[tuple[Any, str]] = [
        (aiohttp.ClientConnectorDNSError, "dns"),
        (aiohttp.ClientSSLError, "tls"),
        (aiohttp.ClientProxyConnectionError, "proxy"),
        (aiohttp.ClientConnectorError, "refused"),
        (aiohttp.ClientOSError, "reset"),  # the connection stood: the request may have been read
        (aiohttp.ClientPayloadError, "reset"),
        (aiohttp.ServerDisconnectedError, "reset"),
        (ConnectionError, "reset"),
    ]
    code = next((code for kind, code in codes if isinstance(error, kind)), "connect")
    return LMTransportError(f"{url}: {error or type(error).__name__}", code=code)
