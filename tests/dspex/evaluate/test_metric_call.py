"""A metric gets as many of its arguments as it takes, and is asked in the same way everywhere."""

from functools import partial, wraps

import pytest

from dspex.evaluate import Evaluate
from dspex.evaluate._metric_call import metric_arguments
from dspex.predict import Module, Predict
from dspex.primitives import Example, Prediction
from dspex.system import System
from dspex.teleprompt import BootstrapFewShot
from dspex.testing import DummyLM

from . import metrics

TRACE = [("predictor", {}, "prediction")]


def two(example, prediction):
    return 1.0


def three(example, prediction, trace=None):
    return 1.0


def insisting(example, prediction, trace):
    return 1.0


def five(gold, pred, trace, pred_name, pred_trace):
    return 1.0


async def later(example, prediction):
    return 1.0


@wraps(two)
def wrapped(*args):
    return two(*args)


class Called:
    def __call__(self, example, prediction):
        return 1.0

    def method(self, example, prediction, trace=None):
        return 1.0


class Judge(Module):
    def forward(self, example, prediction):
        return 1.0


class AsyncJudge(Module):
    async def aforward(self, example, prediction, trace=None):
        return 1.0


TAKES = {
    "two": (two, ("e", "p"), ("e", "p")),
    "three": (three, ("e", "p"), ("e", "p", TRACE)),
    "insisting": (insisting, ("e", "p", None), ("e", "p", TRACE)),
    "five": (five, ("e", "p", None, None, None), ("e", "p", TRACE, None, None)),
    "any": (lambda *args: 1.0, ("e", "p"), ("e", "p", TRACE)),
    "keyword": (lambda e, p, *, trace=None: 1.0, ("e", "p"), ("e", "p")),
    "async": (later, ("e", "p"), ("e", "p")),
    "wrapped": (wrapped, ("e", "p"), ("e", "p")),
    "partial": (partial(five, pred_name="n", pred_trace=None), ("e", "p", None), ("e", "p", TRACE)),
    "object": (Called(), ("e", "p"), ("e", "p")),
    "method": (Called().method, ("e", "p"), ("e", "p", TRACE)),
    "module": (Judge(), ("e", "p"), ("e", "p")),
    "async module": (AsyncJudge(), ("e", "p"), ("e", "p", TRACE)),
    "built in": (max, ("e", "p"), ("e", "p", TRACE)),
}


@pytest.mark.parametrize(("metric", "plain", "traced"), TAKES.values(), ids=TAKES)
def test_a_metric_gets_what_it_takes(metric, plain, traced):
    assert metric_arguments(metric, "e", "p") == plain
    assert metric_arguments(metric, "e", "p", TRACE) == traced


EXAMPLES = [Example(question=f"q{n}", answer="a").with_inputs("question") for n in range(3)]


@pytest.mark.parametrize("metric", [two, three, insisting, five, later, Called(), Judge(), AsyncJudge()])
def test_what_evaluates_can_teach_too(metric):
    with System(lm=DummyLM([{"answer": "a"}] * 100), store=False):
        program = Predict("question -> answer")
        assert Evaluate(devset=EXAMPLES, metric=metric)(program).score == 100.0
        taught = BootstrapFewShot(metric, max_bootstrapped_demos=2, max_labeled_demos=0)
        assert len(taught.compile(program, trainset=EXAMPLES).demos) == 2


class Program(Module):
    def forward(self, question):
        return Prediction(answer="a")


def test_a_process_asks_its_metric_in_the_same_way():
    with System(store=False):
        result = Evaluate(devset=EXAMPLES, metric=metrics.insisting, metric_executor="process", metric_processes=1)(
            Program()
        )
    assert result.score == 100.0
