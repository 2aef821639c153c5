"""A system for the life of an ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from dspex.system import System

__all__ = ["STATE", "lifespan"]

STATE: Final = "dspex_system"
"""Where a request's state keeps the system."""


def lifespan(
    programs: Mapping[str, Any] | None = None, *, system: System | None = None, **options: Any
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """The `lifespan` of a FastAPI or Starlette application: a system with these programs, spawned by name.

    It starts with the application, and ends with it, in order: calls at work may finish within the system's
    `shutdown_timeout`.  `options` are those of `System`; `system` is one that was made already, started or not, and
    belongs to the application from now on.  Each process of a server with several has a system of its own: a system
    does not survive a fork, so it must not be started before one.

    What is yielded is the application's state: `async with lifespan(...)(app) as state` within a lifespan of your own
    gives the mapping to yield on.

    Raises:
        TypeError: both a system and options for one.
    """
    if system is not None and options:
        raise TypeError(f"lifespan() was given a system and {', '.join(sorted(options))}: set these on the system.")

    @contextlib.asynccontextmanager
    async def living(app: Any) -> AsyncIterator[dict[str, Any]]:
        running = system if system is not None else System(**options)
        async with running:
            for name, program in (programs or {}).items():
                await running.aspawn(program, name=name)
            yield {STATE: running}

    return living
