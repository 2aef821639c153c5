"""`BootstrapFewShotWithRandomSearch`: many demonstration sets, the best on the validation set wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ._arguments import at_least
from ._demos import DemoPolicy, demo_set
from ._requests import Found, Ranked, Search, evaluate, fork, rank
from ._task import Task
from ._teleprompter import Teleprompter


class BootstrapFewShotWithRandomSearch(Teleprompter):
    """Score demonstration sets on the valset and keep the best: none, labelled only, bootstrapped, and
    ``num_candidate_programs`` bootstrapped from shuffled data with random sizes.

    Khattab et al., 2023 (see `BootstrapFewShot`), section 4. The candidates are prepared and scored side by side,
    sharing ``num_threads``; with ``stop_at_score`` (percent) one after another, until one reaches it. The result's
    ``candidate_programs`` lists all of them, best first.
    """

    needs_metric: ClassVar[bool] = True

    def __init__(
        self,
        metric: Callable[..., Any],
        teacher_settings: Mapping[str, Any] | None = None,
        max_bootstrapped_demos: int = 4,
        max_labeled_demos: int = 16,
        max_rounds: int = 1,
        num_candidate_programs: int = 16,
        num_threads: int | None = None,
        max_errors: int | None = None,
        stop_at_score: float | None = None,
        metric_threshold: float | None = None,
    ) -> None:
        at_least(0, num_candidate_programs=num_candidate_programs)
        super().__init__(
            metric=metric, teacher_settings=teacher_settings, num_workers=num_threads, max_errors=max_errors,
            stop_at_score=stop_at_score,
        )  # fmt: skip
        self.num_candidate_programs = num_candidate_programs
        self.max_bootstrapped_demos = max_bootstrapped_demos
        self.max_labeled_demos = max_labeled_demos
        self.max_rounds = max_rounds
        self.metric_threshold = metric_threshold
        self.policy  # noqa: B018  wrong numbers are refused here and now

    @property
    def policy(self) -> DemoPolicy:
        """How it draws demonstrations, by its attributes as they are now."""
        return DemoPolicy(self.max_bootstrapped_demos, self.max_labeled_demos, self.max_rounds, self.metric_threshold)

    def compile(
        self,
        student: Any,
        *,
        teacher: Any = None,
        trainset: Any,
        valset: Any = None,
        restrict: Sequence[int] | None = None,
        labeled_sample: bool = True,
        **options: Any,
    ) -> Any:
        """``restrict`` names the only seeds to try, from -3 on. Without a valset the trainset judges."""
        arguments = {"restrict": None if restrict is None else list(restrict), "labeled_sample": labeled_sample}
        return self._compile(student, teacher=teacher, trainset=trainset, valset=valset, arguments=arguments, **options)

    def check(self, task: Task, **arguments: Any) -> None:
        super().check(task)
        restrict = arguments.get("restrict")
        if restrict is not None and not self._seeds(restrict):
            raise ValueError(f"restrict={restrict} leaves no seed from -3 to {self.num_candidate_programs - 1} to try")

    def _seeds(self, restrict: Sequence[int] | None) -> list[int]:
        return [seed for seed in range(-3, self.num_candidate_programs) if restrict is None or seed in restrict]

    def search(
        self, task: Task, *, restrict: Sequence[int] | None = None, labeled_sample: bool = True
    ) -> Search[Found]:
        attempts = [self._attempt(task, seed, labeled_sample) for seed in self._seeds(restrict)]
        if task.stop_at_score is None:
            return Found.among((yield from fork(attempts)))
        ranked: list[Ranked] = []
        for attempt in attempts:
            ranked.append((yield from attempt))
        return Found.among(ranked)

    def _attempt(self, task: Task, seed: int, labeled_sample: bool) -> Search[Ranked]:
        candidate = yield from demo_set(task, seed, self.policy, labeled_sample=labeled_sample)
        evaluation = yield from evaluate(candidate, "val", range(len(task.valset)))
        return (yield from rank(candidate, evaluation.percent, f"seed {seed}"))


BootstrapRS = BootstrapFewShotWithRandomSearch
