"""`Evaluate`: how good is a program on a set of examples?"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dspex._settings import DEFAULTS, error_limit, settings
from dspex.callbacks import Watch, active_callbacks
from dspex.predict import Module
from dspex.programs._call import working_on

from ._evaluation import DevsetSource, Evaluation
from ._failures import FailureKind
from ._ledger import RetryPolicy
from ._listener import check_listener
from ._messages import Job
from ._options import as_devset, check_count, check_score, check_seconds
from ._report import EvaluationResult
from ._saving import check_target, publish

if TYPE_CHECKING:
    from dspex.system import System

    from ._metric_process import MetricProcesses

_log = logging.getLogger("dspex.evaluate")

_REDRAW = 0.1  # seconds between two looks at the progress while waiting


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call of an `Evaluate`: what its arguments say, and the `Evaluate` where they say nothing.

    By these names, which are DSPy's, `on_evaluate_start` is told of it.
    """

    program: Any
    metric: Callable[..., Any] | None
    devset: Sequence[Any] | None
    num_threads: int | None
    display_progress: bool
    display_table: bool | int | None
    callback_metadata: Mapping[str, Any] | None
    save_as_csv: str | Path | None
    save_as_json: str | Path | None


class Evaluate:
    """``Evaluate(devset=..., metric=...)(program)`` runs the program on every example and scores its answers.

    At most ``num_workers`` examples are at work (``num_threads`` is the same); one whose call waits for its next try
    makes room for another meanwhile. An example that takes longer than ``timeout`` seconds is ended. A failure that
    may pass (outage, rate limit, timeout, malformed output, dead worker) is tried again ``max_retries`` times; an
    example that kills its worker ``quarantine_after`` times is left alone. For ``patience`` seconds after an example's
    first failure, an outage or a rate limit is waited out without counting. ``max_errors`` failed examples end the
    evaluation, which then returns what it has; without it `settings.max_errors` holds if it was set, else there is no
    limit.

    No failure is ever a score, unless ``failure_score`` says which one: see `EvaluationResult`.

    The metric is called as ``metric(example, prediction)``, with None for a ``trace`` that it insists on. It returns a
    number, a bool, or a `Prediction` with a ``score``. It may be a function, an ``async`` function, or a module (a
    judge). ``metric_executor="process"`` computes it in OS processes (``metric_processes`` of them, one per core by
    default): a crash or an endless loop then costs one example. It must then be picklable and neither ``async`` nor a
    module, and a script that defines it must do what it does under ``if __name__ == "__main__":``: what is not so is
    refused before a model is asked.

    The result is written to ``save_as_csv`` and ``save_as_json``, and its first ``display_table`` examples (True: all)
    are shown. Where nothing can be written is an `OSError` before anything runs; what fails at the end is logged, and
    the result is returned all the same.

    With ``provide_traceback`` the traceback of one failure of each kind is logged; each `Failed` has its own anyway.

    ``on_event`` is called, on the scheduler's loop, with each `Scored`, `Failed`, `ExampleRetried`,
    `EvaluationStopped` and `EvaluationFinished`; it must be quick, and no coroutine function. One that raises is
    logged and not called again.

    Raises `TypeError` and `ValueError` for options that cannot be, here or when it is called.
    """

    def __init__(
        self,
        *,
        devset: Iterable[Any] | None,
        metric: Callable[..., Any] | None = None,
        num_threads: int | None = None,
        display_progress: bool = False,
        display_table: bool | int = False,
        max_errors: int | None = None,
        provide_traceback: bool | None = None,
        failure_score: float | None = None,
        save_as_csv: str | Path | None = None,
        save_as_json: str | Path | None = None,
        num_workers: int | None = None,
        timeout: float | None = None,
        max_retries: int = 2,
        quarantine_after: int = 2,
        patience: float = 0.0,
        metric_executor: Literal["inline", "process"] = "inline",
        metric_processes: int | None = None,
        on_event: Callable[[Any], None] | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        if metric_executor not in ("inline", "process"):
            raise ValueError(f"metric_executor must be 'inline' or 'process', not {metric_executor!r}")
        self.devset = as_devset(devset)
        self.metric = metric
        self.num_workers = num_workers if num_workers is not None else num_threads
        self.display_progress = display_progress
        self.display_table = display_table
        self.max_errors = max_errors
        self.provide_traceback = provide_traceback
        self.failure_score = failure_score
        self.save_as_csv = save_as_csv
        self.save_as_json = save_as_json
        self.timeout = timeout
        self.policy = RetryPolicy(max_retries=max_retries, quarantine_after=quarantine_after, patience=patience)
        self.metric_executor = metric_executor
        self.metric_processes = metric_processes
        self.on_event = on_event
        self.callbacks = list(callbacks)
        self._check()

    def __call__(
        self,
        program: Any,
        metric: Callable[..., Any] | None = None,
        devset: Iterable[Any] | None = None,
        num_threads: int | None = None,
        display_progress: bool | None = None,
        display_table: bool | int | None = None,
        callback_metadata: Mapping[str, Any] | None = None,
        save_as_csv: str | Path | None = None,
        save_as_json: str | Path | None = None,
        *,
        num_workers: int | None = None,
    ) -> EvaluationResult:
        """Evaluate, and wait. In a fiber it parks. Ctrl-C ends it and returns what is finished."""
        asked = self._asked(
            program, metric, devset, num_workers if num_workers is not None else num_threads,
            display_progress, display_table, callback_metadata, save_as_csv, save_as_json,
        )  # fmt: skip
        with self._watched(asked) as watch:
            evaluation = self._prepared(asked)  # an interrupt here finds nothing begun
            try:
                result = self._follow(evaluation.begin(), asked.display_progress)
            except KeyboardInterrupt:
                result = evaluation.cancel()
            except BaseException:
                evaluation.abandon()
                raise
            watch.outputs = result
        self._publish(result, asked)
        return result

    async def acall(
        self,
        program: Any,
        metric: Callable[..., Any] | None = None,
        devset: Iterable[Any] | None = None,
        num_threads: int | None = None,
        display_progress: bool | None = None,
        display_table: bool | int | None = None,
        callback_metadata: Mapping[str, Any] | None = None,
        save_as_csv: str | Path | None = None,
        save_as_json: str | Path | None = None,
        *,
        num_workers: int | None = None,
    ) -> EvaluationResult:
        """The same on any event loop. A cancelled ``acall`` ends the evaluation; to get its partial result then, use
        `start` and `Evaluation.cancel`."""
        asked = self._asked(
            program, metric, devset, num_workers if num_workers is not None else num_threads,
            display_progress, display_table, callback_metadata, save_as_csv, save_as_json,
        )  # fmt: skip
        with self._watched(asked) as watch:
            evaluation = self._prepared(asked).begin()
            result = await (self._follow_async(evaluation) if asked.display_progress else evaluation)
            watch.outputs = result
        self._publish(result, asked)
        return result

    def start(
        self,
        program: Any,
        *,
        metric: Callable[..., Any] | None = None,
        devset: Iterable[Any] | None = None,
        num_workers: int | None = None,
    ) -> Evaluation:
        """Begin, and do not wait: the `Evaluation` can be watched, awaited and cancelled."""
        return self._prepared(
            self._asked(program, metric, devset, num_workers, save_as_csv="", save_as_json="")
        ).begin()

    def _asked(
        self,
        program: Any,
        metric: Callable[..., Any] | None = None,
        devset: Iterable[Any] | None = None,
        num_threads: int | None = None,
        display_progress: bool | None = None,
        display_table: bool | int | None = None,
        callback_metadata: Mapping[str, Any] | None = None,
        save_as_csv: str | Path | None = None,
        save_as_json: str | Path | None = None,
    ) -> _Asked:
        width = self.num_workers if num_threads is None else num_threads
        if width is None:
            with working_on(_current_system()):
                width = settings.get("num_threads", DEFAULTS["num_threads"])
        return _Asked(
            program,
            self.metric if metric is None else metric,
            self.devset if devset is None else as_devset(devset),
            width,
            self.display_progress if display_progress is None else display_progress,
            self.display_table if display_table is None else display_table,
            callback_metadata,
            self.save_as_csv if save_as_csv is None else save_as_csv,
            self.save_as_json if save_as_json is None else save_as_json,
        )

    def _check(self) -> None:
        """Of its options, one by one: whether it can be. They may have been changed since it was made."""
        check_count("num_workers", self.num_workers)
        check_count("max_errors", self.max_errors, 0)
        check_count("metric_processes", self.metric_processes)
        check_score("failure_score", self.failure_score)
        check_seconds("timeout", self.timeout)
        check_listener(self.on_event)

    def _prepared(self, asked: _Asked) -> Evaluation:
        self._check()
        metric, rows = asked.metric, asked.devset
        if metric is None:
            raise ValueError("Evaluate needs a metric: give it to Evaluate(metric=...) or to the call")
        if rows is None:
            raise ValueError("Evaluate needs a devset: give it to Evaluate(devset=...) or to the call")
        check_count("num_workers", asked.num_threads)
        for option in ("save_as_csv", "save_as_json"):
            if path := getattr(asked, option):
                check_target(option, path)
        target = _target(asked.program)
        system = _current_system()
        with working_on(system):
            return self._made(system, asked, target, metric, rows)

    def _made(
        self, system: System, asked: _Asked, target: Any, metric: Callable[..., Any], rows: Sequence[Any]
    ) -> Evaluation:
        limit = error_limit(self.max_errors)
        check_count("the setting max_errors", limit, 0)
        name = getattr(metric, "__name__", type(metric).__name__)
        processes = None
        if self.metric_executor == "process":
            from ._metric_process import MetricProcesses

            count = self.metric_processes if self.metric_processes is not None else os.cpu_count() or 1
            processes = MetricProcesses(metric, count, system.scheduler, rows)
        return Evaluation(
            system,
            DevsetSource(rows, self._job_maker(target, metric, processes)),
            width=asked.num_threads or 1,
            policy=self.policy,
            max_errors=limit,
            failure_score=self.failure_score,
            metric_name=name,
            program_name=_name_of(asked.program),
            on_event=self.on_event,
            processes=processes,
        )

    def _job_maker(
        self, target: Any, metric: Callable[..., Any], processes: MetricProcesses | None
    ) -> Callable[[Any, int, FailureKind | None], Job]:
        timeout = self.timeout

        def make(example: Any, attempt: int, last_kind: FailureKind | None) -> Job:
            changes = fresh_sample(attempt) if last_kind is FailureKind.MALFORMED_OUTPUT else {}
            return Job(target, inputs_of(example), example, metric, changes, False, timeout, processes)

        return make

    def _watched(self, asked: _Asked) -> Watch:
        inputs = {field.name: getattr(asked, field.name) for field in fields(asked)}
        with working_on(_current_system()):
            return Watch(active_callbacks(self), "evaluate", self, inputs)

    # -- waiting and showing

    def _follow(self, evaluation: Evaluation, show: bool) -> EvaluationResult:
        if not show or not sys.stderr.isatty():
            return evaluation.result()
        from ._render import ProgressBar

        with ProgressBar("Evaluate") as bar:
            while not evaluation.wait(_REDRAW):
                bar.update(evaluation.progress, evaluation.now())
            bar.update(evaluation.progress, evaluation.now())
        return evaluation.result()

    async def _follow_async(self, evaluation: Evaluation) -> EvaluationResult:
        if not sys.stderr.isatty():
            return await evaluation._wait_async()
        from ._render import ProgressBar

        waiting = asyncio.ensure_future(evaluation._wait_async())
        try:
            with ProgressBar("Evaluate") as bar:
                while not waiting.done():
                    await asyncio.wait([waiting], timeout=_REDRAW)
                    bar.update(evaluation.progress, evaluation.now())
            result: EvaluationResult = await waiting
        except BaseException:  # asyncio.wait leaves what it waits for alone
            waiting.cancel()
            evaluation.abandon()
            raise
        return result

    def _publish(self, result: EvaluationResult, asked: _Asked) -> None:
        publish(result, table=asked.display_table, csv=asked.save_as_csv, json=asked.save_as_json)
        tracebacks = settings.provide_traceback if self.provide_traceback is None else self.provide_traceback
        if tracebacks and result.failures:
            from ._render import one_of_each

            for failure in one_of_each(result.failures):
                if failure.traceback:
                    _log.warning("example %d failed (%s):\n%s", failure.index, failure.kind, failure.traceback)

    def __repr__(self) -> str:
        devset = "none" if self.devset is None else f"{len(self.devset)} examples"
        return f"Evaluate(devset={devset}, metric={getattr(self.metric, '__name__', self.metric)})"


def _target(program: Any) -> Any:
    if isinstance(program, Module) or hasattr(program, "call") or callable(program):
        return program
    raise TypeError(f"{type(program).__name__} is no program: give a Module, a spawned program or a function")


def _name_of(program: Any) -> str:
    """What a program is called: by its name in the system, else by its class or its own name as a function."""
    name = getattr(program, "name", None)
    if isinstance(name, str) and name:
        return name
    own = None if isinstance(program, Module) else getattr(program, "__name__", None)
    return own or type(program).__name__


def inputs_of(example: Any) -> Mapping[str, Any]:
    """What a program is given of an example: its marked inputs, or a mapping as it is."""
    return dict(example.inputs().items() if hasattr(example, "inputs") else example)


def fresh_sample(attempt: int) -> dict[str, Any]:
    """Settings under which every model, whosever it is, is really asked again: neither the cache nor temperature 0
    gives the same unusable answer once more."""
    return {"resample": f"retry-{attempt}"}


def _current_system() -> System:
    from dspex.system._current import current_system

    return current_system()
