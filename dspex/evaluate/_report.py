"""`EvaluationResult`: what an evaluation hands back, complete or not.

**What the score means.** ``score`` is the mean over the *scored* examples, in percent, not rounded. An example that
failed is not a 0: it is listed in ``failures``, counted by kind in ``counts``, and the summary says so beside the
score. Only if the caller chose a ``failure_score`` do failures enter the mean, each with that score; examples that
were cancelled (the evaluation was ended before them) never do. With nothing to average, ``score`` is None.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from dspex.primitives import Prediction

from ._failures import FailureKind
from ._outcomes import Failed, Outcome, Scored
from ._rows import as_cell, as_json, columns_of, rows_of


class EvaluationResult(Prediction):
    """The outcomes of an evaluation, in example order: one for each example of the devset, whatever happened.

    ``results`` is DSPy's list of ``(example, prediction, score)``; the row of a failed example holds an empty
    prediction (or the program's, when only the metric failed) and ``failure_score``, which is None unless it was
    chosen. ``stopped`` says why an evaluation ended early: "max_errors", "cancelled", "budget", "refused" or
    None.
    """

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        *,
        failure_score: float | None = None,
        stopped: str | None = None,
        metric_name: str = "score",
        retries: int = 0,
        calls: int = 0,
        cached: int = 0,
        tokens: int = 0,
        cost: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        rows: list[tuple[Any, Any, float | None]] = []
        scored: list[Scored] = []
        failures: list[Failed] = []
        for outcome in outcomes:
            if isinstance(outcome, Scored):
                scored.append(outcome)
                rows.append((outcome.example, outcome.prediction, outcome.score))
            else:
                failures.append(outcome)
                answer = Prediction() if outcome.prediction is None else outcome.prediction
                rows.append((outcome.example, answer, failure_score))
        super().__init__(score=mean_percent(outcomes, failure_score), results=rows)
        own = self.__dict__
        own["outcomes"] = tuple(outcomes)
        own["scored"] = tuple(scored)
        own["failures"] = tuple(failures)
        own["counts"] = Counter(failure.kind for failure in failures)
        own["failure_score"] = failure_score
        own["stopped"] = stopped
        own["metric_name"] = metric_name
        own["retries"] = retries
        own["calls"] = calls
        own["cached"] = cached
        own["tokens"] = tokens
        own["cost"] = cost
        own["seconds"] = seconds

    outcomes: tuple[Outcome, ...]
    scored: tuple[Scored, ...]
    failures: tuple[Failed, ...]
    counts: Counter[FailureKind]
    failure_score: float | None
    stopped: str | None
    metric_name: str
    retries: int
    calls: int
    cached: int
    tokens: int
    cost: float | None
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Every example was scored."""
        return not self.failures

    def summary(self) -> str:
        """A few lines for people: the score, what it is a mean of, and every kind of failure with its count and with
        what the first of its kind was told."""
        total = len(self.outcomes)
        basis = len(self.scored) if self.failure_score is None else total - self.counts[FailureKind.CANCELLED]
        if self.score is None:
            score = f"no score: {basis} of {counted(total, 'example')} {'has' if total == 1 else 'have'} one"
        else:
            score = f"{self.metric_name} {self.score:.2f} over {basis} of {counted(total, 'example')}"
        lines = [f"{score}, {self.seconds:.1f} s"]
        if self.stopped:
            lines[0] += f" (stopped early: {self.stopped})"
        if self.calls:
            lines.append(spent_in_words(self.calls, self.cached, self.tokens, self.cost))
        if self.failures:
            counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())
            effect = "not in the score" if self.failure_score is None else f"counted as {self.failure_score}"
            lines.append(f"{len(self.failures)} failed ({effect}): {counts}")
            lines += [f"  {kind}: {why}" for kind, why in self.reasons().items()]
        if self.retries:
            lines.append(f"{counted(self.retries, 'further attempt')} {'was' if self.retries == 1 else 'were'} made")
        return "\n".join(lines)

    def reasons(self) -> dict[FailureKind, str]:
        """What the first failure of each kind was told, in one line; none for examples that were only cancelled."""
        first: dict[FailureKind, str] = {}
        for failure in self.failures:
            if failure.error is not None and failure.kind is not FailureKind.CANCELLED:
                first.setdefault(failure.kind, failure.reason)
        return {kind: first[kind] for kind, _ in self.counts.most_common() if kind in first}

    def __repr__(self) -> str:
        score = None if self.score is None else round(self.score, 2)
        return f"EvaluationResult(score={score}, results={len(self.outcomes)}, failures={len(self.failures)})"

    # files

    def rows(self) -> list[dict[str, Any]]:
        """One dict per example: its fields, the prediction's, the score under the metric's name, and ``failure``,
        ``error`` and ``attempts``.

        A field that examples and predictions both have appears as ``example_NAME`` and ``pred_NAME``, in all rows, and
        so does one that is called as the metric or one of the other three.
        """
        return rows_of(self.outcomes, self.metric_name, self.failure_score)

    def to_json(self) -> dict[str, Any]:
        """The whole of it in JSON's values: the score, what it is a mean of, the failures by kind, and `rows`."""
        return {
            "score": self.score,
            "metric": self.metric_name,
            "examples": len(self.outcomes),
            "scored": len(self.scored),
            "failures": {str(kind): count for kind, count in self.counts.items()},
            "failure_score": self.failure_score,
            "stopped": self.stopped,
            "retries": self.retries,
            "calls": self.calls,
            "cached": self.cached,
            "tokens": self.tokens,
            "cost": self.cost,
            "seconds": self.seconds,
            "rows": as_json(self.rows()),
        }

    def save_as_json(self, path: str | Path) -> None:
        """Write `rows` as a JSON list. What JSON cannot hold is written as text."""
        text = json.dumps(as_json(self.rows()), ensure_ascii=False, indent=2)
        # Half of a surrogate pair is no text: it is written as its escape, which JSON reads.
        Path(path).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    def save_as_csv(self, path: str | Path) -> None:
        """Write `rows` as CSV with a header. Lists and dicts are written as JSON."""
        rows = self.rows()
        with Path(path).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, fieldnames=columns_of(rows))
            writer.writeheader()
            writer.writerows({key: as_cell(value) for key, value in row.items()} for row in rows)

    def to_pandas(self) -> Any:
        """`rows` as a pandas DataFrame. Needs pandas, which dspex does not install."""
        try:
            pandas: Any = import_module("pandas")
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: install it, or use rows()") from error
        rows = self.rows()
        return pandas.DataFrame(rows, columns=columns_of(rows))


def counted(number: int, noun: str) -> str:
    """`1 example`, `2 examples`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def spent_in_words(calls: int, cached: int, tokens: int, cost: float | None) -> str:
    """Calls of language models and what they took; answers from the cache are free."""
    if calls == cached:
        return f"{counted(calls, 'call')}, all from the cache, $0"
    return f"{counted(calls, 'call')}, {counted(tokens, 'token')}, " + (
        "cost unknown" if cost is None else f"${cost:.4f}"
    )


def mean_percent(outcomes: Iterable[Outcome], failure_score: float | None) -> float | None:
    """The mean of the scores, in percent, as `EvaluationResult` defines it."""
    total, count = 0.0, 0
    for outcome in outcomes:
        if isinstance(outcome, Scored):
            total, count = total + outcome.score, count + 1
        elif failure_score is not None and outcome.kind is not FailureKind.CANCELLED:
            total, count = total + failure_score, count + 1
    return 100.0 * total / count if count else None
