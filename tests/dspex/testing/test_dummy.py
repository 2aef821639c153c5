"""DummyLM says what it is told, through any adapter."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import dspex
from actors import Scheduler
from dspex.adapters import ChatAdapter, JSONAdapter, XMLAdapter
from dspex.testing import DummyLM


def ask(lm: DummyLM, adapter: Any = None, **inputs: Any) -> Any:
    with dspex.context(lm=lm, adapter=adapter or ChatAdapter()):
        return dspex.Predict("question -> answer")(**inputs)


def test_answers_come_in_their_order_and_then_no_more(scheduler: Scheduler) -> None:
    lm = DummyLM([{"answer": "one"}, {"answer": "two"}])
    assert [ask(lm, question="x").answer for _ in range(3)] == ["one", "two", "No more responses"]


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter()])
def test_answers_are_written_as_the_adapter_reads_them(adapter: Any, scheduler: Scheduler) -> None:
    lm = DummyLM([{"answer": "a [value]\nof two lines"}], adapter=adapter)
    assert ask(lm, adapter, question="x").answer == "a [value]\nof two lines"


def test_a_dict_answers_by_what_the_last_message_holds(scheduler: Scheduler) -> None:
    lm = DummyLM({"sky": {"answer": "blue"}, "grass": {"answer": "green"}})
    assert ask(lm, question="Which colour has grass?").answer == "green"
    assert ask(lm, question="Which colour has the sky?").answer == "blue"
    assert ask(lm, question="Which colour has it?").answer == "No more responses"


def test_it_follows_the_demonstration_of_the_same_question(scheduler: Scheduler) -> None:
    predict = dspex.Predict("question -> answer")
    predict.demos = [
        dspex.Example(question=f"What is {i}?", answer=f"it is {i}").with_inputs("question") for i in range(3)
    ]
    with dspex.context(lm=DummyLM([{"answer": "else"}], follow_examples=True)):
        assert predict(question="What is 1?").answer == "it is 1"
        assert predict(question="What is 7?").answer == "else"


def test_texts_are_taken_as_they_are_and_n_takes_n(scheduler: Scheduler) -> None:
    assert DummyLM(["a", "b", "c"])("x", n=2) == ["a", "b"]


def test_it_reasons_when_told_to(scheduler: Scheduler) -> None:
    lm = DummyLM([{"reasoning": "because", "answer": "x"}], reasoning=True)
    (output,) = lm("q")
    assert isinstance(output, dict)
    assert output["reasoning_content"] == "because"
    assert "because" not in output["text"]


def test_threads_never_get_the_same_answer(scheduler: Scheduler) -> None:
    lm, said = DummyLM([str(i) for i in range(400)]), []

    def talk() -> None:
        for _ in range(50):
            said.extend(lm("x"))

    threads = [threading.Thread(target=talk) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said, key=int) == [str(i) for i in range(400)]


def test_it_keeps_history_and_counts_as_a_call(scheduler: Scheduler) -> None:
    lm = DummyLM([{"answer": "one"}])
    with dspex.track_usage() as tracker:
        ask(lm, question="x")
    assert tracker.calls == 1
    assert lm.history[-1]["response"].outputs[0].text.startswith("[[ ## answer ## ]]")
