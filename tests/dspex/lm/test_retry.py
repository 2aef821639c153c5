"""What is tried again, and when."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex._errors import (
    BreakerOpenError,
    BudgetExceededError,
    LMAuthError,
    LMError,
    LMInvalidRequestError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
    LMUnexpectedError,
)
from dspex.lm import RetryPolicy
from dspex.lm._retry import Retries, retryable, with_retries


def retries(deadline: float | None = None, **policy: float) -> Retries:
    return Retries(RetryPolicy(**policy), random.Random(0), deadline)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (LMServerError(""), True), (LMTimeoutError(""), True), (LMRateLimitError(""), True),
        (LMTransportError("", code="reset"), True), (LMTransportError("", code="malformed"), True),
        (LMUnexpectedError("", code="empty_choices"), True), (LMUnexpectedError(""), False),
        (LMTransportError("", code="tls"), False), (LMTransportError("", code="too_large"), False),
        (LMAuthError(""), False), (LMInvalidRequestError(""), False), (BreakerOpenError(""), False),
        (BudgetExceededError(""), False), (ValueError(), False),
    ],
)  # fmt: skip
def test_only_what_may_pass_is_tried_again(error: Exception, again: bool) -> None:
    assert retryable(error) is again
    assert (retries().next_wait(0.0, error) is not None) is again


def test_the_waits_grow_to_a_longest_and_end_after_so_many() -> None:
    policy = retries(retries=5, first_wait=1.0, longest_wait=4.0, jitter=0.0)
    waits = [policy.next_wait(0.0, LMServerError("")) for _ in range(6)]
    assert waits == [1.0, 2.0, 4.0, 4.0, 4.0, None]


def test_no_retries_means_none_for_rate_limits_either() -> None:
    assert retries(retries=0).next_wait(0.0, LMRateLimitError("", retry_after=0.1)) is None


def test_rate_limits_have_an_allowance_of_their_own() -> None:
    policy = retries(retries=1, rate_limit_retries=3)
    assert all(policy.next_wait(0.0, LMRateLimitError("")) is not None for _ in range(3))
    assert policy.next_wait(0.0, LMServerError("")) is not None
    assert policy.next_wait(0.0, LMRateLimitError("")) is None
    assert policy.next_wait(0.0, LMServerError("")) is None


@given(after=st.floats(0, 100), count=st.integers(0, 5))
def test_nobody_comes_back_before_retry_after(after: float, count: int) -> None:
    policy = retries(retries=10)
    for _ in range(count):
        policy.next_wait(0.0, LMServerError(""))
    wait = policy.next_wait(0.0, LMRateLimitError("", retry_after=after))
    assert wait is not None
    assert after <= wait <= after * 1.1 + 0.5


@given(now=st.floats(0, 10), deadline=st.floats(0, 10))
def test_a_retry_that_could_not_be_answered_in_time_is_not_made(now: float, deadline: float) -> None:
    wait = retries(deadline, first_wait=1.0).next_wait(now, LMError("", code="empty_choices"))
    assert wait is None or now + wait < deadline


# --- what is planned is what is waited


@given(
    failures=st.lists(st.sampled_from(["server", "rate_limit", "rate_limit_after", "auth"]), max_size=8),
    tries=st.integers(0, 4),
)
def test_the_waits_that_were_planned_are_the_waits_that_are_waited(failures: list[str], tries: int) -> None:
    kinds = {
        "server": lambda: LMServerError("s"),
        "rate_limit": lambda: LMRateLimitError("r"),
        "rate_limit_after": lambda: LMRateLimitError("r", retry_after=7.0),
        "auth": lambda: LMAuthError("a"),
    }
    errors = [kinds[name]() for name in failures]
    policy = RetryPolicy(retries=tries, rate_limit_retries=2, first_wait=1.0, longest_wait=4.0)
    now, waited, announced, tried = 0.0, [], [], 1

    async def attempt() -> str:
        nonlocal tried
        tried += 1
        if tried > len(errors):
            return "answer"
        raise errors[tried - 1]

    async def sleep(seconds: float) -> None:
        nonlocal now
        waited.append(seconds)
        now += seconds

    # The plan, worked out by itself: the same policy, errors and random numbers.
    twin, planned, clock = Retries(policy, random.Random(5), 100.0), [], 0.0
    for error in errors:
        wait = twin.next_wait(clock, error)
        if wait is None:
            break
        planned.append(wait)
        clock += wait

    async def run() -> Any:
        retries = Retries(policy, random.Random(5), 100.0)
        try:
            first = errors[0]
        except IndexError:
            return None
        return await with_retries(
            attempt, first, retries, lambda: now, sleep, lambda error, wait: announced.append((error, wait))
        )

    if len(planned) == len(errors):
        assert asyncio.run(run()) == ("answer" if errors else None)
    else:
        with pytest.raises(LMError) as caught:
            asyncio.run(run())
        assert caught.value is errors[len(planned)]
    assert waited == planned
    assert announced == list(zip(errors, planned, strict=False))
