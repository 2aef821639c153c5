"""A system inside a FastAPI or a Starlette application of one's own, under a real server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import dspex
from dspex.serve import Caller, caller, error_handler, lifespan, program, system
from dspex.system import running_systems
from dspex.testing import FaultServer
from dspex.testing._faults import always


class Question(BaseModel):
    question: str


def model(endpoint: FaultServer) -> dspex.LM:
    return dspex.LM("openai/m", base_url=endpoint.url, api_key="k", cache=False, num_retries=0)


def fastapi_app(endpoint: FaultServer) -> FastAPI:
    programs = {"ask": dspex.Predict("question -> answer")}
    app = FastAPI(lifespan=lifespan(programs, name="web", lm=model(endpoint)))
    app.add_exception_handler(dspex.DspexError, error_handler)

    @app.post("/ask")
    async def ask(body: Question, ask: Annotated[Caller, Depends(program("ask"))]) -> dict[str, str]:
        return {"answer": (await ask.acall(question=body.question)).answer}

    @app.post("/direct")
    async def direct(body: Question) -> dict[str, str]:
        return {"answer": (await dspex.Predict("question -> answer").acall(question=body.question)).answer}

    @app.post("/thread")
    def thread(body: Question) -> dict[str, str]:
        return {"answer": dspex.Predict("question -> answer")(question=body.question).answer}

    @app.get("/readyz")
    async def readyz(running: Annotated[dspex.System, Depends(system)]) -> dict[str, Any]:
        return running.health().to_json()

    return app


def starlette_app(endpoint: FaultServer) -> Starlette:
    async def ask(request: Request) -> Response:
        question = (await request.json())["question"]
        prediction = await caller(request, "ask").acall(question=question)
        return JSONResponse({"answer": prediction.answer})

    async def readyz(request: Request) -> Response:
        return JSONResponse(system(request).health().to_json())

    @contextlib.asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        programs = {"ask": dspex.Predict("question -> answer")}
        async with lifespan(programs, name="web", lm=model(endpoint))(app) as state:
            yield {**state, "mine": 1}

    handlers = {dspex.DspexError: error_handler}
    routes = [Route("/ask", ask, methods=["POST"]), Route("/readyz", readyz)]
    return Starlette(routes=routes, lifespan=own, exception_handlers=handlers)  # type: ignore[arg-type]


@pytest.fixture(params=[fastapi_app, starlette_app], ids=["fastapi", "starlette"])
def app(request: pytest.FixtureRequest, endpoint: FaultServer) -> Any:
    return request.param(endpoint)


def test_concurrent_requests_each_get_their_own_answer(serve: Any, app: Any, endpoint: FaultServer) -> None:
    endpoint.latency = 1.0
    with serve(app) as client, ThreadPoolExecutor(40) as threads:
        assert client.get("/readyz").json()["ready"] is True
        answers = list(threads.map(lambda n: client.post("/ask", json={"question": f"item-{n}"}), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["answer"] for answer in answers}) == 40
    assert endpoint.max_in_flight >= 5
    assert running_systems() == []


def test_a_client_that_goes_away_cancels_its_call_down_to_the_model(
    serve: Any, app: Any, endpoint: FaultServer
) -> None:
    endpoint.faults = always("hang")
    with serve(app) as client:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{client.base_url}/ask", json={"question": "?"}, timeout=0.5)
        endpoint.wait_until("abandoned", 1)


def test_a_call_at_work_is_finished_when_the_server_stops(serve: Any, app: Any, endpoint: FaultServer) -> None:
    endpoint.latency = 1.0
    with ThreadPoolExecutor(1) as threads:
        with serve(app) as client:
            answer = threads.submit(httpx.post, f"{client.base_url}/ask", json={"question": "?"}, timeout=60)
            endpoint.wait_until("in_flight", 1)
        assert answer.result(60).status_code == 200
    assert endpoint.abandoned == 0


def test_an_error_of_a_program_is_an_answer_with_its_status(serve: Any, app: Any, endpoint: FaultServer) -> None:
    endpoint.faults = always("rate_limit")
    with serve(app) as client:
        answer = client.post("/ask", json={"question": "?"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "rate_limit")


@pytest.mark.parametrize("path", ["/direct", "/thread"])
def test_a_module_that_is_not_spawned_runs_on_the_applications_system(
    serve: Any, endpoint: FaultServer, path: str
) -> None:
    with serve(fastapi_app(endpoint)) as client:
        answer = client.post(path, json={"question": "item-3"})
    assert answer.status_code == 200, answer.text
    assert len(endpoint.requests) == 1


def test_an_application_without_a_system_says_what_is_missing(serve: Any) -> None:
    app = FastAPI()
    app.add_exception_handler(dspex.DspexError, error_handler)

    @app.get("/ask")
    async def ask(ask: Annotated[Caller, Depends(program("ask"))]) -> None: ...

    with serve(app) as client:
        assert client.get("/ask").status_code == 500


def test_a_system_and_options_for_one_are_too_much() -> None:
    with pytest.raises(TypeError, match="name"):
        lifespan({}, system=dspex.System("one", store=False), name="two")
