"""HTTP/1.1 replies are read the same however the network cuts them, and nothing malformed passes for one."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.lm._http1 import Connection, ProtocolError, RawReply, ReplyTooLargeError


class Wire:
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        self.closed = self.paused = False

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def exchange(pieces: list[bytes], eof: bool = False, limit: int = 10_000) -> tuple[RawReply, Connection]:
    async def go() -> tuple[RawReply, Connection]:
        connection, wire = Connection(asyncio.get_running_loop(), limit), Wire()
        connection.connection_made(wire)  # type: ignore[arg-type]
        task = asyncio.ensure_future(connection.send(b"GET / HTTP/1.1\r\n\r\n"))
        await asyncio.sleep(0)
        for piece in pieces:
            if not wire.closed:
                connection.data_received(piece)
        if eof:
            connection.connection_lost(None)
        return await asyncio.wait_for(task, 5), connection

    return asyncio.run(go())


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


GOOD: dict[str, tuple[bytes, bool, bytes, bool]] = {  # bytes, closed behind them?, body, reusable?
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False, b"hello", True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", False, b"", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", False, b"x", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", False, b"", True),
    "close": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx", False, b"x", False),
    "1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", False, b"x", False),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nhello", True, b"hello", False),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: t\r\n\r\n",
        False,
        b"hello",
        True,
    ),
    "interim": (
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        False,
        b"x",
        True,
    ),
    "gzip": (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
        % len(gzip.compress(b"hello", mtime=0))
        + gzip.compress(b"hello", mtime=0),
        False,
        b"hello",
        True,
    ),
    "deflate": (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\n\r\n" + zlib.compress(b"hello"),
        True,
        b"hello",
        False,
    ),
}


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_a_reply_is_the_same_however_it_arrives(name: str, cuts: list[int]) -> None:
    data, eof, body, reusable = GOOD[name]
    reply, connection = exchange(cut(data, cuts), eof)
    assert reply.body == body
    assert reply.status == (204 if name == "no content" else 200)
    assert connection.reusable is reusable


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"until close", "deflate"}))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_reply_cut_short_is_an_error_never_an_answer(name: str, data: st.DataObject) -> None:
    whole = GOOD[name][0]
    kept = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises((ConnectionResetError, ProtocolError)):
        exchange([whole[:kept]], eof=True)


BAD: dict[str, bytes] = {
    "not http": b"SSH-2.0-OpenSSH\r\n",
    "status": b"HTTP/1.1 abc\r\n\r\n",
    "version": b"HTTP/2.0 200 OK\r\n\r\n",
    "header": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    "chunk size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "signed chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+1\r\nx\r\n",
    "long chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxyz\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "encoding": b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx",
    "broken gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd",
    "short gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 12\r\n\r\n"
    + gzip.compress(b"hello")[:12],
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_http_is_a_protocol_error(name: str) -> None:
    with pytest.raises(ProtocolError):
        exchange([BAD[name]], limit=10_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20_000,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 50_000),
    ],
)
def test_a_reply_over_the_limit_is_refused_without_being_held(data: bytes) -> None:
    with pytest.raises(ReplyTooLargeError):
        exchange([data])


def test_bytes_after_the_reply_make_the_connection_unusable() -> None:
    _, connection = exchange([b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n"])
    assert not connection.reusable


def test_an_unread_stream_stops_the_socket_and_reading_starts_it_again() -> None:
    async def go() -> None:
        connection, wire = Connection(asyncio.get_running_loop(), 10_000_000), Wire()
        connection.connection_made(wire)  # type: ignore[arg-type]
        task: Any = asyncio.ensure_future(connection.open_stream(b"x"))
        await asyncio.sleep(0)
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 600000\r\n\r\n")
        await task
        for _ in range(2):
            connection.data_received(b"x" * 300_000)
        assert wire.paused
        total = 0
        while piece := await connection.read():
            total += len(piece)
        assert total == 600_000
        assert not wire.paused
        assert connection.reusable

    asyncio.run(go())


def test_cancelling_drops_the_socket() -> None:
    async def go() -> None:
        connection, wire = Connection(asyncio.get_running_loop(), 1000), Wire()
        connection.connection_made(wire)  # type: ignore[arg-type]
        task = asyncio.ensure_future(connection.send(b"x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert wire.closed
        assert not connection.reusable

    asyncio.run(go())
