"""What an endpoint uses: the system of its application, and its programs, as one request sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from dspex._errors import DspexError
from dspex.serve._extra import needed
from dspex.serve._lifespan import STATE

if TYPE_CHECKING:
    from starlette.requests import Request

    from dspex.programs import ProgramRef
    from dspex.system import System
else:
    # FastAPI looks at the annotations to know what to hand over, so this name must be there when it runs.
    Request = needed("starlette.requests").Request

__all__ = ["CLIENT_CLOSED", "Caller", "caller", "program", "system", "until_gone"]

CLIENT_CLOSED = 499
"""The status of a request whose client went away.  Nobody receives it; logs show it."""


class Caller:
    """A running program, called for one HTTP request: when the client goes away, the call ends with it.

    Read the request's body before calling: what comes from the client afterwards is taken for its going.
    """

    def __init__(self, program: ProgramRef, request: Request) -> None:
        self.program = program
        self._request = request

    async def acall(self, *args: Any, **inputs: Any) -> Any:
        """The result, awaited; `timeout=seconds` bounds it.

        Raises:
            HTTPException: 499, the client went away; its call and the requests to the model were cancelled.
        """
        return await until_gone(self._request, self.program.acall(*args, **inputs))

    def __repr__(self) -> str:
        return f"<Caller of {self.program.name!r}>"


async def until_gone(request: Request, work: Awaitable[Any]) -> Any:
    """The result of `work`, which is cancelled when the client goes away.

    Raises:
        HTTPException: 499, the client went away first.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
    finally:
        # Whoever ends first, or if the server itself cancels this request: both are over when it is.
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
    raise needed("starlette.exceptions").HTTPException(CLIENT_CLOSED, "the client went away")


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def system(request: Request) -> System:
    """The system of the application that `lifespan` started.  A FastAPI dependency; in Starlette call it.

    Raises:
        DspexError: the application was made without `lifespan`.
    """
    found: System | None = getattr(request.state, STATE, None)
    if found is None:
        raise DspexError(
            "This application has no dspex system: make it with lifespan=dspex.serve.lifespan({...}), and yield on the "
            "state if it has a lifespan of its own."
        )
    return found


def caller(request: Request, name: str) -> Caller:
    """The program of that name, for one request: what a Starlette endpoint calls.

    Raises:
        DspexError: the application was made without `lifespan`, or no program of that name runs.
    """
    programs = system(request).programs
    if name not in programs:
        running = ", ".join(sorted(programs)) or "none"
        raise DspexError(f"No program named {name!r} runs here (running: {running}).", code="no_program")
    return Caller(programs[name], request)


def program(name: str) -> Callable[[Request], Awaitable[Caller]]:
    """The program of that name as a FastAPI dependency, `Depends(program("rag"))`: see `caller`."""

    async def dependency(request: Request) -> Caller:  # a plain function would cost FastAPI a thread for each request
        return caller(request, name)

    return dependency
