"""`BootstrapFewShot`: demonstrations from a teacher's own successful runs."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from ._demos import DemoPolicy, compose, successes, teacher_candidate
from ._requests import Found, Search, decide
from ._task import Task
from ._teleprompter import Teleprompter


class BootstrapFewShot(Teleprompter):
    """Run the teacher over the trainset; runs that the metric accepts become demonstrations for every predictor.

    Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines", 2023. The
    metric is called as ``metric(example, prediction, trace)`` with the trace of the run, or without it if it takes two
    arguments only; without a metric every run
    that ends is accepted. ``teacher_settings`` (such as ``{"lm": ...}``) hold while the teacher runs.
    """

    def __init__(
        self,
        metric: Callable[..., Any] | None = None,
        metric_threshold: float | None = None,
        teacher_settings: Mapping[str, Any] | None = None,
        max_bootstrapped_demos: int = 4,
        max_labeled_demos: int = 16,
        max_rounds: int = 1,
        max_errors: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            metric=metric, teacher_settings=teacher_settings, num_workers=num_threads, max_errors=max_errors
        )
        self.max_bootstrapped_demos = max_bootstrapped_demos
        self.max_labeled_demos = max_labeled_demos
        self.max_rounds = max_rounds
        self.metric_threshold = metric_threshold
        self.policy  # noqa: B018  wrong numbers are refused here and now

    @property
    def policy(self) -> DemoPolicy:
        """How it draws demonstrations, by its attributes as they are now."""
        return DemoPolicy(self.max_bootstrapped_demos, self.max_labeled_demos, self.max_rounds, self.metric_threshold)

    def compile(self, student: Any, *, teacher: Any = None, trainset: Any, **options: Any) -> Any:
        return self._compile(student, teacher=teacher, trainset=trainset, **options)

    def search(self, task: Task) -> Search[Found]:
        policy = self.policy
        teacher = teacher_candidate(task, policy)
        found = yield from successes(task, teacher, range(len(task.trainset)), policy)
        yield from decide("bootstrapped", examples=[traced.index for traced in found])
        student = task.student.candidate.without_demos()
        return Found(compose(task, student, found, policy, random.Random(0)))
