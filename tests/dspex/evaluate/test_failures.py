"""Which kind of failure an exception is."""

import asyncio
import json

import pydantic
import pytest

from actors import ActorCrashed, ActorDeadError, Crash, Killed, NoProcess, Shutdown
from dspex import _errors as e
from dspex.evaluate import MetricCrashedError, MetricError, classify
from dspex.evaluate._failures import FailureKind as K
from dspex.evaluate._failures import drop_frames


class Model(pydantic.BaseModel):
    x: int


def caused(error, cause):
    error.__cause__ = cause
    return error


def invalid():
    try:
        Model(x="no")
    except pydantic.ValidationError as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (e.LMServerError("500"), K.OUTAGE),
        (e.LMTransportError("reset"), K.OUTAGE),
        (e.BreakerOpenError("open"), K.OUTAGE),
        (ConnectionResetError(), K.OUTAGE),
        (e.LMRateLimitError("429"), K.RATE_LIMIT),
        (e.LMAuthError("401"), K.REFUSED),
        (e.LMBillingError("402"), K.REFUSED),
        (e.LMNotConfiguredError("no lm"), K.REFUSED),
        (e.LMUnsupportedModelError("404"), K.REFUSED),
        (e.LMTimeoutError("late"), K.TIMEOUT),
        (TimeoutError(), K.TIMEOUT),
        (e.AdapterParseError("Chat", None, "text"), K.MALFORMED_OUTPUT),
        (e.LMStreamAssemblyError("cut"), K.MALFORMED_OUTPUT),
        (e.LMUnexpectedError("what"), K.MALFORMED_OUTPUT),
        (json.JSONDecodeError("bad", "x", 0), K.MALFORMED_OUTPUT),
        (invalid(), K.MALFORMED_OUTPUT),
        (e.ContextWindowExceededError(), K.PROGRAM_ERROR),
        (e.LMInvalidRequestError("400"), K.PROGRAM_ERROR),
        (e.LMUnsupportedFeatureError("tools"), K.PROGRAM_ERROR),
        (ZeroDivisionError(), K.PROGRAM_ERROR),
        (e.BudgetExceededError("spent"), K.BUDGET),
        (asyncio.CancelledError(), K.CANCELLED),
        (KeyboardInterrupt(), K.CANCELLED),
        (MetricError("not a number"), K.METRIC_ERROR),
        (caused(MetricError("raised"), ZeroDivisionError()), K.METRIC_ERROR),
        (caused(MetricError("judge"), e.LMServerError("500")), K.OUTAGE),
        (caused(MetricError("judge"), e.LMRateLimitError("429")), K.RATE_LIMIT),
        (caused(MetricError("judge"), e.BudgetExceededError("spent")), K.BUDGET),
        (caused(MetricError("judge"), e.AdapterParseError("Chat", None, "text")), K.MALFORMED_OUTPUT),
        (caused(MetricError("judge"), caused(RuntimeError("wrapped"), e.LMServerError("500"))), K.OUTAGE),
        (caused(MetricError("judge"), ActorCrashed(None, Crash.of(e.LMServerError("500")))), K.OUTAGE),
        (caused(MetricError("judge"), ActorCrashed(None, Crash.of(TimeoutError()))), K.METRIC_ERROR),
        (caused(MetricError("judge"), e.LMInvalidRequestError("400")), K.METRIC_ERROR),
        (caused(MetricError("raised"), json.JSONDecodeError("bad", "x", 0)), K.METRIC_ERROR),
        (caused(MetricError("raised"), invalid()), K.METRIC_ERROR),
        (caused(MetricError("raised"), TimeoutError()), K.METRIC_ERROR),
        (caused(MetricError("raised"), ConnectionError()), K.METRIC_ERROR),
        (MetricCrashedError("died", exitcode=-11), K.WORKER_CRASH),
        (ActorCrashed(None, Killed()), K.WORKER_CRASH),
        (ActorDeadError(None, NoProcess()), K.WORKER_CRASH),
        (ActorCrashed(None, Crash("Oops")), K.WORKER_CRASH),
        (ActorCrashed(None, Crash.of(e.LMServerError("500"))), K.OUTAGE),
        (ActorCrashed(None, Crash.of(ZeroDivisionError())), K.PROGRAM_ERROR),
        (ActorCrashed(None, Shutdown()), K.CANCELLED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_error_has_its_kind(error, kind):
    assert classify(error) is kind


def test_every_error_of_the_language_model_has_a_kind_that_is_not_the_programs_fault_but_bad_requests():
    ours = {e.LMInvalidRequestError, e.ContextWindowExceededError, e.LMUnsupportedFeatureError}
    todo = [e.LMError]
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        assert (classify(cls("x")) is K.PROGRAM_ERROR) == (cls in ours)


def test_what_says_nothing_about_the_program_is_not_counted_against_it():
    assert {kind for kind in K if kind.is_external} == {K.OUTAGE, K.RATE_LIMIT, K.REFUSED, K.BUDGET, K.CANCELLED}


def test_only_what_may_pass_is_tried_again():
    assert {kind for kind in K if kind.is_retryable} == {
        K.OUTAGE,
        K.RATE_LIMIT,
        K.TIMEOUT,
        K.MALFORMED_OUTPUT,
        K.WORKER_CRASH,
    }


def test_a_failure_holds_no_frame_of_itself_nor_of_what_it_comes_from():
    def fails():
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner

    with pytest.raises(ValueError, match="outer") as caught:
        fails()
    error = caught.value
    drop_frames(error)
    assert (error.__traceback__, error.__cause__.__traceback__) == (None, None)
    looped = ValueError()
    looped.__context__ = KeyError()
    looped.__context__.__context__ = looped
    drop_frames(ExceptionGroup("both", [looped, OSError()]))
