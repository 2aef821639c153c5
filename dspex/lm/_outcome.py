"""What a call's end means for what comes next: another model, the budget, the sum of several responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dspex._errors import (
    ContextWindowExceededError,
    LMConfigurationError,
    LMError,
    LMInvalidRequestError,
    LMTimeoutError,
    LMTransportError,
)

from ._types import LMResponse, Usage


def worth_a_fallback(error: LMError) -> bool:
    """Whether another model may do better. A request that is wrong is wrong everywhere, unless it is too long for
    this one.
    """
    if isinstance(error, LMInvalidRequestError):
        return isinstance(error, ContextWindowExceededError)
    if isinstance(error, LMConfigurationError):
        return error.code == "missing_api_key"
    return not (isinstance(error, LMTimeoutError) and error.code == "deadline")


def ambiguous(error: BaseException) -> bool:
    """Whether the endpoint may have done, and billed, the work all the same: the request was out, no verdict came
    back. True of whatever cuts a call off from outside.
    """
    if isinstance(error, LMTransportError):
        return error.code in (
            *("reset", "malformed", "protocol", "too_large", "aborted", "worker_crashed", "closed"),
            "stream_assembly",
        )
    return isinstance(error, LMTimeoutError) or not isinstance(error, LMError)


def joined(parts: Sequence[LMResponse]) -> LMResponse:
    """Several responses to the same request as one with all their outputs."""
    cost = None if any(part.cost is None for part in parts) else sum(part.cost or 0.0 for part in parts)
    return replace(
        parts[0],
        outputs=[output for part in parts for output in part.outputs],
        usage=sum((part.usage for part in parts), Usage()),
        cost=cost,
    )
