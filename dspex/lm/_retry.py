"""What is tried again, when, and how often: tenacity's policies at the one place where LM calls are retried.

Exponential waits with jitter; a reply's Retry-After is honoured, and nothing is retried that could not be answered
before the caller's deadline. A rate limit is not a failure of the call: 429s have a larger allowance of their own.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from dspex._errors import BreakerOpenError, DspexError, LMRateLimitError, is_retryable_lm_error

T = TypeVar("T")
_NEVER = ("too_large", "tls", "closed", "files")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` after the first try; `rate_limit_retries` for 429s (0 with `retries` 0). Waits are in seconds."""

    retries: int = 3
    rate_limit_retries: int = 20
    first_wait: float = 0.25
    longest_wait: float = 20.0
    jitter: float = 0.25


def retryable(error: BaseException) -> bool:
    """True for what another try may not meet. An open breaker is not: waiting for it is the caller's decision."""
    if isinstance(error, BreakerOpenError):
        return False
    if isinstance(error, DspexError) and error.code == "empty_choices":
        return True
    return is_retryable_lm_error(error) and getattr(error, "code", None) not in _NEVER


class Retries:
    """The state of one call's retries: `next_wait` after each failure. Pure but for the rng it is given."""

    def __init__(self, policy: RetryPolicy, rng: random.Random, deadline: float | None) -> None:
        self._policy = policy
        self._rng = rng
        self._deadline = deadline
        self.failures = 0
        self.rate_limits = 0

    def next_wait(self, now: float, error: BaseException) -> float | None:
        """Seconds to wait before the next try, None when there is none."""
        policy = self._policy
        if policy.retries <= 0 or not retryable(error):
            return None
        if isinstance(error, LMRateLimitError):
            self.rate_limits += 1
            count, allowed = self.rate_limits, policy.rate_limit_retries
        else:
            self.failures += 1
            count, allowed = self.failures, policy.retries
        if count > allowed:
            return None
        wait = min(policy.longest_wait, policy.first_wait * 2 ** min(count - 1, 16))
        wait += self._rng.uniform(0, policy.jitter * wait)
        asked = getattr(error, "retry_after", None)
        if asked is not None:
            # Everyone was told the same moment: a little jitter keeps them from coming back as one.
            wait = asked + self._rng.uniform(0, min(policy.jitter, 0.05 + asked * 0.05))
        if self._deadline is not None and now + wait >= self._deadline:
            return None
        return float(wait)


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    first_error: BaseException,
    retries: Retries,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    before_retry: Callable[[BaseException, float], None],
) -> T:
    """Go on after a first try that failed with `first_error`. Raises the last error, or the first that is not retried.

    tenacity runs the loop; it is not entered by calls that succeed at once.
    """
    import tenacity

    pending: list[BaseException] = [first_error]
    plans: dict[int, float | None] = {}

    def planned(state: tenacity.RetryCallState) -> float | None:
        """The wait after this try, worked out once: tenacity asks for the wait before it asks whether to stop."""
        if state.attempt_number not in plans:
            error = state.outcome.exception() if state.outcome is not None else None
            plans[state.attempt_number] = None if error is None else retries.next_wait(clock(), error)
        return plans[state.attempt_number]

    async def again() -> T:
        if pending:
            raise pending.pop()
        return await attempt()

    def announce(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None:
            before_retry(error, planned(state) or 0.0)

    retrying: Any = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(retryable),
        stop=lambda state: planned(state) is None,
        wait=lambda state: planned(state) or 0.0,
        sleep=sleep,
        before_sleep=announce,
        reraise=True,
    )
    result: T = await retrying(again)
    return result
