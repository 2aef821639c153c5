"""What kinds of failure an example can end with, and which kind an exception is.

The kinds are kept apart because they mean different things to whoever reads a score: an outage says nothing about
the program, a malformed output says a lot. Pure: an exception in, a kind out.
"""

from __future__ import annotations

import asyncio
import enum
import json

import pydantic

from actors import ActorDeadError, Crash, Killed, NoProcess
from dspex import _errors as errors
from dspex.quarantine import QuarantinedError

from ._metric_errors import MetricCrashedError, MetricError


class FailureKind(enum.StrEnum):
    """Why an example has no score. ``is_retryable``: another attempt may succeed. ``is_external``: nothing to do
    with the program that was evaluated, so it must not count against it when programs are compared."""

    OUTAGE = "outage"  # the provider could not be reached, or answered 5xx
    RATE_LIMIT = "rate_limit"  # 429, after the pool's own retries
    REFUSED = "refused"  # the provider will not serve us: credentials, billing, no model configured
    TIMEOUT = "timeout"  # the example's own time ran out, or a call's
    MALFORMED_OUTPUT = "malformed_output"  # the model answered, but not in the form asked for
    PROGRAM_ERROR = "program_error"  # the program raised
    METRIC_ERROR = "metric_error"  # the metric raised, or returned no number
    BUDGET = "budget"  # a budget in money or tokens is spent
    WORKER_CRASH = "worker_crash"  # the worker, or the metric's process, died under it
    QUARANTINED = "quarantined"  # it killed its worker too often, now or earlier, and is not tried again
    CANCELLED = "cancelled"  # the evaluation ended before it was done

    @property
    def is_retryable(self) -> bool:
        return self in _RETRYABLE

    @property
    def is_external(self) -> bool:
        return self in _EXTERNAL


_RETRYABLE = frozenset(
    {
        FailureKind.OUTAGE,
        FailureKind.RATE_LIMIT,
        FailureKind.TIMEOUT,
        FailureKind.MALFORMED_OUTPUT,
        FailureKind.WORKER_CRASH,
    }
)
_EXTERNAL = frozenset(
    {
        FailureKind.OUTAGE,
        FailureKind.RATE_LIMIT,
        FailureKind.REFUSED,
        FailureKind.BUDGET,
        FailureKind.CANCELLED,
    }
)


# In order: the first class that matches decides, so a subclass stands before its base.
_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], FailureKind], ...] = (
    (errors.BudgetExceededError, FailureKind.BUDGET),
    (errors.LMRateLimitError, FailureKind.RATE_LIMIT),
    (errors.LMTimeoutError, FailureKind.TIMEOUT),
    (errors.LMUnsupportedFeatureError, FailureKind.PROGRAM_ERROR),
    (
        (
            errors.LMAuthError,
            errors.LMBillingError,
            errors.LMConfigurationError,
            errors.LMUnsupportedModelError,
        ),
        FailureKind.REFUSED,
    ),
    (
        (
            errors.AdapterParseError,
            errors.LMStreamAssemblyError,
            errors.LMUnexpectedError,
            errors.LMCollectionLimitError,
        ),
        FailureKind.MALFORMED_OUTPUT,
    ),
    (errors.LMInvalidRequestError, FailureKind.PROGRAM_ERROR),
    (errors.LMError, FailureKind.OUTAGE),
    (MetricCrashedError, FailureKind.WORKER_CRASH),
    (QuarantinedError, FailureKind.QUARANTINED),
    (TimeoutError, FailureKind.TIMEOUT),
    (asyncio.CancelledError, FailureKind.CANCELLED),
    (KeyboardInterrupt, FailureKind.CANCELLED),
    (ConnectionError, FailureKind.OUTAGE),
)


def classify(error: BaseException) -> FailureKind:
    """The kind of failure that an exception of a program or a metric stands for.

    The death of an actor counts as what killed it. What a metric raises is a metric error, be it a `TimeoutError`:
    asking the program again would not help. Unless it comes from an error of ours (a judge's outage is an outage).
    """
    if isinstance(error, MetricError):
        return _of_metric(error)
    if isinstance(error, ActorDeadError):
        return _of_death(error)
    for classes, kind in _KINDS:
        if isinstance(error, classes):
            return kind
    if isinstance(error, (json.JSONDecodeError, pydantic.ValidationError)):
        return FailureKind.MALFORMED_OUTPUT
    return FailureKind.PROGRAM_ERROR


def _of_metric(error: MetricError) -> FailureKind:
    cause = error.__cause__
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        dead = isinstance(cause, ActorDeadError)
        if (dead and cause.__cause__ is None) or (isinstance(cause, errors.DspexError) and not dead):
            kind = classify(cause)
            return kind if kind is not FailureKind.PROGRAM_ERROR else FailureKind.METRIC_ERROR
        cause = cause.__cause__
    return FailureKind.METRIC_ERROR


def _of_death(error: ActorDeadError) -> FailureKind:
    cause = error.__cause__
    if isinstance(cause, Exception) and not isinstance(cause, ActorDeadError):
        return classify(cause)
    crashed = isinstance(error.reason, Crash | Killed | NoProcess)
    return FailureKind.WORKER_CRASH if crashed else FailureKind.CANCELLED


def words_of(error: BaseException) -> str:
    """What an error says; nothing if it is one of the user's own that cannot."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  any code may stand in a `__str__`
        return ""


def drop_frames(error: BaseException) -> None:
    """Let go of the frames of an error and of those that it comes from: they hold their variables for as long as it
    lives."""
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        each = chain.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        chain += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            chain += each.exceptions
