"""An optimizer of your own: which of these instructions works best? It says what to try; dspex carries it out.

`search` is a generator: it yields requests and is sent the answers. What it yields is run on supervised workers,
retried through outages, journaled, and resumed after a kill, as for the optimizers that come with dspex.
"""

from model import setup, small_model

if __name__ == "__main__":
    setup()

from typing import Literal

import dspex
from dspex.datasets import sentiment, split
from dspex.teleprompt import Found, Teleprompter, evaluate, fork, rank


class Judge(dspex.Signature):
    """Sentiment?"""

    review: str = dspex.InputField()
    sentiment: Literal["positive", "negative"] = dspex.OutputField()


class BestInstruction(Teleprompter):
    """Scores each of `instructions`, and the program as it is, on the validation set, and keeps the best."""

    def __init__(self, metric, instructions):
        super().__init__(metric=metric)
        self.instructions = instructions

    def search(self, task):
        """The algorithm. It must be deterministic: its answers and its own seeded random numbers, nothing else."""
        given = task.student.candidate
        candidates = [given] + [given.with_instructions(dict.fromkeys(given.names, text)) for text in self.instructions]
        everything = range(len(task.valset))
        evaluations = yield from fork([evaluate(candidate, "val", everything) for candidate in candidates])
        ranked = []
        for candidate, evaluation in zip(candidates, evaluations, strict=True):
            ranked.append((yield from rank(candidate, evaluation.percent)))
        return Found.among(ranked)


def right(example, prediction, trace=None):
    """The metric."""
    return example.sentiment == prediction.sentiment


INSTRUCTIONS = [
    "Decide whether each review is positive or negative.",
    "Answer positive or negative.",
    "You are a critic.",
]


def main():
    """Optimize the instruction of one predictor."""
    data = split(sentiment(), train=10, dev=20, seed=0)
    optimizer = BestInstruction(right, INSTRUCTIONS)
    with small_model() as settings, dspex.context(**settings):
        better = optimizer.compile(dspex.Predict(Judge), trainset=data.train, valset=data.dev)
    for candidate in better.candidate_programs:
        print(f"{candidate['score']:5.1f}  {candidate['program'].signature.instructions}")
    print("kept:", better.signature.instructions)


if __name__ == "__main__":
    main()
