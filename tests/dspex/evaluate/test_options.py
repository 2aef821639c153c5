"""What can be given to `Evaluate`, and what its callbacks are told."""

import pytest

from dspex._settings import context, settings
from dspex.callbacks import BaseCallback
from dspex.evaluate import Evaluate
from dspex.primitives import Example, Prediction
from dspex.system import System

from .metrics import exact


@pytest.fixture
def system():
    with System(store=False, control_socket=False) as running:
        yield running


def examples(count):
    return [Example(question=f"q{n}", answer=f"a{n}").with_inputs("question") for n in range(count)]


def echo(question):
    return Prediction(answer="a" + question[1:])


def fail(question):
    raise ValueError(question)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("num_workers", 0, ValueError),
        ("num_threads", -1, ValueError),
        ("num_workers", "4", TypeError),
        ("num_workers", True, TypeError),
        ("num_workers", 2.5, TypeError),
        ("max_errors", -1, ValueError),
        ("max_errors", 2.5, TypeError),
        ("metric_processes", 0, ValueError),
        ("failure_score", "0", TypeError),
        ("failure_score", float("nan"), ValueError),
        ("timeout", 0, ValueError),
        ("timeout", float("nan"), ValueError),
        ("timeout", "1", TypeError),
        ("devset", 3, TypeError),
        ("devset", {"question": "q"}, TypeError),
        ("devset", "q0", TypeError),
    ],
)
def test_an_option_that_cannot_be_is_refused_when_it_is_given(option, value, error):
    name = "num_workers" if option == "num_threads" else option
    with pytest.raises(error, match=f"^{name} must be"):
        Evaluate(**{"devset": examples(1), "metric": exact, option: value})


def test_an_option_that_was_changed_to_what_cannot_be_is_refused_by_the_call(system):
    evaluate = Evaluate(devset=examples(1), metric=exact)
    evaluate.failure_score = "0"
    with pytest.raises(TypeError, match="failure_score"):
        evaluate(echo)
    with pytest.raises(ValueError, match="num_workers must be 1 or more"):
        Evaluate(devset=examples(1), metric=exact)(echo, num_threads=0)


def test_a_generator_is_a_devset_as_often_as_it_is_wanted(system):
    evaluate = Evaluate(devset=(example for example in examples(3)), metric=exact)
    assert repr(evaluate) == "Evaluate(devset=3 examples, metric=exact)"
    assert [len(evaluate(echo).scored) for _ in range(2)] == [3, 3]
    assert len(evaluate(echo, devset=iter(examples(2))).scored) == 2


def test_without_a_devset_the_call_must_give_one(system):
    evaluate = Evaluate(devset=None, metric=exact)
    assert "devset=none" in repr(evaluate)
    assert evaluate(echo, devset=examples(2)).score == 100.0
    with pytest.raises(ValueError, match="needs a devset"):
        evaluate(echo)


def test_the_setting_max_errors_holds_if_somebody_chose_it_be_it_the_default_s_value(system):
    def stopped():
        return Evaluate(devset=examples(30), metric=exact, num_workers=1)(fail).stopped

    assert settings.max_errors == 10
    assert stopped() is None
    with context(max_errors=10):
        assert stopped() == "max_errors"
        with context(max_errors=None):
            assert stopped() is None
    settings.configure(max_errors=10)
    try:
        assert stopped() == "max_errors"
    finally:
        settings.reset()
    assert stopped() is None


class Heard(BaseCallback):
    def __init__(self):
        self.starts = []

    def on_evaluate_start(self, call_id, instance, inputs):
        self.starts.append(inputs)


def test_callbacks_are_told_what_this_call_evaluates(system):
    heard = Heard()
    evaluate = Evaluate(devset=examples(3), metric=exact, num_workers=2, callbacks=[heard])
    other, fewer = lambda example, prediction: 1, examples(2)
    evaluate(echo, metric=other, devset=fewer, num_threads=3, callback_metadata={"program": "oops", "step": 1})
    evaluate(echo)
    first, second = heard.starts
    assert first == {
        "program": echo, "metric": other, "devset": fewer, "num_threads": 3, "display_progress": False,
        "display_table": False, "callback_metadata": {"program": "oops", "step": 1}, "save_as_csv": None,
        "save_as_json": None,
    }  # fmt: skip
    assert (second["metric"], second["devset"]) == (exact, evaluate.devset)
    assert second["callback_metadata"] is None
