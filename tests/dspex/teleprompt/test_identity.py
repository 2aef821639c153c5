"""A journal answers only for the work that wrote it."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dspex._settings import context
from dspex.adapters import JSONAdapter
from dspex.lm import LM
from dspex.predict import Module, Predict
from dspex.primitives import Example, Prediction
from dspex.signatures import Signature
from dspex.system import System
from dspex.teleprompt import BootstrapFewShotWithRandomSearch, JournalMismatchError
from dspex.teleprompt._code import callable_key, lm_text
from dspex.teleprompt._differences import differences
from dspex.testing import DummyLM

ROOT = Path(__file__).parents[3]


class Asks(Module):
    def __init__(self, signature="question -> answer"):
        super().__init__()
        self.asking = Predict(Signature(signature, "Answer."))

    def forward(self, question):
        return Prediction(answer=question)


class Shouts(Asks):
    def forward(self, question):
        return Prediction(answer=question.upper())


Shouts.__name__ = Shouts.__qualname__ = "Asks"


def exact(example, prediction, trace=None):
    return example.answer == prediction.answer


def lenient(example, prediction, trace=None):
    return True


lenient.__name__ = lenient.__qualname__ = "exact"


def compile_with(program=None, metric=exact, lm=None, adapter=None, teacher=None):
    rows = [Example(question=f"q{n}", answer=f"q{n}").with_inputs("question") for n in range(4)]
    search = BootstrapFewShotWithRandomSearch(metric, num_candidate_programs=0, max_bootstrapped_demos=0)
    with context(lm=lm or LM("openai/one", api_key="sk-one"), adapter=adapter):
        return search.compile(program or Asks(), trainset=rows, teacher=teacher, run_id="r1")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"program": Asks("question -> answer: int")}, r"fields of 'asking' \(question -> answer; now .*answer: int\)"),
        ({"program": Shouts()}, "the program's code"),
        ({"metric": lenient}, "the metric's code"),
        ({"adapter": JSONAdapter()}, r"the adapter \(ChatAdapter.*; now JSONAdapter"),
        ({"lm": LM("openai/two")}, r"the language model of the student \(openai/one at .*; now openai/two at "),
        ({"lm": LM("openai/one", temperature=0.5)}, "temperature=0.5"),
        ({"lm": LM("openai/one", base_url="https://elsewhere/v1")}, "elsewhere"),
        ({"teacher": Asks()}, r"differs in the teacher\."),
    ],
)
def test_a_run_is_not_continued_with_another_program_metric_model_or_adapter(tmp_path, other, named):
    with System(store=str(tmp_path / "store.db"), control_socket=False):
        compile_with()
        compile_with(lm=LM("openai/one", api_key="sk-two"))  # another key is the same model
        with pytest.raises(JournalMismatchError, match=named) as caught:
            compile_with(**other)
        assert "sk-" not in str(caught.value)


def test_another_optimizer_is_named_without_its_arguments():
    before = {"kind": "A", "optimizer": {"class": "A", "depth": 3}}
    assert differences(before, {"kind": "B", "optimizer": {"class": "B", "width": 1}}) == ["the optimizer (A; now B)"]


def test_a_server_of_this_machine_is_the_same_at_another_port():
    local = [lm_text(LM("openai/small", base_url=f"http://127.0.0.1:{port}/v1")) for port in (4001, 4002)]
    assert local[0] == local[1] == "openai/small at http://127.0.0.1/v1"
    assert lm_text(LM("openai/small", base_url="http://far:4001/v1")).endswith("http://far:4001/v1")
    assert lm_text(DummyLM([])).startswith("DummyLM ")


def helper(answer):
    return answer.strip()


def threshold(least):
    calls = 0

    def metric(example, prediction, trace=None):
        nonlocal calls
        calls += 1
        return len(helper(prediction.answer)) > least and prediction.answer in {"yes", "no", "maybe"}

    return metric


def test_what_a_function_is_given_and_calls_counts_and_what_it_counts_does_not(monkeypatch):
    three = threshold(3)
    key = callable_key(three)
    three(None, Prediction(answer="yes"))
    assert callable_key(three) == callable_key(threshold(3)) == key
    assert callable_key(threshold(4)) != key
    assert callable_key(functools.partial(exact, trace=1)) != callable_key(functools.partial(exact, trace=2))

    def other(answer):
        return answer.lower()

    other.__module__ = __name__
    monkeypatch.setitem(globals(), "helper", other)
    assert callable_key(three) != key


def test_what_a_run_is_made_of_is_described_alike_in_every_process():
    script = """
from tests.dspex.teleprompt import test_identity as t
from dspex.teleprompt import BootstrapFewShot
from dspex.teleprompt._identity import identity
from dspex.adapters import ChatAdapter
from dspex.lm import LM
lm = LM("openai/one", stop=["a"], logit_bias={"b": 1, "a": 2})
print(identity(BootstrapFewShot(t.threshold(3)), t.Asks("q: set[str] -> a: dict[str, int]"), None, lm, ChatAdapter()))
"""
    told = set()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        told.add(run.stdout)
    assert len(told) == 1
