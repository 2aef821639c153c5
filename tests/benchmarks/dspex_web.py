"""The application of `system.py` with a dspex system embedded: a FastAPI endpoint that calls a spawned program.

`task` has `base_url` (an OpenAI-compatible endpoint), `control_socket` (a path or False), and `spare`: so many actors
stand beside the program, as a crowd of workers would.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel

import dspex
from actors import AsyncActor
from dspex.serve import Caller, lifespan, program
from supervision import ChildSpec, SupervisorSpec


class Question(BaseModel):
    question: str


class Spare(AsyncActor):
    """One of a crowd that has nothing to do."""


def make_app(task: dict[str, Any]) -> FastAPI:
    """The application."""
    lm = dspex.LM("openai/fake-model", base_url=task["base_url"], api_key="x", cache=False, timeout=300)
    crowd = SupervisorSpec(*(ChildSpec(str(n), Spare) for n in range(task["spare"])), id="crowd")
    programs = {"ask": dspex.Predict("question -> answer")}
    app = FastAPI(
        lifespan=lifespan(
            programs, name="web", lm=lm, children=(crowd,), store=False, control_socket=task["control_socket"]
        )
    )

    @app.post("/ask")
    async def ask(body: Question, ask: Annotated[Caller, Depends(program("ask"))]) -> dict[str, str]:
        return {"answer": (await ask.acall(question=body.question)).answer}

    @app.get("/cpu")
    async def cpu() -> float:
        return time.process_time()

    return app
