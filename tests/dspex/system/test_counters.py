"""What `dspex top` says of calls: all that are made on the system, by spawned programs and by others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import dspex
from actors import Reply
from dspex.lm import prices, register_price
from dspex.testing import DummyLM

DEVSET = [dspex.Example(question=f"item-{number}").with_inputs("question") for number in range(6)]


class Held:
    """An endpoint that answers when it is let go; `full` is set when so many requests wait."""

    def __init__(self, width: int) -> None:
        self.let_go: Reply[None] = Reply()
        self.full = threading.Event()
        self._room = width
        self.lm = dspex.LM("openai/held", api_key="k", transport=httpx.MockTransport(self._answer), cache=False)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self._room -= 1
        if self._room == 0:
            self.full.set()
        await self.let_go
        message = {"role": "assistant", "content": "[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        return httpx.Response(200, json=body)


@pytest.fixture
def priced() -> Iterator[None]:
    register_price("openai/held", prompt=100.0, completion=200.0)
    yield
    prices.register("openai/held", None)


def test_the_calls_of_an_evaluation_are_counted_while_it_works(make: Any, priced: None) -> None:
    held = Held(3)
    with make(lm=held.lm) as system:
        evaluation = dspex.Evaluate(devset=DEVSET, metric=lambda *_: True, num_workers=3).start(
            dspex.Predict("question -> answer")
        )
        held.full.wait()
        assert system.counters() == {
            "lm_calls": 0,
            "in_flight": 3,
            "cached": 0,
            "total_tokens": 0,
            "cost": 0.0,
            "unpriced": 0,
        }
        held.let_go.set(None)
        assert evaluation.result().score == 100.0
        told = system.counters()
        assert (told["lm_calls"], told["in_flight"], told["total_tokens"], told["unpriced"]) == (6, 0, 90, 0)
        assert told["cost"] == pytest.approx(6 * (10 * 100.0 + 5 * 200.0) / 1e6)


def test_calls_of_optimizers_and_of_spawned_programs_and_direct_ones_are_counted(make: Any) -> None:
    lm = DummyLM([{"answer": "42"}] * 50)
    with make(lm=lm) as system:
        qa = dspex.Predict("question -> answer")
        lm("?")
        assert system.counters()["lm_calls"] == 1
        system.spawn(qa, name="qa").call(question="?").get()
        assert system.counters()["lm_calls"] == 2
        dspex.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=2).compile(qa, trainset=DEVSET)
        assert system.counters()["lm_calls"] > 2
        assert system.counters()["lm_calls"] == len(lm.history)
