"""Demonstrations: labelled ones drawn from the data, bootstrapped ones from a teacher's successes.

Bootstrapping is the method of Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving
Pipelines" (2023), section 4: run a teacher on training inputs and keep the traces whose outcome the metric accepts
as demonstrations for every step of the pipeline.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ._arguments import at_least
from ._candidate import Candidate, Demo
from ._errors import BootstrapError
from ._requests import Search, Traced, bootstrap
from ._task import Record, Task


@dataclass(frozen=True, slots=True)
class DemoPolicy:
    """How many demonstrations of each sort, and what counts as a success.

    Without a threshold any score above 0 is one. ``max_rounds``: how often an example is tried, from the second time
    on with a fresh sample.
    """

    max_bootstrapped: int = 4
    max_labeled: int = 16
    max_rounds: int = 1
    metric_threshold: float | None = None

    def __post_init__(self) -> None:
        at_least(0, max_bootstrapped_demos=self.max_bootstrapped, max_labeled_demos=self.max_labeled)
        at_least(1, max_rounds=self.max_rounds)

    def accepts(self, traced: Traced) -> bool:
        if traced.score is None:
            return False
        return traced.score > 0 if self.metric_threshold is None else traced.score >= self.metric_threshold


def labeled(student: Candidate, trainset: Sequence[Record], k: int, rng: random.Random | None) -> Candidate:
    """``k`` labelled demonstrations for each predictor: random ones, drawn for each anew, or without rng the first."""
    rows = [record.fields for record in trainset]
    count = min(k, len(rows))
    return student.with_demos(
        {name: rows[:count] if rng is None else rng.sample(rows, count) for name in student.names}
    )


def successes(task: Task, teacher: Candidate, order: Sequence[int], policy: DemoPolicy) -> Search[tuple[Traced, ...]]:
    """The first ``max_bootstrapped`` examples of ``order`` that the teacher gets right, with its traces.

    Runs in waves as large as the number still wanted, so no example is paid for that a one-by-one search would not
    have tried too. A further round asks again, at temperature 1, only those that failed. Raises `BootstrapError` when
    so many have failed that the task allows no more.
    """
    found: list[Traced] = []
    failures: dict[int, str] = {}
    left = list(order)
    for rollout in range(policy.max_rounds):
        queue, left = left, []
        while queue and len(found) < policy.max_bootstrapped:
            wanted = policy.max_bootstrapped - len(found)
            wave, queue = queue[:wanted], queue[wanted:]
            for traced in (yield from bootstrap(teacher, wave, rollout)):
                if policy.accepts(traced):
                    found.append(traced)
                    continue
                left.append(traced.index)
                if traced.failed:
                    failures[traced.index] = f"{traced.failed}: {traced.error}"
            if task.too_many(len(failures)):
                raise BootstrapError(
                    f"the teacher failed on {len(failures)} examples, with max_errors={task.max_errors}; "
                    f"last: {list(failures.values())[-1]}",
                    failures=len(failures),
                )
        left += queue
    return tuple(found)


def compose(
    task: Task, student: Candidate, found: Sequence[Traced], policy: DemoPolicy, rng: random.Random
) -> Candidate:
    """The student with the bootstrapped demonstrations, filled up with labelled ones to ``max_labeled``.

    Labelled ones come from the examples that were not bootstrapped, the same draw for every predictor.
    """
    bootstrapped: dict[str, list[Demo]] = {name: [] for name in student.names}
    for traced in found:
        for name, demo in _one_per_predictor(traced, rng):
            if name in bootstrapped:
                bootstrapped[name].append({"augmented": True, **demo})
    used = {traced.index for traced in found}
    rest = [record.fields for index, record in enumerate(task.trainset) if index not in used]
    rng.shuffle(rest)
    demos = {}
    for name, augmented in bootstrapped.items():
        augmented = augmented[: policy.max_bootstrapped]
        room = max(0, min(policy.max_labeled - len(augmented), len(rest)))
        demos[name] = [*augmented, *rest[:room]]
    return student.with_demos(demos)


def teacher_candidate(task: Task, policy: DemoPolicy) -> Candidate:
    """The teacher as it is when it comes compiled, else without its demonstrations but with labelled ones."""
    spec = task.teacher or task.student
    if spec.compiled or policy.max_labeled <= 0:
        return spec.candidate
    return labeled(spec.candidate.without_demos(), task.trainset, policy.max_labeled, random.Random(0))


def demo_set(task: Task, seed: int, policy: DemoPolicy, *, labeled_sample: bool = True) -> Search[Candidate]:
    """The numbered demonstration sets of a random search: -3 none, -2 labelled only, -1 bootstrapped in the data's
    order, from 0 on bootstrapped from shuffled data, 1 to ``max_bootstrapped`` of them."""
    student = task.student.candidate.without_demos()
    if seed == -3:
        return student
    if seed == -2:
        return labeled(student, task.trainset, policy.max_labeled, random.Random(0) if labeled_sample else None)
    order = list(range(len(task.trainset)))
    rng = random.Random(seed)
    size = policy.max_bootstrapped
    if seed >= 0:
        rng.shuffle(order)
        size = rng.randint(min(1, size), size)
    own = DemoPolicy(size, policy.max_labeled, policy.max_rounds, policy.metric_threshold)
    found = yield from successes(task, teacher_candidate(task, own), order, own)
    return compose(task, student, found, own, rng)


def _one_per_predictor(traced: Traced, rng: random.Random) -> list[tuple[str, Demo]]:
    """A predictor that ran several times gives one demonstration: as likely its last run as any of the earlier."""
    runs: dict[str, list[Demo]] = {}
    for name, demo in traced.steps:
        runs.setdefault(name, []).append(demo)
    return [
        (name, demos[-1] if len(demos) == 1 or rng.random() < 0.5 else rng.choice(demos[:-1]))
        for name, demos in runs.items()
    ]
