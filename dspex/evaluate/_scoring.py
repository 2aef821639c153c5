"""Running a job's code in a worker's fiber: the program, then the metric."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dspex._settings import _overlay
from dspex._usage import UsageTracker
from dspex.predict import Module
from dspex.programs._call import Call, current_call
from dspex.programs._placement import set_apart
from dspex.programs._running import run_in_fiber, run_placed
from dspex.programs._style import code_of

from ._failures import words_of
from ._messages import Job, Report, Work
from ._metric_call import metric_arguments
from ._metric_errors import MetricError
from ._verdict import as_score

if TYPE_CHECKING:
    from actors import Activity, ActorRef
    from dspex.system import System


def perform(
    system: System, activity: Activity, worker: ActorRef[Any], work: Work, judging: Callable[[], None]
) -> Report:
    """Do the work and say what came of it. Only the worker's own end, and what is no `Exception`, is raised.

    ``judging`` is called when a metric begins that has its time bounded elsewhere.
    """
    job = work.job
    call = Call(system, job.program, (), dict(job.inputs), job.timeout)
    trace: list[Any] | None = [] if job.traced else None
    prediction: Any = None
    score: float | None = None
    failure: BaseException | None = None
    begin = perf_counter()
    outer = _overlay.get()
    tracker = UsageTracker(parent=outer.get("usage_tracker"))
    overlay = {**outer, **job.settings, "usage_tracker": tracker, "trace": trace}
    if call.deadline is not None:
        overlay["deadline"] = call.deadline
        set_apart.set(True)
    try:
        call.begin(activity)
        current_call.set(call)
        _overlay.set(overlay)
        prediction = run_program(job, call, system, activity)
        if job.processes is not None:
            call.end()
            judging()
            score = job.processes.score(job.example, prediction, job.timeout)
        elif job.metric is not None:
            if trace is not None:
                _overlay.set({**overlay, "trace": None})  # a judge's own calls are not the program's
            score = judge(job, prediction, trace, system, activity)
    except BaseException as error:
        ended = call.error
        if not isinstance(error, Exception):
            call.end()
            call.cancel()  # what its threads have begun ends too: nobody waits for it
            if not isinstance(error, asyncio.CancelledError) or (ended is None and activity.cancelling()):
                raise
        failure = error if ended is None else ended
    finally:
        call.end()
    usage = tracker if tracker.calls else None
    return Report(worker, work.lease, perf_counter() - begin, prediction, score, failure, trace, usage)


def run_program(job: Job, call: Call, system: System, activity: Activity) -> Any:
    """The program's answer. A module runs right here, in the worker's own fiber; a spawned one in its actor."""
    program = job.program
    if isinstance(program, Module):
        return run_in_fiber(program, (), call.inputs, system, activity)
    if hasattr(program, "call"):
        return program(**call.inputs)  # waits in this fiber; if that is cancelled, the call is ended
    return run_callable(program, (), call.inputs, system, activity)


def judge(job: Job, prediction: Any, trace: list[Any] | None, system: System, activity: Activity) -> float:
    """The metric's verdict as a number; whatever is wrong with it is a `MetricError`."""
    assert job.metric is not None
    args = metric_arguments(job.metric, job.example, prediction, trace)
    try:
        verdict = run_callable(job.metric, args, {}, system, activity)
    except MetricError:
        raise
    except Exception as error:
        raise MetricError(f"the metric raised {type(error).__name__}: {words_of(error)}") from error
    return as_score(verdict)


def run_callable(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    inputs: Mapping[str, Any],
    system: System,
    activity: Activity,
) -> Any:
    """Call a function in this fiber, or on a thread where `run_placed` says so; a coroutine is driven to its end."""
    if isinstance(function, Module):
        return run_in_fiber(function, args, dict(inputs), system, activity)
    code = code_of(function)
    if code is not None and code.co_flags & inspect.CO_COROUTINE:
        return activity.drive(function(*args, **inputs))
    result = run_placed(function, False, system, lambda: function(*args, **inputs))
    return activity.drive(result) if inspect.iscoroutine(result) else result
