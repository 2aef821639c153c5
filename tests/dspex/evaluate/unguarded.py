"""A script that does what it does also when it is imported: ``python tests/dspex/evaluate/unguarded.py``."""

from dspex.evaluate import Evaluate
from dspex.primitives import Example, Prediction
from dspex.system import System


def right(example, prediction):
    return example.answer == prediction.answer


def paid(number):
    print("PAID", flush=True)
    return Prediction(answer=number)


devset = [Example(number=n, answer=n).with_inputs("number") for n in range(5)]
with System(store=False, control_socket=False):
    Evaluate(devset=devset, metric=right, metric_executor="process", metric_processes=2)(paid)
