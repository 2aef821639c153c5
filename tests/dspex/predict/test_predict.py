"""One call: which model, which parameters, what comes back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import dspex
from dspex.lm import LMRequest, LMResponse


class Recording(dspex.DummyLM):
    """A DummyLM that keeps the requests."""

    def __init__(self, answers: Any, **kwargs: Any) -> None:
        super().__init__(answers)
        self.kwargs.update(kwargs)
        self.requests: list[LMRequest] = []

    async def respond(self, request: LMRequest) -> LMResponse:
        self.requests.append(request)
        return await super().respond(request)


@pytest.fixture
def lm() -> Recording:
    return Recording([{"answer": f"a{n}", "reasoning": "r"} for n in range(50)])


def test_the_outputs_are_attributes_of_the_prediction(system: dspex.System, lm: Recording) -> None:
    predict = dspex.Predict("question -> answer")
    predict.lm = lm
    assert predict(question="q").answer == "a0"
    assert asyncio.run(predict.acall(question="q")).answer == "a1"


def test_the_model_is_the_calls_else_the_predictors_else_the_configured_one(
    system: dspex.System, lm: Recording
) -> None:
    own, configured = Recording([{"answer": "own"}] * 9), Recording([{"answer": "configured"}] * 9)
    predict = dspex.Predict("question -> answer")
    with dspex.context(lm=configured):
        assert predict(question="q").answer == "configured"
        predict.lm = own
        assert predict(question="q").answer == "own"
        assert predict(question="q", lm=lm).answer == "a0"


def test_without_a_model_the_error_says_how_to_configure_one(system: dspex.System) -> None:
    predict = dspex.Predict("question -> answer")
    with pytest.raises(dspex.LMNotConfiguredError, match="configure"):
        predict(question="q")
    with pytest.raises(dspex.LMNotConfiguredError, match=r"dspex\.LM\('openai/gpt'\)"):
        predict(question="q", lm="openai/gpt")


def test_a_call_brings_its_own_demos_config_and_signature_for_that_call_only(
    system: dspex.System, lm: Recording
) -> None:
    predict = dspex.Predict("question -> answer", max_tokens=7)
    predict.lm = lm
    demo = dspex.Example(question="demo question", answer="demo answer")
    predict(
        question="q",
        demos=[demo],
        config={"temperature": 0.3, "rollout_id": 5},
        signature=predict.signature.with_instructions("Only now."),
    )
    predict(question="q")
    first, second = lm.requests
    assert first.params["max_tokens"] == second.params["max_tokens"] == 7
    assert (first.params["temperature"], first.rollout_id) == (0.3, 5)
    assert "temperature" not in second.params
    assert ("demo question" in str(first.messages), "demo question" in str(second.messages)) == (True, False)
    assert ("Only now." in str(first.messages), "Only now." in str(second.messages)) == (True, False)


def test_an_input_field_with_the_name_of_an_option_is_an_input(system: dspex.System, lm: Recording) -> None:
    predict = dspex.Predict("config: str, question -> answer")
    predict.lm = lm
    predict(config="of the server", question="q")
    assert "of the server" in str(lm.requests[0].messages)


def test_several_completions_are_asked_for_warm_unless_a_temperature_is_given(
    system: dspex.System, lm: Recording
) -> None:
    predict = dspex.Predict("question -> answer", n=3)
    predict.lm = lm
    prediction = predict(question="q")
    assert prediction.completions.answer == ["a0", "a1", "a2"]
    assert prediction.answer == "a0"
    assert lm.requests[0].params["temperature"] == 0.7
    predict(question="q", config={"temperature": 0.4})
    assert lm.requests[1].params["temperature"] == 0.4


def test_inputs_are_given_by_name(system: dspex.System) -> None:
    with pytest.raises(ValueError, match=r"predict\(question=\.\.\.\)"):
        dspex.Predict("question -> answer")("q")
    with pytest.raises(ValueError, match="by name"):
        asyncio.run(dspex.Predict("question -> answer").acall("q"))


@pytest.mark.parametrize(
    "module",
    [
        dspex.ChainOfThought("question -> answer"),
        dspex.ReAct("question -> answer", tools=[]),
        dspex.BestOfN(dspex.Predict("question -> answer"), 2, lambda inputs, prediction: 1.0, 1.0),
        dspex.Refine(dspex.Predict("question -> answer"), 2, lambda inputs, prediction: 1.0, 1.0),
    ],
    ids=lambda module: type(module).__name__,
)
def test_the_modules_made_of_predictors_say_so_too(system: dspex.System, module: dspex.Module) -> None:
    with pytest.raises(ValueError, match="given by name"):
        module("q")
    with pytest.raises(ValueError, match="given by name"):
        asyncio.run(module.acall("q"))


def test_a_spawned_predictor_says_so_too(system: dspex.System) -> None:
    running = system.spawn(dspex.Predict("question -> answer"))
    with pytest.raises(ValueError, match=r"predict\(question=\.\.\.\)"):
        running("q")


def test_defaults_of_fields_are_used_and_missing_and_unknown_inputs_are_told(
    system: dspex.System, lm: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    class Greet(dspex.Signature):
        name: str = dspex.InputField()
        style: str = dspex.InputField(default="politely")
        answer: str = dspex.OutputField()

    predict = dspex.Predict(Greet)
    predict.lm = lm
    with caplog.at_level(logging.WARNING, logger="dspex"):
        predict(name="Ann")
        assert caplog.messages == []
        assert "politely" in str(lm.requests[0].messages)
        predict(colour="red")
    assert "colour" in caplog.text
    assert "name missing" in caplog.text


def test_a_trace_notes_predictor_inputs_and_prediction_and_is_bounded(system: dspex.System, lm: Recording) -> None:
    predict = dspex.Predict("question -> answer")
    trace: list[Any] = []
    with dspex.context(lm=lm, trace=trace, max_trace_size=2):
        for number in range(3):
            predict(question=f"q{number}")
    assert [(predictor, inputs, prediction.answer) for predictor, inputs, prediction in trace] == [
        (predict, {"question": "q1"}, "a1"),
        (predict, {"question": "q2"}, "a2"),
    ]


def test_config_is_read_and_updated() -> None:
    predict = dspex.Predict("a -> b", temperature=0.1)
    predict.update_config(n=2)
    assert predict.get_config() == {"temperature": 0.1, "n": 2}


def test_chain_of_thought_reasons_before_it_answers(system: dspex.System, lm: Recording) -> None:
    program = dspex.ChainOfThought("question -> answer")
    assert list(program.predict.signature.output_fields) == ["reasoning", "answer"]
    with dspex.context(lm=lm):
        prediction = program(question="q")
    assert (prediction.reasoning, prediction.answer) == ("r", "a0")
    own = dspex.ChainOfThought("question -> answer", rationale_field=dspex.OutputField(desc="mine"))
    assert own.predict.signature.output_fields["reasoning"].json_schema_extra["desc"] == "mine"  # type: ignore[index]
