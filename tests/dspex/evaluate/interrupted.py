"""A process whose evaluation is interrupted from the keyboard: ``python -m tests.dspex.evaluate.interrupted``."""

import json
import sys

from actors import sleep
from dspex.evaluate import Evaluate
from dspex.predict import Module
from dspex.primitives import Example, Prediction
from dspex.system import System


class Hangs(Module):
    """Answers the first five questions, and says so when it hangs."""

    def forward(self, number):
        if number >= 5:
            print("hangs", flush=True)
            sleep(3600)
        return Prediction(answer=number)


if __name__ == "__main__":
    devset = [Example(number=n, answer=n).with_inputs("number") for n in range(9)]
    evaluate = Evaluate(devset=devset, metric=lambda e, p: e.answer == p.answer, num_workers=1)
    with System(store=False, control_socket=False):
        result = evaluate(Hangs(), display_progress=True)
    counts = {str(kind): count for kind, count in result.counts.items()}
    print(json.dumps([result.score, len(result.scored), result.stopped, counts]), flush=True)
    sys.exit(0)
