"""Work that is begun on a thread of the user's own is done under the settings of the system that does it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from dspex import context
from dspex._settings import settings
from dspex.callbacks import BaseCallback
from dspex.evaluate import Evaluate
from dspex.predict import Predict
from dspex.primitives import Example
from dspex.system import System
from dspex.teleprompt import COPRO, BootstrapFewShot, BootstrapRS, MIPROv2
from dspex.testing import DummyLM


def lm(answer="a"):
    return DummyLM([{"answer": answer}] * 1000)


def elsewhere(function):
    """Call it on a thread that has seen no ``with``."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


EXAMPLES = [Example(question=f"q{n}", answer="a").with_inputs("question") for n in range(4)]


def metric(example, prediction, trace=None):
    return example.answer == prediction.answer


OPTIMIZERS = {
    "bootstrap": lambda: BootstrapFewShot(metric, max_labeled_demos=0),
    "random search": lambda: BootstrapRS(metric, num_candidate_programs=1, max_labeled_demos=0),
    "copro": lambda: COPRO(metric=metric, breadth=2, depth=1),
    "mipro": lambda: MIPROv2(metric),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_compile_on_any_thread_sees_the_model_of_its_system(make):
    with System(lm=lm(), store=False):
        better = elsewhere(lambda: make().compile(Predict("question -> answer"), trainset=EXAMPLES))
        later = elsewhere(lambda: asyncio.run(make().acompile(Predict("question -> answer"), trainset=EXAMPLES)))
    assert better.optimization.score in (None, 100.0)
    assert later.dump_state() == better.dump_state()


class Heard(BaseCallback):
    def __init__(self):
        self.kinds = []

    def on_evaluate_start(self, call_id, instance, inputs):
        self.kinds.append("evaluate")

    def on_compile_start(self, call_id, instance, inputs):
        self.kinds.append("compile")


def test_evaluate_on_any_thread_sees_the_settings_of_its_system():
    heard = Heard()
    with System(lm=lm(), callbacks=[heard], num_threads=3, max_errors=1, store=False):
        evaluate = Evaluate(devset=EXAMPLES, metric=metric)
        program = Predict("question -> answer")
        assert elsewhere(lambda: evaluate(program)).score == 100.0
        assert elsewhere(lambda: asyncio.run(evaluate.acall(program))).score == 100.0
        assert elsewhere(lambda: evaluate(lambda question: 1 / 0)).stopped == "max_errors"
        elsewhere(lambda: OPTIMIZERS["bootstrap"]().compile(program, trainset=EXAMPLES))
    assert heard.kinds == ["evaluate", "evaluate", "evaluate", "compile"]


def test_what_is_set_around_the_work_goes_before_the_system_s():
    def narrowed():
        with context(lm=lm("b")):
            score = Evaluate(devset=EXAMPLES, metric=metric)(Predict("question -> answer")).score
        return score, settings.lm

    with System(lm=lm(), store=False):
        assert elsewhere(narrowed) == (0.0, None)
