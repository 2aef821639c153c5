"""Programs declared as data: named steps, pipelines, and the pipe."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import dspex
from tests.dspex.programs.models import Model


def shout(answer: str) -> dict[str, str]:
    return {"answer": answer.upper()}


async def count(answer: str) -> int:
    return len(answer)


@pytest.fixture
def program() -> dspex.Program:
    return dspex.Program(
        {
            "ask": "question -> answer",
            "judge": dspex.ChainOfThought("answer -> verdict"),
            "shout": shout,
            "length": count,
        }
    )


EXPECTED = {
    "answer": "ANSWER OF Q",
    "reasoning": "reasoning of answer of q",
    "verdict": "verdict of answer of q",
    "length": 11,
}


def test_each_step_is_given_what_it_asks_for_and_adds_what_it_finds(
    program: dspex.Program, system: dspex.System
) -> None:
    assert program(question="q", unused=1).toDict() == EXPECTED
    assert asyncio.run(program.acall(question="q")).toDict() == EXPECTED


def test_spawned_every_step_that_is_a_module_is_supervised(program: dspex.Program, system: dspex.System) -> None:
    ref = system.spawn(program, name="composed")
    assert list(ref.actors()) == ["self", "steps['ask']", "steps['judge']", "steps['judge'].predict"]
    assert ref(question="q").toDict() == EXPECTED
    ref.update(instructions={"steps['ask']": "Be brief."})
    assert ref.parameters["steps['ask']"].signature.instructions == "Be brief."
    assert ref.metrics()["steps['judge'].predict"].calls == 1


def test_the_pipe_runs_programs_one_after_the_other(system: dspex.System, model: Model) -> None:
    ask, judge = dspex.Predict("question -> answer"), dspex.Predict("question, answer -> verdict")
    assert ({"question": "q"} | ask | judge).verdict == "verdict of q"
    assert "answer of q" in str(model.requests[1].messages)
    example = dspex.Example(question="q", answer="gold").with_inputs("question")
    assert (example | ask | judge).verdict == "verdict of q"
    assert "gold" not in str(model.requests)


def test_programs_and_functions_are_joined_into_a_pipeline(system: dspex.System) -> None:
    pipeline = dspex.Predict("question -> answer") | shout | dspex.Predict("answer -> verdict")
    assert isinstance(pipeline, dspex.Pipeline)
    assert list(pipeline.steps) == ["step_1", "step_2", "step_3"]
    assert ({"question": "q"} | pipeline).toDict() == {"answer": "ANSWER OF Q", "verdict": "verdict of ANSWER OF Q"}
    ref = system.spawn(pipeline)
    assert ({"question": "q"} | ref).verdict == "verdict of ANSWER OF Q"


def test_a_running_program_may_be_a_step(system: dspex.System) -> None:
    ref = system.spawn(dspex.Predict("question -> answer"))
    assert ({"question": "q"} | ref | dspex.Predict("answer -> verdict")).verdict == "verdict of answer of q"
    assert (ref | shout)(question="q").answer == "ANSWER OF Q"


def test_a_step_that_blocks_is_moved_to_a_thread(model: Model) -> None:
    idents: list[int] = []

    def slow(answer: str) -> dict[str, Any]:
        idents.append(threading.get_ident())
        time.sleep(0.3 if len(idents) == 1 else 0)
        return {}

    with dspex.System("watched", lm=model, store=False, control_socket=False, stall_after=0.05) as system:
        pipeline = dspex.Pipeline("question -> answer", slow)
        pipeline(question="q")
        pipeline(question="q")
        assert idents[1] != system.scheduler.ident


def test_what_is_no_step_is_refused() -> None:
    with pytest.raises(TypeError, match="step"):
        dspex.Program({"bad": 3})
    with pytest.raises(ValueError, match="at least one"):
        dspex.Program({})
