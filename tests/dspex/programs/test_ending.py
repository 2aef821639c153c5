"""Ending calls early: deadlines and cancellation reach what the call has begun, down to the HTTP request."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import dspex
from actors import current_scheduler
from actors.testing import VirtualClock
from dspex.lm import LMRequest, LMResponse
from dspex.programs import DeadlineExceededError
from dspex.testing import FaultServer
from tests.dspex.programs.models import Answering, AnsweringAsync, Model


@pytest.fixture(params=["spawned forward", "spawned aforward", "request forward", "request aforward", "predictor"])
def program(request: pytest.FixtureRequest, system: dspex.System) -> Any:
    if request.param == "predictor":
        return system.spawn(dspex.Predict("question -> answer"))
    made = Answering() if request.param.endswith(" forward") else AnsweringAsync()
    return system.spawn(made) if request.param.startswith("spawned") else made


def test_a_deadline_ends_the_call_and_the_model_call_in_it(program: Any, model: Model) -> None:
    model.hold()
    with pytest.raises(DeadlineExceededError) as raised:
        program(question="q", timeout=0.05)
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.timeout == 0.05
    assert model.cancelled == 1
    model.gate = None
    assert program(question="q", timeout=30).answer == "answer of q"


def test_cancelling_an_awaited_call_ends_the_model_call_in_it(program: Any, model: Model, system: dspex.System) -> None:
    model.hold()

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await program.acall(question="q")

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    for _ in range(1000):
        if model.cancelled:
            break
        time.sleep(0.005)
    assert model.cancelled == 1


def test_a_deadline_within_a_program_ends_only_that_part(system: dspex.System, model: Model) -> None:
    class Patient(dspex.Module):
        def __init__(self) -> None:
            self.first = dspex.Predict("question -> answer")

        def forward(self, question: str) -> str:
            try:
                return self.first(question=question, timeout=0.05).answer  # type: ignore[no-any-return]
            except DeadlineExceededError:
                return "no answer in time"

    model.hold()
    for program in (Patient(), system.spawn(Patient())):
        assert program(question="q") == "no answer in time"
    assert model.cancelled == 2


class Punctual(Model):
    """Sees the deadline pass before the call's own timer can: it holds the loop until then."""

    async def respond(self, request: LMRequest) -> LMResponse:
        clock = current_scheduler().clock
        while clock.time() <= dspex.settings.deadline:
            pass
        raise dspex.LMTimeoutError("too late", code="deadline")


@pytest.mark.parametrize("spawned", [True, False], ids=["spawned", "request"])
def test_a_call_whose_time_is_up_says_so_whoever_noticed_first(system: dspex.System, spawned: bool) -> None:
    program: Any = system.spawn(AnsweringAsync()) if spawned else AnsweringAsync()
    with dspex.context(lm=Punctual()), pytest.raises(DeadlineExceededError) as raised:
        program(question="q", timeout=0.01)
    assert raised.value.timeout == 0.01


def test_a_call_within_a_call_has_the_sooner_of_both_deadlines(system: dspex.System) -> None:
    class Inner(dspex.Module):
        async def aforward(self) -> float:
            return dspex.settings.deadline  # type: ignore[no-any-return]

    class Outer(dspex.Module):
        def __init__(self) -> None:
            self.inner = Inner()

        async def aforward(self, least: float) -> tuple[float, float, float]:
            longer = await self.inner.acall(timeout=1000)
            return dspex.settings.deadline, longer, await self.inner.acall(timeout=least)

    for program in (Outer(), system.spawn(Outer())):
        own, longer, shorter = program(least=20, timeout=100)
        assert own == longer
        assert shorter < own


def test_a_deadline_ends_what_a_forward_on_a_thread_waits_for(system: dspex.System, model: Model) -> None:
    class OnThread(Answering):
        blocking = True
        ended: list[type[BaseException]] = []

        def forward(self, question: str) -> Any:
            try:
                return super().forward(question)
            except BaseException as error:
                self.ended.append(type(error))
                raise

    model.hold()
    for program in (OnThread(), system.spawn(OnThread())):
        with pytest.raises(DeadlineExceededError):
            program(question="q", timeout=0.05)
    for _ in range(1000):
        if len(OnThread.ended) == 2:
            break
        time.sleep(0.005)
    assert OnThread.ended == [asyncio.CancelledError] * 2
    assert model.cancelled == 2


def test_an_input_field_named_timeout_is_an_input(system: dspex.System) -> None:
    predict = dspex.Predict("timeout: str -> answer")
    assert predict(timeout="a while").answer == "answer of a while"

    class Own(dspex.Module):
        def forward(self, timeout: str) -> str:
            return timeout

    assert Own()(timeout="mine") == "mine"
    assert system.spawn(Own())(timeout="mine") == "mine"


@pytest.mark.parametrize("kind", [Answering, AnsweringAsync])
@pytest.mark.parametrize("spawned", [True, False], ids=["spawned", "request"])
def test_a_deadline_aborts_the_http_request_at_the_server(kind: type[dspex.Module], spawned: bool) -> None:
    clock = VirtualClock()
    with FaultServer(latency=3600) as server:
        lm = dspex.LM("openai/m", base_url=server.url, api_key="k", cache=False, num_retries=3, timeout=None)
        with dspex.System("test", lm=lm, store=False, control_socket=False, clock=clock) as system:
            program: Any = system.spawn(kind()) if spawned else kind()
            outcome: list[BaseException] = []

            def call() -> None:
                with pytest.raises(DeadlineExceededError) as raised:
                    program(question="q", timeout=60)
                outcome.append(raised.value)

            caller = threading.Thread(target=call)
            caller.start()
            server.wait_until("requests", 1)
            clock.advance(61)
            server.wait_until("abandoned", 1)
            caller.join(10)
            assert len(outcome) == 1
            assert len(server.requests) == 1
            assert server.completed == 0


def test_a_call_abandoned_by_ctrl_c_is_ended(system: dspex.System, model: Model) -> None:
    model.hold()
    ref = system.spawn(Answering())
    call, reply = ref._send((), {"question": "q"})
    model.wait_for(1)
    threading.Timer(0.05, lambda: reply.set_exception(KeyboardInterrupt())).start()
    with pytest.raises(KeyboardInterrupt):
        call.wait(reply)
    call.cancel()
    for _ in range(1000):
        if model.cancelled:
            break
        time.sleep(0.005)
    assert model.cancelled == 1
