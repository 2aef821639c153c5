"""What optimizing gains on a real model, measured honestly: `python3 examples/optimize_real_model.py`.

A small model on this machine tells positive from negative reviews. Measured are, with 95 % confidence intervals: the
program as it is, with demonstrations drawn at random (several draws: the luck of the draw is the thing to beat), and
as `BootstrapFewShotWithRandomSearch` makes it. All figures but the search's own are of held-out reviews, on which
nothing was chosen. Takes four to six minutes on two cores, with `--quick` about one: fewer rows, and wider intervals.

The model is so small that four demonstrations mislead it more often than they help. The search finds that out: it
tries the program without any, too. That is why it beats the mean of the draws by far and the zero-shot program hardly.
"""

import argparse
import math
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model import setup, small_model

if __name__ == "__main__":
    setup()

import dspex
from dspex.datasets import sentiment, split

DEMOS = 4
OUTPUT = Path(".dspex/sentiment.json")
"""Beside the store of runs, in the working directory; git ignores that folder in a checkout."""


class Judge(dspex.Signature):
    """Decide whether each review is positive or negative."""

    review: str = dspex.InputField()
    sentiment: Literal["positive", "negative"] = dspex.OutputField()


def right(example, prediction, trace=None):
    """The metric: is it the label?"""
    return example.sentiment == prediction.sentiment


@dataclass(frozen=True)
class Score:
    """So many right of so many. `interval` is Wilson's, at 95 %, in percent; failures count as wrong."""

    hits: int
    rows: int

    @property
    def percent(self):
        return 100 * self.hits / self.rows

    @property
    def interval(self):
        z, n, p = 1.96, self.rows, self.hits / self.rows
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return 100 * (middle - half), 100 * (middle + half)

    def __str__(self):
        low, high = self.interval
        return f"{self.percent:5.1f} %  ({low:.0f} to {high:.0f}, {self.hits} of {self.rows})"


def measured(program, rows):
    """How many of the rows it gets right."""
    result = dspex.Evaluate(devset=rows, metric=right, num_workers=4)(program)
    return Score(sum(outcome.score == 1.0 for outcome in result.scored), len(rows))


def with_random_demos(train, seed):
    """The program with demonstrations drawn by chance."""
    program = dspex.Predict(Judge)
    program.demos = random.Random(seed).sample(train, DEMOS)
    return program


def experiment(train, dev, test, draws=3, candidates=5, say=print):
    """Zero-shot, random draws, and the search, on `test`; `(zero_shot, [draw, ...], found, better)`."""
    student = dspex.Predict(Judge)
    zero_shot = measured(student, test)
    say(f"zero-shot                   {zero_shot}")
    chance = []
    for seed in range(draws):
        chance.append(measured(with_random_demos(train, seed), test))
        say(f"{DEMOS} random demos, draw {seed + 1}      {chance[-1]}")
    mean = statistics.mean(score.percent for score in chance)
    spread = statistics.stdev(score.percent for score in chance) if draws > 1 else 0.0
    say(f"mean of the draws           {mean:5.1f} %  (standard deviation {spread:.1f})")

    teleprompter = dspex.BootstrapFewShotWithRandomSearch(
        metric=right,
        max_bootstrapped_demos=4,
        max_labeled_demos=DEMOS,
        num_candidate_programs=candidates,
        num_threads=4,
    )
    begin = time.monotonic()
    better = teleprompter.compile(student, trainset=train, valset=dev, store=False)
    summary = better.optimization
    say(f"the search took {time.monotonic() - begin:.0f} s for {summary.candidates} candidates,"
        f" {summary.score:.1f} % on the rows it chose by (biased by the choice)")  # fmt: skip
    found = measured(better, test)
    say(f"the search's, held out      {found}")
    say(f"beside the mean of the draws {found.percent - mean:+.1f} points, beside zero-shot "
        f"{found.percent - zero_shot.percent:+.1f} points")  # fmt: skip
    return zero_shot, chance, found, better


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the better program goes (%(default)s)")
    options = parser.parse_args()
    sizes = {"train": 40, "dev": 24, "test": 50} if options.quick else {"train": 60, "dev": 60, "test": 200}
    rows = split(sentiment(), seed=1, **sizes)
    with small_model(max_tokens=8) as settings, dspex.System("optimize", **settings):
        *_, better = experiment(rows.train, rows.dev, rows.test, candidates=2 if options.quick else 5)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    better.save(options.output)
    print(f"saved to {options.output}")


if __name__ == "__main__":
    main()
