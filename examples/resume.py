"""An optimization that is killed and goes on where it was: `python3 examples/resume.py`.

A process optimizes a program on the local model, and is killed (kill -9) on the way. A second one is started with the
same `run_id` and the same store: it takes from the journal what is done, and does only the rest.
"""

import subprocess
import sys
import tempfile
import time

from model import setup

if __name__ == "__main__":
    setup()

from typing import Literal

import dspex
import dspex.local
from dspex.datasets import sentiment, split
from dspex.teleprompt import BootstrapFewShotWithRandomSearch

ENOUGH = 10
"""After so many finished steps the first process is killed."""


class Judge(dspex.Signature):
    """Decide whether each review is positive or negative."""

    review: str = dspex.InputField()
    sentiment: Literal["positive", "negative"] = dspex.OutputField()


def right(example, prediction, trace=None):
    """The metric."""
    return example.sentiment == prediction.sentiment


def optimize(base_url, store):
    """What each of the two processes does. Nothing in it knows whether it is the first one."""
    data = split(sentiment(), train=10, dev=6, seed=0)
    lm = dspex.LM("llamacpp/smollm2", base_url=base_url, model_type="text", temperature=0, max_tokens=8)
    optimizer = BootstrapFewShotWithRandomSearch(
        right, max_bootstrapped_demos=2, max_labeled_demos=4, num_candidate_programs=2, num_threads=4
    )
    with dspex.System("optimize", store=store, lm=lm, adapter=dspex.PlainAdapter()):
        run = optimizer.start(dspex.Predict(Judge), trainset=data.train, valset=data.dev, run_id="sentiment-1")
        told = -1
        while not run.done():
            status = run.status()
            if status is not None and status.done != told:
                told = status.done
                print(f"{status.reused} taken from the journal, {status.done} done anew", flush=True)
            time.sleep(0.5)
        print(
            f"finished: the best of {len(run.result().candidate_programs)} scores {run.result().optimization.score:.1f}"
        )


def main():
    """Start the model, the first process, the second process."""
    with dspex.local.serve() as server, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, server.base_url, f"{folder}/store.db"]
        print("The first process:")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
            for line in first.stdout:
                print(" ", line.rstrip())
                if " done anew" in line and int(line.split()[-3]) >= ENOUGH:
                    first.kill()
        print(f"It is dead: exit code {first.returncode}. The second process, with the same run_id:")
        second = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        lines = [line for line in second.stdout.splitlines() if " done anew" in line or line.startswith("finished")]
        for line in [lines[0], *lines[-2:]]:
            print(" ", line)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        optimize(*sys.argv[1:])
    else:
        main()
