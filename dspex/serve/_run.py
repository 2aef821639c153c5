"""A server of programs in this process, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dspex.serve._app import make_app
from dspex.serve._extra import needed
from dspex.system import System

__all__ = ["serve"]


def serve(
    programs: Mapping[str, Any],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    timeout: float | None = None,
    log_level: str = "info",
    **options: Any,
) -> None:
    """Serve these programs over HTTP; returns after Ctrl-C or SIGTERM, when all is closed in order.

    Connections that are open then may finish within the system's `shutdown_timeout`.  `options` are those of `System`.
    `port` 0 takes a free one.  Blocks; in the main thread, where Python delivers signals.

    Raises:
        OSError: the address cannot be listened on.
        MissingExtraError: the extra `serve` is not installed.
    """
    uvicorn = needed("uvicorn")
    system = System(**options)
    app = make_app(programs, system=system, timeout=timeout)
    settings = uvicorn.Config(
        app, log_level=log_level, lifespan="on", timeout_graceful_shutdown=max(1, round(system.shutdown_timeout))
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=settings.backlog) as listening, _outliving_signals():
        uvicorn.Server(settings).run(sockets=[listening])


@contextmanager
def _outliving_signals() -> Iterator[None]:
    """uvicorn raises the signal that stopped it once more when it is done: that one is answered already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
