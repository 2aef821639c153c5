"""The control socket: private, versioned, and unimpressed by whatever is sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dspex.control import (
    Client,
    ControlServer,
    ControlTimeoutError,
    NoSystemError,
    OperationError,
    SeveralSystemsError,
    SocketPathError,
    choose,
    running,
    runtime_directory,
    socket_path,
)

HOLD = threading.Event()


def add(args: Mapping[str, Any]) -> Any:
    return args["a"] + args["b"]


def refuse(args: Mapping[str, Any]) -> Any:
    raise OperationError("no_such_path", "there is no /x")


def hold(args: Mapping[str, Any]) -> Any:
    HOLD.wait(10)


@contextlib.contextmanager
def count(args: Mapping[str, Any]) -> Iterator[AsyncIterator[int]]:
    async def numbers() -> AsyncIterator[int]:
        for number in range(args["to"]):
            yield number

    yield numbers()


@contextlib.contextmanager
def hush(args: Mapping[str, Any]) -> Iterator[AsyncIterator[int]]:
    async def nothing() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 0

    yield nothing()


@contextlib.contextmanager
def broken(args: Mapping[str, Any]) -> Iterator[AsyncIterator[int]]:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        raise RuntimeError("no more")

    yield numbers()


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    short = tmp_path_factory.mktemp("s", numbered=True)
    return runtime_directory({"DSPEX_RUNTIME_DIR": str(short / "run")})


@pytest.fixture
def server(directory: Path) -> Iterator[ControlServer]:
    HOLD.clear()
    server = ControlServer(
        socket_path("demo", directory),
        {"add": add, "refuse": refuse, "hold": hold, "big": lambda _: "x" * 3_000_000},
        {"count": count, "hush": hush, "broken": broken},
        waiting=["hold"],
    )
    server.start()
    yield server
    HOLD.set()
    server.close()
    assert not server.path.exists()


def test_the_socket_and_its_directory_are_the_users_own(server: ControlServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(SocketPathError, match="only you"):
        runtime_directory({"DSPEX_RUNTIME_DIR": str(tmp_path)})


def test_a_path_too_long_for_a_socket_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SocketPathError, match="shorter directory"):
        socket_path("x", tmp_path / ("d" * 120))


def test_a_question_is_answered_and_a_refusal_says_why(server: ControlServer) -> None:
    with Client(server.path) as client:
        assert client.request("add", a=1, b=2) == 3
        with pytest.raises(OperationError, match="no /x") as caught:
            client.request("refuse")
        assert caught.value.kind == "no_such_path"
        with pytest.raises(OperationError, match="there are: add, big, broken, count, hold, hush, refuse"):
            client.request("unheard of")
        with pytest.raises(OperationError, match="KeyError"):
            client.request("add")
        assert client.request("add", a="still", b="here") == "stillhere"
        assert len(client.request("big")) == 3_000_000


def test_a_stream_ends_with_the_items_or_with_the_client(server: ControlServer) -> None:
    with Client(server.path) as client:
        assert list(client.stream("count", to=5)) == [0, 1, 2, 3, 4]
    with Client(server.path) as client:
        for number in client.stream("count", to=10**9):
            if number == 10:
                break
    with Client(server.path) as client:
        assert client.request("add", a=1, b=1) == 2


def test_an_answer_that_does_not_come_is_a_timeout_and_blocks_nobody_else(server: ControlServer) -> None:
    with Client(server.path, timeout=0.1) as slow, Client(server.path) as quick:
        with pytest.raises(ControlTimeoutError, match="did not answer"):
            slow.request("hold")
        assert quick.request("add", a=1, b=2) == 3


def test_running_systems_are_found_and_dead_sockets_removed(server: ControlServer, directory: Path) -> None:
    dead = directory / "gone-99999.sock"
    orphan = socket.socket(socket.AF_UNIX)
    orphan.bind(os.fspath(dead))
    orphan.close()
    assert [(system.name, system.pid) for system in running(directory)] == [("demo", os.getpid())]
    assert not dead.exists()
    assert choose(None, directory).path == server.path
    assert choose("demo", directory).path == server.path
    assert choose(str(os.getpid()), directory).path == server.path
    with pytest.raises(NoSystemError, match="running: demo"):
        choose("other", directory)
    second = ControlServer(socket_path("demo2", directory), {})
    second.start()
    try:
        with pytest.raises(SeveralSystemsError, match="choose one with --name"):
            choose(None, directory)
    finally:
        second.close()


def test_no_system_is_a_sentence(directory: Path) -> None:
    with pytest.raises(NoSystemError, match="start one"):
        choose(None, directory)
    with pytest.raises(NoSystemError, match="dspex ps"):
        Client(directory / "nobody-1.sock")


def test_a_second_server_on_a_living_socket_is_refused(server: ControlServer) -> None:
    with pytest.raises(SocketPathError, match="another name"):
        ControlServer(server.path, {}).start()


def test_a_server_takes_over_a_socket_left_by_a_killed_process(directory: Path) -> None:
    path = socket_path("left", directory)
    orphan = socket.socket(socket.AF_UNIX)
    orphan.bind(os.fspath(path))
    orphan.close()
    server = ControlServer(path, {"add": add})
    server.start()
    with Client(path) as client:
        assert client.request("add", a=2, b=2) == 4
    server.close()


def test_a_client_that_never_reads_costs_only_itself(server: ControlServer) -> None:
    greedy = socket.socket(socket.AF_UNIX)
    greedy.connect(os.fspath(server.path))
    for number in range(8):
        greedy.sendall(json.dumps({"v": 1, "id": number, "op": "big", "args": {}}).encode() + b"\n")
    with Client(server.path) as client:
        assert client.request("add", a=1, b=2) == 3
    greedy.close()


def connected(server: ControlServer) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(os.fspath(server.path))
    return client


def asks(op: str, **args: Any) -> bytes:
    return json.dumps({"v": 1, "id": 1, "op": op, "args": args}).encode() + b"\n"


def test_a_new_client_takes_the_place_of_the_one_that_asked_nothing_for_longest(server: ControlServer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.path)) for _ in range(64)]
        for client in clients:
            assert client.request("add", a=1, b=2) == 3
        late = stack.enter_context(Client(server.path))
        assert late.request("add", a=1, b=2) == 3
        with pytest.raises(NoSystemError):
            clients[0].request("add", a=1, b=2)
        assert clients[1].request("add", a=1, b=2) == 3


def test_too_many_clients_that_are_all_at_work_mean_that_one_more_is_turned_away_with_a_reason(
    server: ControlServer,
) -> None:
    with contextlib.ExitStack() as stack:
        at_work = [stack.enter_context(Client(server.path)) for _ in range(64)]
        for client in at_work:
            next(client.stream("count", to=10**9))
        late = stack.enter_context(Client(server.path))
        with pytest.raises((OperationError, NoSystemError), match=r"64 clients are connected|gone away"):
            late.request("add", a=1, b=2)


def test_a_flood_of_connections_that_say_nothing_does_not_shut_anybody_out(server: ControlServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connected(server))
        with Client(server.path, timeout=30) as client:
            assert client.request("add", a=1, b=2) == 3
        assert len(server._clients) <= 64


def test_a_request_that_comes_byte_by_byte_is_answered_and_holds_up_nobody(server: ControlServer) -> None:
    with connected(server) as slow, Client(server.path) as quick:
        for byte in asks("add", a=1, b=2):
            slow.sendall(bytes([byte]))
            assert quick.request("add", a=2, b=2) == 4
        assert json.loads(slow.makefile("rb").readline())["result"] == 3


def test_a_client_that_has_closed_its_half_still_gets_its_answers(server: ControlServer) -> None:
    with connected(server) as half:
        half.sendall(asks("add", a=1, b=2) + asks("add", a=2, b=2))
        half.shutdown(socket.SHUT_WR)
        answers = half.makefile("rb").readlines()
    assert [json.loads(answer)["result"] for answer in answers] == [3, 4]


def test_what_a_client_says_during_a_stream_is_not_kept(server: ControlServer) -> None:
    tracemalloc.start()
    try:
        with connected(server) as chatty:
            chatty.sendall(asks("hush"))
            chatty.sendall(b"x" * 30_000_000)
            assert tracemalloc.get_traced_memory()[1] < 45_000_000  # our own 30 are in it
        with Client(server.path) as client:
            assert client.request("add", a=1, b=2) == 3
    finally:
        tracemalloc.stop()


def test_operations_that_wait_do_not_keep_the_others_from_being_answered(server: ControlServer) -> None:
    held = [connected(server) for _ in range(20)]
    for each in held:
        each.sendall(asks("hold"))
    with Client(server.path) as client:
        assert client.request("add", a=1, b=2) == 3
    HOLD.set()
    for each in held:
        assert json.loads(each.makefile("rb").readline())["ok"] is True
        each.close()


def test_a_stream_that_breaks_is_an_error_to_its_client_and_nothing_to_the_others(server: ControlServer) -> None:
    with Client(server.path) as client:
        stream = client.stream("broken")
        assert next(stream) == 1
        with pytest.raises(OperationError, match="RuntimeError: no more"):
            next(stream)
    with Client(server.path) as client:
        assert client.request("add", a=1, b=2) == 3


def test_no_client_and_no_descriptor_is_left_when_they_have_gone(server: ControlServer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        with connected(server) as client:
            client.sendall([b"", b"half a li", asks("add", a=1, b=2), asks("count", to=10**9), b"\xff\n"][number % 5])
    deadline = threading.Event()
    while server._clients or len(os.listdir("/proc/self/fd")) > before:
        deadline.wait(0.01)
    assert not server._idle


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["v", "id", "op", "args"]), inner)
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
        st.just(b"x" * 200_000),
        st.just(b"[" * 50_000),
    )
)
def test_garbage_is_answered_with_an_error_or_nothing_and_hurts_nobody(server: ControlServer, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as rude:
        rude.settimeout(5)
        rude.connect(os.fspath(server.path))
        with contextlib.suppress(ConnectionError):
            line = garbage.replace(b"\n", b" ") + b"\n"
            rude.sendall(line[: len(line) // 2])
            rude.sendall(line[len(line) // 2 :])
            rude.shutdown(socket.SHUT_WR)
            reply = rude.makefile("rb").readline()
            assert not reply or json.loads(reply)["ok"] is False
    with Client(server.path) as client:
        assert client.request("add", a=1, b=2) == 3
