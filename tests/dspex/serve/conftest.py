"""A real server on a real port, and a model's endpoint that counts what it sees."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
import uvicorn

from dspex.testing import FaultServer

Serving = Callable[[Any], AbstractContextManager[httpx.Client]]


@contextlib.contextmanager
def serving(app: Any) -> Iterator[httpx.Client]:
    """`app` under uvicorn, in a thread; left in order, as after SIGTERM."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=20))
    ready = threading.Event()
    startup = server.startup

    async def started(sockets: Any = None) -> None:
        await startup(sockets)
        ready.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, args=([listening],), name="uvicorn")
    thread.start()
    assert ready.wait(30)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture
def endpoint() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def serve() -> Serving:
    return serving
