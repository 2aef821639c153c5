"""The application of `system.py` with `dspy.asyncify` of the same predictor, for a Python that has DSPy.

`task` has `base_url` and `workers`: None leaves DSPy as it is installed (8 threads); a number gives `asyncify` so many
threads, and DSPy's client so many connections.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import dspy
from fastapi import FastAPI
from pydantic import BaseModel


class Question(BaseModel):
    question: str


def make_app(task: dict[str, Any]) -> FastAPI:
    """The application."""
    logging.getLogger("dspy").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"api_base": task["base_url"], "api_key": "x"}
    settings: dict[str, Any] = {}
    if task["workers"] is not None:
        from dspy.clients.engines import lm15_engine

        config = lm15_engine.RouterConfig(
            api_keys={"openai-chat": "x"},
            base_urls={"openai-chat": task["base_url"]},
            max_connections=task["workers"],
        )
        options = {"engine": lm15_engine.LM15Engine(config)}
        settings = {"async_max_workers": task["workers"]}
    dspy.configure(lm=dspy.LM("openai/fake-model", cache=False, **options), adapter=dspy.ChatAdapter(), **settings)
    program = dspy.asyncify(dspy.Predict("question -> answer"))
    app = FastAPI()

    @app.post("/ask")
    async def ask(body: Question) -> dict[str, str]:
        return {"answer": (await program(question=body.question)).answer}

    @app.get("/cpu")
    async def cpu() -> float:
        return time.process_time()

    return app
