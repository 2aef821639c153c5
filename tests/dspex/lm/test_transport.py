"""Transports: ours, aiohttp's and any of httpx's, behind one interface."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from dspex._errors import LMConfigurationError, LMTransportError
from dspex.lm import DirectTransport, Transport
from dspex.lm._aiohttp import AiohttpTransport
from dspex.lm._httpx import HttpxTransport, as_httpx
from dspex.lm._resolver import Resolver
from dspex.lm._transport import default_max_connections
from dspex.testing import FaultServer, always, script

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "item-1"}]}'
HEADERS = {"content-type": "application/json"}
KINDS: dict[str, Callable[..., Transport]] = {
    "direct": DirectTransport,
    "aiohttp": AiohttpTransport,
    "httpx over direct": lambda **options: HttpxTransport(as_httpx(DirectTransport(**options)), **_limit(options)),
}


def _limit(options: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k == "max_reply_bytes"}


@contextlib.asynccontextmanager
async def opened(kind: str, **options: Any) -> AsyncIterator[Transport]:
    transport = KINDS[kind](**options)
    try:
        yield transport
    finally:
        await transport.aclose()


def run(kind: str, work: Callable[[Transport], Awaitable[Any]], **options: Any) -> Any:
    async def go() -> Any:
        async with opened(kind, **options) as transport:
            return await work(transport)

    return asyncio.run(go())


def deaf_port(stack: contextlib.ExitStack) -> int:
    """A port on this machine that takes no connection and refuses none."""
    deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    port: int = deaf.getsockname()[1]
    for _ in range(8):  # fill its queue: what comes after is not answered
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    return port


def url(server: FaultServer) -> str:
    return f"{server.url}/chat/completions"


@pytest.mark.parametrize("kind", KINDS)
def test_every_transport_brings_status_headers_and_body(kind: str) -> None:
    with FaultServer(headers={"X-Own": "1"}) as server:
        reply = run(kind, lambda t: t.send("POST", url(server), HEADERS, BODY))
        assert (reply.status, reply.headers["x-own"], reply.headers["content-type"]) == (200, "1", "application/json")
        assert b"choices" in reply.body
        assert server.requests[0].headers["content-length"] == str(len(BODY))
        server.faults = always("rate_limit")
        assert run(kind, lambda t: t.send("POST", url(server), HEADERS, BODY)).status == 429


@pytest.mark.parametrize("kind", KINDS)
def test_every_transport_streams(kind: str) -> None:
    async def read(transport: Transport) -> bytes:
        async with transport.stream("POST", url(server), HEADERS, BODY[:-1] + b', "stream": true}') as reply:
            assert reply.headers["content-type"] == "text/event-stream"
            return b"".join([piece async for piece in reply.pieces()])

    with FaultServer() as server:
        assert run(kind, read).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("kind", KINDS)
def test_every_transport_aborts_what_is_cancelled(kind: str) -> None:
    async def give_up(transport: Transport) -> None:
        sending = asyncio.ensure_future(transport.send("POST", url(server), HEADERS, BODY))
        await asyncio.to_thread(server.wait_until, "in_flight", 1)
        sending.cancel()
        await asyncio.wait([sending])
        await asyncio.to_thread(server.wait_until, "abandoned", 1)

    with FaultServer(faults=always("hang")) as server:
        run(kind, give_up)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["reset", "reset_mid_body"])
def test_every_transport_reports_a_reset(kind: str, fault: str) -> None:
    with FaultServer(faults=always(fault)) as server:  # type: ignore[arg-type]
        with pytest.raises(LMTransportError):
            run(kind, lambda t: t.send("POST", url(server), HEADERS, BODY))


@pytest.mark.parametrize("kind", KINDS)
def test_every_transport_refuses_a_huge_reply(kind: str) -> None:
    with FaultServer(faults=always("huge")) as server, pytest.raises(LMTransportError) as caught:
        run(kind, lambda t: t.send("POST", url(server), HEADERS, BODY), max_reply_bytes=100_000)
    assert caught.value.code in ("too_large", "reset")


@pytest.mark.parametrize("kind", ["direct", "aiohttp"])
def test_connections_are_limited_and_used_again(kind: str) -> None:
    async def many(transport: Transport) -> list[int]:
        send = [transport.send("POST", url(server), HEADERS, BODY) for _ in range(30)]
        return [reply.status for reply in await asyncio.gather(*send)]

    with FaultServer(latency=0.01) as server:
        assert run(kind, many, max_connections=3) == [200] * 30
        assert server.connections == server.max_in_flight == 3


def test_the_connection_used_last_is_used_next() -> None:
    async def go(transport: Transport) -> None:
        await asyncio.gather(*(transport.send("POST", url(server), HEADERS, BODY) for _ in range(5)))
        assert isinstance(transport, DirectTransport)
        connections = [c for idle in transport._idle.values() for c in idle]
        for _ in range(10):
            await transport.send("POST", url(server), HEADERS, BODY)
        assert [c.uses for c in connections] == [1, 1, 1, 1, 11]

    with FaultServer(latency=0.05) as server:
        run("direct", go)


def test_a_connection_that_was_idle_for_too_long_is_not_used() -> None:
    async def go(transport: Transport) -> None:
        for _ in range(2):
            await transport.send("POST", url(server), HEADERS, BODY)
            await asyncio.sleep(0.02)

    with FaultServer() as server:
        run("direct", go, keep_alive=0.001)
        assert server.connections == 2


def test_a_connection_that_the_server_closed_is_not_used() -> None:
    async def go(transport: Transport) -> None:
        await transport.send("POST", url(server), HEADERS, BODY)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        await asyncio.sleep(0.05)
        assert (await transport.send("POST", url(server), HEADERS, BODY)).status == 200

    with FaultServer() as server:
        run("direct", go)


def test_a_waiter_that_gives_up_passes_its_turn_on() -> None:
    async def go(transport: Transport) -> None:
        first = asyncio.ensure_future(transport.send("POST", url(server), HEADERS, BODY))
        await asyncio.to_thread(server.wait_until, "requests", 1)
        second, third = [asyncio.ensure_future(transport.send("POST", url(server), HEADERS, BODY)) for _ in range(2)]
        await asyncio.sleep(0)
        second.cancel()
        assert (await first).status == (await third).status == 200

    with FaultServer(latency=0.05) as server:
        run("direct", go, max_connections=1)


def test_closing_fails_what_is_in_flight_and_what_waits() -> None:
    async def go(transport: Transport) -> list[Any]:
        tasks = [asyncio.ensure_future(transport.send("POST", url(server), HEADERS, BODY)) for _ in range(3)]
        await asyncio.to_thread(server.wait_until, "requests", 1)
        await transport.aclose()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        with pytest.raises(LMTransportError, match="closed"):
            await transport.send("POST", url(server), HEADERS, BODY)
        return found

    with FaultServer(faults=always("hang")) as server:
        assert all(isinstance(error, LMTransportError) for error in run("direct", go, max_connections=1))


def test_failed_connects_leave_their_place_to_others() -> None:
    async def go(transport: Transport) -> None:
        for _ in range(5):
            with pytest.raises(LMTransportError):
                await transport.send("POST", "http://127.0.0.1:1/x", HEADERS, BODY)
        assert isinstance(transport, DirectTransport)
        assert transport.open_connections == 0
        assert (await transport.send("POST", url(server), HEADERS, BODY)).status == 200

    with FaultServer() as server:
        run("direct", go, max_connections=1)


def test_a_connection_that_stands_is_not_given_up_because_the_loop_was_late() -> None:
    async def go(transport: Transport) -> int:
        sending = asyncio.ensure_future(transport.send("POST", url(server), HEADERS, BODY))
        await asyncio.sleep(0)  # the first steps have been taken: the connection is being made
        asyncio.get_running_loop().call_soon(time.sleep, 0.05)  # held, for longer than a connection may take
        return (await sending).status

    with FaultServer() as server:
        assert run("direct", go, connect_timeout=0.01) == 200


def test_a_server_that_does_not_take_the_connection_is_given_up_in_time() -> None:
    async def go(transport: Transport) -> str:
        with pytest.raises(LMTransportError) as caught:
            await transport.send("POST", f"http://127.0.0.1:{port}/x", HEADERS, BODY)
        return str(caught.value.code)

    with contextlib.ExitStack() as stack:
        port = deaf_port(stack)
        assert run("direct", go, connect_timeout=0.05) == "connect"


def test_an_endpoint_that_answers_no_connect_keeps_nobody_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.lm._direct._OPENING", 2)

    async def go(transport: Transport) -> int:
        deaf = [asyncio.ensure_future(transport.send("POST", f"{nowhere}/x", HEADERS, BODY)) for _ in range(5)]
        await asyncio.sleep(0)
        status = (await transport.send("POST", url(server), HEADERS, BODY)).status
        for sending in deaf:
            sending.cancel()
        await asyncio.wait(deaf)
        return status

    with contextlib.ExitStack() as stack:
        nowhere = f"http://127.0.0.1:{deaf_port(stack)}"
        server = stack.enter_context(FaultServer())
        assert run("direct", go, connect_timeout=60.0) == 200


def test_no_more_connections_to_an_endpoint_are_opened_at_once_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.lm._direct._OPENING", 3)
    opening: list[int] = [0, 0]

    async def go(transport: Transport) -> None:
        assert isinstance(transport, DirectTransport)
        connect = transport._connect

        async def counted(*arguments: Any) -> Any:
            opening[0] += 1
            opening[1] = max(opening)
            try:
                return await connect(*arguments)
            finally:
                opening[0] -= 1

        monkeypatch.setattr(transport, "_connect", counted)
        replies = await asyncio.gather(*(transport.send("POST", url(server), HEADERS, BODY) for _ in range(20)))
        assert {reply.status for reply in replies} == {200}

    with FaultServer() as server:
        run("direct", go)
    assert opening == [0, 3]


def test_another_host_may_have_the_place_of_an_idle_connection() -> None:
    async def go(transport: Transport) -> None:
        for server in (one, other, one):
            assert (await transport.send("POST", url(server), HEADERS, BODY)).status == 200

    with FaultServer() as one, FaultServer() as other:
        run("direct", go, max_connections=1)


@pytest.mark.parametrize("bad", ["ftp://x/", "nonsense", "http://x/a b", "http://x/\r\nevil: 1"])
def test_an_address_that_is_none_is_a_configuration_error(bad: str) -> None:
    with pytest.raises((LMConfigurationError, LMTransportError)):
        run("direct", lambda t: t.send("POST", bad, HEADERS, BODY))


def test_a_header_cannot_smuggle_in_another() -> None:
    with FaultServer() as server, pytest.raises(LMConfigurationError, match="line break"):
        run("direct", lambda t: t.send("POST", url(server), {"x": "1\r\nevil: 1"}, BODY))


def test_httpx_clients_may_use_ours() -> None:
    async def go() -> None:
        async with httpx.AsyncClient(transport=as_httpx(DirectTransport())) as client:
            reply = await client.post(url(server), content=BODY, headers=HEADERS)
            assert reply.json()["object"] == "chat.completion"
            server.faults = script(None, "reset")
            with pytest.raises(httpx.TransportError):
                await client.post(url(server), content=BODY)

    with FaultServer() as server:
        asyncio.run(go())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ConnectError("no"), "connect"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.RemoteProtocolError("?"), "protocol"),
        (httpx.ReadError("gone"), "reset"),
    ],
)
def test_httpx_errors_become_ours(error: httpx.TransportError, code: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async def go() -> None:
        await HttpxTransport(httpx.MockTransport(fail)).send("POST", "http://x/", {}, b"")

    with pytest.raises(LMTransportError) as caught:
        asyncio.run(go())
    assert caught.value.code == code


def test_the_limit_comes_from_what_the_process_may_open() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert 16 <= default_max_connections() <= max(16, min(16_384, soft))
    with pytest.raises(LMConfigurationError):
        DirectTransport(max_connections=0)


def test_a_name_is_looked_up_once_for_many() -> None:
    async def go() -> None:
        loop, calls = asyncio.get_running_loop(), []
        real = loop.getaddrinfo

        async def counted(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return await real(*args, **kwargs)

        loop.getaddrinfo = counted  # type: ignore[method-assign]
        resolver = Resolver()
        found = await asyncio.gather(*(resolver.resolve("localhost", 80) for _ in range(10)))
        assert all(addresses == found[0] for addresses in found)
        await resolver.resolve("localhost", 80)
        assert len(calls) == 1
        resolver.forget("localhost", 80)
        await resolver.resolve("localhost", 80)
        assert len(calls) == 2
        assert await resolver.resolve("127.0.0.1", 80) == ["127.0.0.1"]
        assert len(calls) == 2

    asyncio.run(go())
