"""`MIPROv2`: instructions and demonstrations chosen together by Bayesian search.

Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs", EMNLP 2024.
Three steps: bootstrap sets of demonstrations, propose grounded instructions, search for the combination that scores
best, mostly on random minibatches of the validation set.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from ._arguments import at_least
from ._candidate import Candidate
from ._demos import DemoPolicy, demo_set
from ._requests import Found, Ranked, Search, decide, evaluate, fork, rank
from ._task import Task
from ._teleprompter import Teleprompter
from ._tpe import OptunaSearch, Point, TreeParzen, import_optuna
from ._tpe import Search as PointSearch
from .proposer import GroundedProposer, Grounding

_log = logging.getLogger("dspex.teleprompt")

Auto = Literal["light", "medium", "heavy"]
_METHODS = ("tpe", "optuna")

_SIZES: Mapping[Auto, tuple[int, int]] = {"light": (6, 100), "medium": (12, 300), "heavy": (18, 1000)}
_MINIBATCH_FROM = 50  # validation examples from which an automatic run uses minibatches
_DEMOS_TO_PROPOSE_BY = 3  # bootstrapped for the proposer when the program itself is to have none


@dataclass(frozen=True, slots=True)
class _Plan:
    """The sizes of one run."""

    fewshot_sets: int
    instructions: int
    trials: int
    minibatch: int | None  # None: every trial is judged on the whole valset


class MIPROv2(Teleprompter):
    """Search over instructions and demonstration sets of all predictors.

    ``auto`` sets the numbers of candidates and trials and the size of the valset; with ``auto=None`` say
    ``num_candidates`` here and ``num_trials`` to `compile`. ``prompt_model`` writes the instructions, ``task_model``
    runs the program; both default to the configured LM. ``search``: "tpe" (built in) or "optuna". With ``log_dir``
    every judged program is written there when the run has ended. ``verbose`` and ``track_stats`` are DSPy's, and
    change nothing: the run's record always has everything.
    ``concurrent_trials`` proposals are made and judged at a time; more than one uses wide evaluations better and the
    search's knowledge a little worse.
    """

    needs_metric: ClassVar[bool] = True

    def __init__(
        self,
        metric: Callable[..., Any],
        prompt_model: Any = None,
        task_model: Any = None,
        teacher_settings: Mapping[str, Any] | None = None,
        max_bootstrapped_demos: int = 4,
        max_labeled_demos: int = 4,
        auto: Auto | None = "light",
        num_candidates: int | None = None,
        num_threads: int | None = None,
        max_errors: int | None = None,
        seed: int = 9,
        init_temperature: float = 1.0,
        verbose: bool = False,
        track_stats: bool = True,
        log_dir: str | None = None,
        metric_threshold: float | None = None,
        *,
        search: Literal["tpe", "optuna"] = "tpe",
        concurrent_trials: int = 1,
        stop_at_score: float | None = None,
    ) -> None:
        if auto is not None and auto not in _SIZES:
            raise ValueError(f"auto must be one of {', '.join(_SIZES)} or None, not {auto!r}")
        if auto is not None and num_candidates is not None:
            raise ValueError("auto chooses num_candidates itself: give one of them, not both")
        if auto is None and num_candidates is None:
            raise ValueError("without auto, num_candidates is needed")
        if search not in _METHODS:
            raise ValueError(f"search must be one of {', '.join(_METHODS)}, not {search!r}")
        at_least(1, concurrent_trials=concurrent_trials, num_candidates=num_candidates)
        at_least(0, max_bootstrapped_demos=max_bootstrapped_demos, max_labeled_demos=max_labeled_demos)
        super().__init__(
            metric=metric, teacher_settings=teacher_settings, num_workers=num_threads, max_errors=max_errors,
            stop_at_score=stop_at_score, prompt_model=prompt_model, task_model=task_model, log_dir=log_dir,
        )  # fmt: skip
        self.max_bootstrapped_demos = max_bootstrapped_demos
        self.max_labeled_demos = max_labeled_demos
        self.auto = auto
        self.num_candidates = num_candidates
        self.seed = seed
        self.init_temperature = init_temperature
        self.verbose = verbose
        self.track_stats = track_stats
        self.metric_threshold = metric_threshold
        self.method = search
        self.concurrent_trials = concurrent_trials

    def compile(
        self,
        student: Any,
        *,
        trainset: Any,
        teacher: Any = None,
        valset: Any = None,
        num_trials: int | None = None,
        max_bootstrapped_demos: int | None = None,
        max_labeled_demos: int | None = None,
        seed: int | None = None,
        minibatch: bool = True,
        minibatch_size: int = 35,
        minibatch_full_eval_steps: int = 5,
        program_aware_proposer: bool = True,
        data_aware_proposer: bool = True,
        view_data_batch_size: int = 10,
        tip_aware_proposer: bool = True,
        fewshot_aware_proposer: bool = True,
        requires_permission_to_run: bool | None = None,
        provide_traceback: bool | None = None,
        **options: Any,
    ) -> Any:
        """Without a valset, the last 80 percent of the trainset (at most 1,000) judge and the rest teaches."""
        arguments: dict[str, Any] = {
            "num_trials": num_trials,
            "max_bootstrapped_demos": max_bootstrapped_demos,
            "max_labeled_demos": max_labeled_demos,
            "seed": seed,
            "minibatch": minibatch,
            "minibatch_size": minibatch_size,
            "full_eval_steps": minibatch_full_eval_steps,
            "grounding": {
                "program_aware": program_aware_proposer,
                "data_aware": data_aware_proposer,
                "view_data_batch_size": view_data_batch_size,
                "tip_aware": tip_aware_proposer,
                "fewshot_aware": fewshot_aware_proposer,
                "temperature": self.init_temperature,
            },
        }
        return self._compile(student, teacher=teacher, trainset=trainset, valset=valset, arguments=arguments, **options)

    def get_params(self) -> dict[str, Any]:
        return {**super().get_params(), "search": self.method}

    def check(self, task: Task, **arguments: Any) -> None:
        super().check(task)
        given = {name: value for name, value in arguments.items() if value is not None}
        at_least(1, minibatch_size=given.get("minibatch_size"), minibatch_full_eval_steps=given.get("full_eval_steps"))
        at_least(1, view_data_batch_size=given.get("grounding", {}).get("view_data_batch_size"))
        bootstrapped, labeled = self._demos(given.get("max_bootstrapped_demos"), given.get("max_labeled_demos"))
        at_least(0, max_bootstrapped_demos=bootstrapped, max_labeled_demos=labeled)
        self._plan(task, False, given.get("num_trials"), True, 1)
        if self.method == "optuna":
            import_optuna()

    def divide(self, trainset: Sequence[Any], valset: Sequence[Any] | None) -> tuple[list[Any], list[Any]]:
        """The training and the validation examples of a run."""
        train = list(trainset)
        if valset is None:
            if len(train) < 2:
                raise ValueError("the trainset must have at least 2 examples when no valset is given")
            cut = len(train) - min(1000, max(1, int(len(train) * 0.8)))
            train, val = train[:cut], train[cut:]
        else:
            val = list(valset)
        if not train or not val:
            raise ValueError("MIPROv2 needs training and validation examples")
        if self.auto is not None and len(val) > _SIZES[self.auto][1]:
            val = random.Random(self.seed).sample(val, _SIZES[self.auto][1])
        return train, val

    def search(
        self,
        task: Task,
        *,
        num_trials: int | None = None,
        max_bootstrapped_demos: int | None = None,
        max_labeled_demos: int | None = None,
        seed: int | None = None,
        minibatch: bool = True,
        minibatch_size: int = 35,
        full_eval_steps: int = 5,
        grounding: Mapping[str, Any] | None = None,
    ) -> Search[Found]:
        bootstrapped, labeled = self._demos(max_bootstrapped_demos, max_labeled_demos)
        seed = self.seed if seed is None else seed
        zero_shot = bootstrapped == 0 and labeled == 0
        plan = self._plan(task, zero_shot, num_trials, minibatch, minibatch_size)

        policy = DemoPolicy(
            _DEMOS_TO_PROPOSE_BY if zero_shot else bootstrapped,
            labeled,
            metric_threshold=self.metric_threshold,
        )
        demo_sets = yield from self._bootstrap(task, plan.fewshot_sets, policy)
        yield from decide("demo_sets", candidates=[candidate.key for candidate in demo_sets])

        proposer = GroundedProposer(task, Grounding(**(grounding or {})), seed)
        instructions = yield from proposer.propose(plan.instructions, demo_sets[1:] or demo_sets)
        if plan.instructions > 1 and all(len(texts) == 1 for texts in instructions.values()):
            _log.warning(
                "MIPROv2: none of the instructions that were asked for could be used, so only demonstrations are "
                "searched: give a prompt_model= that answers in the form asked for"
            )
        yield from decide("instructions", proposals={name: list(texts) for name, texts in instructions.items()})

        return (
            yield from self._choose(task, plan, [] if zero_shot else demo_sets, instructions, seed, full_eval_steps)
        )

    def _demos(self, max_bootstrapped: int | None, max_labeled: int | None) -> tuple[int, int]:
        """How many demonstrations at most, bootstrapped and labelled: as `compile` says, else as the optimizer."""
        return (
            self.max_bootstrapped_demos if max_bootstrapped is None else max_bootstrapped,
            self.max_labeled_demos if max_labeled is None else max_labeled,
        )

    # step 1

    def _bootstrap(self, task: Task, count: int, policy: DemoPolicy) -> Search[tuple[Candidate, ...]]:
        """``count`` different sets of demonstrations, the first of them empty."""
        seeds = [s for s in range(-3, count - 3) if not (s == -2 and policy.max_labeled == 0)]
        if policy.max_bootstrapped == 0:
            seeds = [s for s in seeds if s <= -2]
        sets = yield from fork([demo_set(task, s, policy) for s in seeds])
        return tuple({candidate.key: candidate for candidate in sets}.values())

    # step 3

    def _choose(
        self,
        task: Task,
        plan: _Plan,
        demo_sets: Sequence[Candidate],
        instructions: Mapping[str, Sequence[str]],
        seed: int,
        full_eval_steps: int,
    ) -> Search[Found]:
        space = _Space(task.student.candidate, demo_sets, instructions)
        points: PointSearch = (
            OptunaSearch(space.sizes, seed) if self.method == "optuna" else TreeParzen(space.sizes, seed)
        )
        rng = random.Random(seed)
        whole = range(len(task.valset))
        start = task.student.candidate
        evaluation = yield from evaluate(start, "val", whole)
        ranked = [(yield from rank(start, evaluation.percent, "as it was"))]
        if not demo_sets or not any(state.demos for state in start.predictors):
            points.tell(space.origin, evaluation.percent)
        scores: dict[str, list[float]] = {}
        tried: dict[str, Point] = {}
        judged = {start.key}
        for first in range(0, plan.trials, self.concurrent_trials):
            numbers = range(first, min(first + self.concurrent_trials, plan.trials))
            batch = [points.ask() for _ in numbers]
            samples = [whole if plan.minibatch is None else _sample(rng, whole, plan.minibatch) for _ in batch]
            results = yield from fork(
                [evaluate(space.candidate(p), "val", rows) for p, rows in zip(batch, samples, strict=True)]
            )
            for number, point, result in zip(numbers, batch, results, strict=True):
                candidate = space.candidate(point)
                points.tell(point, result.percent)
                scores.setdefault(candidate.key, []).append(result.percent)
                tried.setdefault(candidate.key, point)
                yield from decide("trial", number=number, point=point, candidate=candidate.key, score=result.percent)
                if plan.minibatch is None and candidate.key not in judged:
                    judged.add(candidate.key)
                    ranked.append((yield from rank(candidate, result.percent, f"trial {number}")))
            due = numbers[-1] + 1 == plan.trials or any((n + 1) % full_eval_steps == 0 for n in numbers)
            if plan.minibatch is not None and due:
                ranked += yield from self._judge(space, points, scores, tried, judged, whole, numbers[-1])
        return Found.among(ranked)

    def _judge(
        self,
        space: _Space,
        points: PointSearch,
        scores: Mapping[str, Sequence[float]],
        tried: Mapping[str, Point],
        judged: set[str],
        whole: range,
        number: int,
    ) -> Search[list[Ranked]]:
        """Judge on the whole valset the candidate whose minibatches were best on average, if there is one left."""
        left = [key for key in scores if key not in judged]
        if not left:
            return []
        best = max(left, key=lambda key: sum(scores[key]) / len(scores[key]))
        candidate = space.candidate(tried[best])
        judged.add(best)
        evaluation = yield from evaluate(candidate, "val", whole)
        points.tell(tried[best], evaluation.percent)
        return [(yield from rank(candidate, evaluation.percent, f"after trial {number}"))]

    def _plan(self, task: Task, zero_shot: bool, num_trials: int | None, minibatch: bool, minibatch_size: int) -> _Plan:
        count = self.num_candidates if self.auto is None else _SIZES[self.auto][0]
        if count is None:
            raise ValueError("without auto, num_candidates is needed")
        instructions = count
        if self.auto is not None:
            if num_trials is not None:
                raise ValueError("auto chooses num_trials itself: use auto=None to set it")
            minibatch = len(task.valset) > _MINIBATCH_FROM
            if not zero_shot:
                instructions = max(2, count // 2)
            variables = len(task.student.predictors) * (1 if zero_shot else 2)
            num_trials = int(max(2 * variables * math.log2(count), 1.5 * count))
        if num_trials is None or num_trials < 1:
            raise ValueError("without auto, num_trials is needed and must be 1 or more")
        use_minibatches = minibatch and minibatch_size < len(task.valset)
        return _Plan(count, instructions, num_trials, minibatch_size if use_minibatches else None)


class _Space:
    """The grid of combinations: parameter ``i:NAME`` picks an instruction, ``d:NAME`` a set of demonstrations."""

    def __init__(
        self, student: Candidate, demo_sets: Sequence[Candidate], instructions: Mapping[str, Sequence[str]]
    ) -> None:
        self._student = student
        self._demo_sets = demo_sets
        self._instructions = instructions
        self.sizes = {f"i:{name}": len(texts) for name, texts in instructions.items()}
        if demo_sets:
            self.sizes |= {f"d:{name}": len(demo_sets) for name in student.names}
        self.origin: Point = dict.fromkeys(self.sizes, 0)

    def candidate(self, point: Point) -> Candidate:
        made = self._student.map(lambda s: replace(s, instructions=self._instructions[s.name][point[f"i:{s.name}"]]))
        if self._demo_sets:
            demos = {name: self._demo_sets[point[f"d:{name}"]][name].demos for name in made.names}
            made = made.with_demos(demos)
        return made


def _sample(rng: random.Random, whole: range, size: int) -> list[int]:
    return sorted(rng.sample(whole, size))
