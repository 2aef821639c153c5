"""Processes that optimize, to be killed: ``python -m tests.dspex.teleprompt.resumed``.

Each line of standard input, ``[KIND, URL, STORE, OUT]``, starts one; its number is answered, and later its exit status.
They are forks of a process that has imported everything and started nothing, so that starting one takes no time.

Their scores depend on every character of the prompts, so another decision anywhere would show in the result.
"""

import contextlib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from dspex.lm import LM
from dspex.predict import ChainOfThought, Module, Predict
from dspex.primitives import Example
from dspex.system import System
from dspex.teleprompt import BootstrapRS, MIPROv2, load_run

WIDTH = 6


class TwoSteps(Module):
    """Two predictors, one after the other."""

    def __init__(self):
        super().__init__()
        self.think = ChainOfThought("question -> plan")
        self.answer = Predict("question, plan -> answer")

    def forward(self, question):
        return self.answer(question=question, plan=self.think(question=question).plan)


def metric(example, prediction, trace=None):
    """As good as chance, and always the same for the same answer."""
    return int(prediction.answer[-2:], 16) % 10 < example.ease


def examples(count, start):
    return [
        Example(question=f"What is number {n}?", ease=3 + n % 5).with_inputs("question")
        for n in range(start, start + count)
    ]


def optimized(kind):
    trainset, valset = examples(8, 0), examples(16, 100)
    if kind == "mipro":
        teleprompter = MIPROv2(metric, auto=None, num_candidates=3, num_threads=WIDTH, max_labeled_demos=2)
        more = {"num_trials": 6, "minibatch_size": 6, "minibatch_full_eval_steps": 3}
    else:
        teleprompter = BootstrapRS(metric, num_candidate_programs=2, num_threads=WIDTH, max_labeled_demos=4)
        more = {}
    return teleprompter.compile(TwoSteps(), trainset=trainset, valset=valset, run_id="run", **more)


def main(kind, url, store, out):
    lm = LM("openai/fake", base_url=url, api_key="none")
    with System(lm=lm, store=store, control_socket=False):
        better = optimized(kind)
        record = load_run("run")
        result = {
            "state": better.dump_state(),
            "score": better.optimization.score,
            "candidates": [ranked.to_json() for ranked in record.candidates],
            "decisions": sorted(json.dumps(decision) for decision in record.decisions),
            "scores": record.scores,
            "run": record.state,
        }
    Path(out).write_text(json.dumps(result))
    Path(out).with_suffix(".modules").write_text("\n".join(sys.modules))


def serve():
    """Start what is asked for, one after the other."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)  # what is logged is no answer
            status = 1
            try:
                main(*json.loads(line))
                status = 0
            except BaseException:  # noqa: BLE001  the process ends here, whatever it was
                traceback.print_exc()
            finally:
                os._exit(status)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)
        import_like(Path(json.loads(line)[-1]).with_suffix(".modules"))


def import_like(modules):
    """What a run that came to its end imported on its way, the next ones need not."""
    names = modules.read_text().split() if modules.exists() else []
    for name in sorted(set(names) - sys.modules.keys()):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    serve()
