"""A script whose metrics, and what they are given, are its own: prints the score, or the error, of each as JSON."""

import functools
import json
import sys

from dspex.evaluate import Evaluate, MetricError
from dspex.primitives import Example, Prediction
from dspex.system import System
from tests.dspex.evaluate import metrics


class Number:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other

    __hash__ = None


class Judge:
    def __call__(self, example, prediction):
        return example.answer == prediction.answer

    def judged(self, example, prediction):
        return self(example, prediction)


def right(example, prediction, wanted=True):
    return (example.answer == prediction.answer) is wanted


def program(number):
    return Prediction(answer=Number(number))


def tried(metric):
    devset = [Example(number=n, answer=n).with_inputs("number") for n in range(2)]
    try:
        return Evaluate(devset=devset, metric=metric, metric_executor="process", metric_processes=1)(program).score
    except MetricError as error:
        return str(error)


if __name__ == "__main__":

    def under_the_guard(example, prediction):
        return True

    with System(store=False, control_socket=False):
        found = {
            "function": tried(right),
            "partial": tried(functools.partial(right, wanted=True)),
            "object": tried(Judge()),
            "method": tried(Judge().judged),
            "of a module": tried(metrics.exact),
            "under the guard": tried(under_the_guard),
        }
    print(json.dumps(found), flush=True)
    sys.exit(0)
