"""`LabeledFewShot`: demonstrations straight from the labelled data."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from ._arguments import at_least
from ._demos import labeled
from ._requests import Found, Search, decide
from ._task import Task
from ._teleprompter import Teleprompter


class LabeledFewShot(Teleprompter):
    """Give every predictor ``k`` labelled examples as demonstrations, drawn with a fixed seed. Calls no model."""

    runs_examples: ClassVar[bool] = False

    def __init__(self, k: int = 16) -> None:
        at_least(0, k=k)
        super().__init__()
        self.k = k

    def compile(self, student: Any, *, trainset: Any, sample: bool = True, **options: Any) -> Any:
        """``sample=False`` takes the first ``k`` instead of random ones."""
        return self._compile(student, trainset=trainset, arguments={"sample": sample}, **options)

    def search(self, task: Task, *, sample: bool = True) -> Search[Found]:
        rng = random.Random(0) if sample else None
        best = labeled(task.student.candidate, task.trainset, self.k, rng)
        yield from decide("labeled", candidate=best.key)
        return Found(best)
