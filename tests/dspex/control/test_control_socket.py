"""The control socket: private, versioned, and unimpressed by whatever is sent to it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
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
        {"count": count},
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
        with pytest.raises(OperationError, match="there are: add, big, count, hold, refuse"):
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


def test_too_many_clients_are_turned_away_with_a_reason(server: ControlServer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.path)) for _ in range(64)]
        assert clients[-1].request("add", a=1, b=2) == 3
        late = stack.enter_context(Client(server.path))
        with pytest.raises((OperationError, NoSystemError)):
            late.request("add", a=1, b=2)


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
            rude.sendall(garbage.replace(b"\n", b" ") + b"\n")
            rude.shutdown(socket.SHUT_WR)
            reply = rude.makefile("rb").readline()
            assert not reply or json.loads(reply)["ok"] is False
    with Client(server.path) as client:
        assert client.request("add", a=1, b=2) == 3
