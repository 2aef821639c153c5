"""Language models and programs for the tests of running programs."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import dspex
from actors import Reply
from dspex.lm import BaseLM, LMOutput, LMRequest, LMResponse, Usage


class Model(BaseLM):
    """Answers every output field with "<field> of <last input line>"; can be held, and counts what it sees."""

    def __init__(self, **options: Any) -> None:
        super().__init__("test/model", cache=False, **options)
        self.requests: list[LMRequest] = []
        self.cancelled = 0
        self.gate: Reply[None] | None = None
        self.arrived = threading.Semaphore(0)

    def hold(self) -> Reply[None]:
        """From now on answers wait until the gate that this returns is set."""
        self.gate = Reply()
        return self.gate

    def wait_for(self, requests: int) -> None:
        """Block until so many more requests have come."""
        for _ in range(requests):
            assert self.arrived.acquire(timeout=10)

    async def respond(self, request: LMRequest) -> LMResponse:
        self.requests.append(request)
        self.arrived.release()
        gate = self.gate
        if gate is not None:
            try:
                await gate
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return LMResponse([LMOutput(reply_to(request))], Usage(10, 5, 15, requests=1), self.model, cost=0.25)


def reply_to(request: LMRequest) -> str:
    """A reply in ChatAdapter's form: every output field that the prompt's end asks for, made from the question."""
    assert request.messages is not None
    text = "".join(m["content"] for m in request.messages)
    user = request.messages[-1]["content"]
    value = user.split("]]\n", 1)[1].split("\n", 1)[0] if "]]\n" in user else user
    names = [name for name in ("reasoning", "answer", "verdict") if f"[[ ## {name} ## ]]" in text]
    wanted = [name for name in names if f"[[ ## {name} ## ]]\n" not in user]
    return "\n\n".join(f"[[ ## {name} ## ]]\n{name} of {value}" for name in wanted) + "\n\n[[ ## completed ## ]]"


class Answering(dspex.Module):
    """Two predictors, one after the other, in synchronous code."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspex.Predict("question -> answer")
        self.second = dspex.ChainOfThought("answer -> verdict")

    def forward(self, question: str) -> dspex.Prediction:
        answer = self.first(question=question).answer
        return dspex.Prediction(answer=answer, verdict=self.second(answer=answer).verdict)


class AnsweringAsync(dspex.Module):
    """The same in a coroutine."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspex.Predict("question -> answer")
        self.second = dspex.ChainOfThought("answer -> verdict")

    async def aforward(self, question: str) -> dspex.Prediction:
        answer = (await self.first.acall(question=question)).answer
        return dspex.Prediction(answer=answer, verdict=(await self.second.acall(answer=answer)).verdict)


class Failing(dspex.Module):
    """Raises for the question "bad", leaves the interpreter for "exit"; otherwise asks its predictor."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspex.Predict("question -> answer")

    def forward(self, question: str) -> dspex.Prediction:
        if question == "bad":
            raise ZeroDivisionError("the question was bad")
        if question == "exit":
            raise SystemExit(3)
        return self.first(question=question)
