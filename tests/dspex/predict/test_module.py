"""Modules: their parts and names, copies, language models."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

import dspex


class Nested(dspex.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qa = dspex.ChainOfThought("question -> answer")
        self.steps = [dspex.Predict("a -> b"), (dspex.Predict("b -> c"), dspex.Predict("c -> d"))]
        self.by_kind = {"x": dspex.Predict("x -> y")}
        self.again = self.steps[0]
        self.lock = threading.Lock()

    def forward(self, question: str) -> Any:
        return self.qa(question=question)


NAMES = ["qa.predict", "steps[0]", "steps[1][0]", "steps[1][1]", "by_kind['x']"]


def test_predictors_have_the_names_of_where_they_are_found_first() -> None:
    program = Nested()
    assert [name for name, _ in program.named_predictors()] == NAMES
    assert program.predictors() == [predictor for _, predictor in program.named_parameters()]
    assert dspex.Predict("a -> b").named_predictors()[0][0] == "self"


def test_submodules_are_named_from_self_outermost_first() -> None:
    names = [name for name, _ in Nested().named_sub_modules()]
    assert names[:2] == ["self", "self.qa"]
    assert set(names) == {"self", "self.qa", *(f"self.{name}" for name in NAMES)}
    assert [name for name, _ in Nested().named_sub_modules(dspex.ChainOfThought)] == ["self.qa"]


def test_the_predictors_of_a_compiled_part_are_left_out() -> None:
    program = Nested()
    program.qa._compiled = True
    assert [name for name, _ in program.named_predictors()] == NAMES[1:]
    assert "self.qa" not in [name for name, _ in program.named_sub_modules(skip_compiled=True)]


def test_a_subclass_that_forgets_to_call_init_is_a_module_all_the_same() -> None:
    class Forgetful(dspex.Module):
        def __init__(self) -> None:
            self.p = dspex.Predict("a -> b")

    assert Forgetful().callbacks == []
    assert Forgetful().history == []
    assert len(Forgetful().predictors()) == 1


def test_every_predictor_is_replaced_where_it_stands() -> None:
    program = Nested()
    program.map_named_predictors(lambda predictor: dspex.Predict(predictor.signature.with_instructions("changed")))
    assert [predictor.signature.instructions for predictor in program.predictors()] == ["changed"] * 5
    assert program.again is program.steps[0]
    assert program.by_kind["x"].signature.instructions == "changed"
    assert program.steps[1][1].signature.instructions == "changed"  # type: ignore[index]


def test_the_language_model_is_set_and_asked_for_as_one() -> None:
    program = Nested()
    assert program.get_lm() is None
    lm = dspex.DummyLM([])
    program.set_lm(lm)
    assert all(predictor.lm is lm for predictor in program.predictors())
    assert program.get_lm() is lm
    program.steps[0].lm = dspex.DummyLM([])  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="2 language models"):
        program.get_lm()


def test_a_copy_shares_no_state_but_the_language_model_and_what_cannot_be_copied() -> None:
    program = Nested()
    program.set_lm(dspex.DummyLM([]))
    program.qa.predict.demos = [dspex.Example(question="q", answer="a")]
    program.history.append({"made": "up"})
    for twin in (program.deepcopy(), copy.deepcopy(program)):
        assert twin.qa is not program.qa
        assert twin.again is twin.steps[0]
        assert twin.lock is program.lock
        assert twin.get_lm() is program.get_lm()
        assert twin.history == []
        twin.qa.predict.demos[0].answer = "changed"
        twin.qa.predict.demos.append(dspex.Example())
        twin.qa.predict.signature = twin.qa.predict.signature.with_instructions("other")
        assert program.qa.predict.demos == [dspex.Example(question="q", answer="a")]
        assert "other" not in program.qa.predict.signature.instructions


def test_a_reset_copy_has_forgotten_demos_and_language_models() -> None:
    program = Nested()
    program.set_lm(dspex.DummyLM([]))
    program.qa.predict.demos = [dspex.Example(question="q")]
    twin = program.reset_copy()
    assert twin.qa.predict.demos == []
    assert twin.get_lm() is None
    assert program.qa.predict.demos


def test_a_module_survives_pickling_for_another_process() -> None:
    program = dspex.ChainOfThought("question -> answer")
    program.predict.demos = [dspex.Example(question="q", answer="a")]
    twin = pickle.loads(pickle.dumps(program))
    assert twin.predict.demos == program.predict.demos
    assert twin.predict.signature == program.predict.signature
    assert twin.callbacks == []


def test_history_is_printed(system: dspex.System, capsys: pytest.CaptureFixture[str]) -> None:
    program = dspex.Predict("question -> answer")
    with dspex.context(lm=dspex.DummyLM([{"answer": "forty-two"}])):
        program(question="the question")
    program.inspect_history()
    printed = capsys.readouterr().out
    assert "the question" in printed
    assert "forty-two" in printed
