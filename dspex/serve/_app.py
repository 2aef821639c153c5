"""The ASGI application of `dspex serve`: POST /NAME for each program, its health, and its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from dspex.serve._dependency import system, until_gone
from dspex.serve._extra import needed
from dspex.serve._interface import Interface, jsonable
from dspex.serve._lifespan import lifespan
from dspex.serve._openapi import describe
from dspex.serve._problems import Problem, problem_of
from dspex.serve._stream import events_of

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from dspex.system import System

__all__ = ["make_app"]

_RESERVED: Final = frozenset({"livez", "openapi.json", "readyz"})


def make_app(
    programs: Mapping[str, Any],
    *,
    system: System | None = None,
    timeout: float | None = None,
    max_body: int = 1_000_000,
    **options: Any,
) -> Starlette:
    """The application for these programs, by name; `system` and `options` are those of `lifespan`.

    `timeout` are the seconds that a call may take; `max_body` the bytes that a request may have.

    Raises:
        ValueError: a name cannot be a path.
        MissingExtraError: the extra `serve` is not installed.
    """
    for name in programs:
        if name in _RESERVED or not name.replace("-", "_").isidentifier():
            raise ValueError(f"A program cannot be served as {name!r}: use letters, digits, - and _.")
    interfaces = {name: Interface.of(name, program) for name, program in programs.items()}
    application = needed("starlette.applications").Starlette
    route = needed("starlette.routing").Route
    service = _Service(interfaces, timeout, max_body)
    app: Starlette = application(
        routes=[
            route("/livez", service.live, methods=["GET"]),
            route("/readyz", service.ready, methods=["GET"]),
            route("/openapi.json", service.description, methods=["GET"]),
            route("/{name}", service.call, methods=["POST"]),
        ],
        lifespan=lifespan(programs, system=system, **options),
    )
    return app


class _Service:
    def __init__(self, interfaces: Mapping[str, Interface], timeout: float | None, max_body: int) -> None:
        from starlette.responses import JSONResponse, StreamingResponse

        self._json, self._streaming = JSONResponse, StreamingResponse
        self._interfaces = interfaces
        self._timeout = timeout
        self._max_body = max_body

    # -- calls

    async def call(self, request: Request) -> Response:
        """Run a program."""
        name = request.path_params["name"]
        interface = self._interfaces.get(name)
        if interface is None:
            served = ", ".join(f"/{each}" for each in sorted(self._interfaces))
            return self._refused(Problem(404, "no_program", f"There is no program /{name}; there are: {served}."))
        body = await self._body(request)
        inputs = body if isinstance(body, Problem) else interface.read(body)
        if isinstance(inputs, Problem):
            return self._refused(inputs)
        running = system(request)
        program = running.programs.get(name)
        if program is None:
            return self._refused(Problem(503, "unavailable", "The program is not running at the moment."))
        if "text/event-stream" in request.headers.get("accept", ""):
            events = events_of(running, program, inputs, self._timeout)
            return self._streaming(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        limit = {} if self._timeout is None else {"timeout": self._timeout}
        try:
            prediction = await until_gone(request, program.acall(**inputs, **limit))
        except needed("starlette.exceptions").HTTPException:
            raise
        except Exception as error:  # noqa: BLE001  the edge: whatever a program raises is an answer
            problem = problem_of(error)
            structlog.get_logger("dspex.serve").warning(
                "call failed", program=name, status=problem.status, code=problem.code
            )
            return self._refused(problem)
        return self._json(jsonable(prediction))

    async def _body(self, request: Request) -> bytes | Problem:
        """The body; a longer one than allowed is not even read to its end."""
        taken = bytearray()
        async for piece in request.stream():
            taken += piece
            if len(taken) > self._max_body:
                return Problem(413, "too_large", f"A request may have {self._max_body:,} bytes.")
        return bytes(taken)

    def _refused(self, problem: Problem) -> Response:
        return self._json(problem.to_json(), problem.status, problem.headers())

    # -- looking

    async def live(self, request: Request) -> Response:
        """Would a restart help?"""
        health = system(request).health()
        return self._json(health.to_json(), 200 if health.live else 503)

    async def ready(self, request: Request) -> Response:
        """Can it work now?"""
        health = system(request).health()
        return self._json(health.to_json(), 200 if health.ready else 503)

    async def description(self, request: Request) -> Response:
        """OpenAPI."""
        from dspex import __version__

        return self._json(describe(self._interfaces.values(), system(request).name, __version__))
