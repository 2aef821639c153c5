"""The breaker is a value: time is an argument."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dspex._errors import (
    BreakerOpenError,
    LMAuthError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
)
from dspex.lm import Breaker, BreakerPolicy
from dspex.lm._breaker import Failure, failure_of


def opened(policy: BreakerPolicy | None = None, failure: Failure = "server") -> Breaker:
    breaker = Breaker(policy)
    for _ in range(breaker.policy.failures):
        assert breaker.allow(0.0)
        breaker.record(0.0, failure)
    assert breaker.state(0.0) == "open"
    return breaker


def test_it_opens_after_so_many_failures_of_one_class() -> None:
    breaker = Breaker()
    for _ in range(breaker.policy.failures - 1):
        breaker.record(0.0, "server")
    assert breaker.state(0.0) == "closed"
    breaker.record(0.0, "server")
    assert breaker.state(0.0) == "open"
    assert breaker.opened_by == "server"


def test_classes_are_counted_apart() -> None:
    breaker = Breaker(BreakerPolicy(failures=10, connect_failures=10))
    for _ in range(9):
        breaker.record(0.0, "server")
        breaker.record(0.0, "timeout")
    assert breaker.state(0.0) == "closed"


def test_failures_to_connect_leave_less_doubt() -> None:
    breaker = Breaker()
    for _ in range(breaker.policy.connect_failures):
        breaker.record(0.0, "connect")
    assert breaker.state(0.0) == "open"


def test_a_sixth_of_failures_never_opens_it() -> None:
    breaker, rng = Breaker(), random.Random(0)
    for _ in range(20_000):
        breaker.record(0.0, "server" if rng.random() < 0.15 else None)
    assert breaker.trips == 0


def test_while_open_it_says_when_to_come_back() -> None:
    breaker = opened(BreakerPolicy(open_for=4.0))
    assert not breaker.allow(1.0)
    assert breaker.retry_after(1.0) == 3.0


def test_half_open_lets_one_trial_through_and_its_success_closes() -> None:
    breaker = opened(BreakerPolicy(open_for=1.0))
    assert breaker.state(1.0) == "half_open"
    assert [breaker.allow(1.0) for _ in range(3)] == [True, False, False]
    breaker.record(1.1, None)
    assert breaker.state(1.1) == "closed"
    assert breaker.allow(1.1)


def test_a_failed_trial_doubles_the_pause_up_to_the_longest() -> None:
    breaker = opened(BreakerPolicy(open_for=1.0, longest=5.0))
    now, pauses = 0.0, []
    for _ in range(4):
        now = breaker.open_until
        assert breaker.allow(now)
        breaker.record(now, "timeout")
        pauses.append(breaker.retry_after(now))
    assert pauses == [2.0, 4.0, 5.0, 5.0]


def test_a_cancelled_trial_makes_room_for_another() -> None:
    breaker = opened(BreakerPolicy(open_for=1.0))
    assert breaker.allow(1.0)
    breaker.forget()
    assert breaker.allow(1.0)


def test_answers_to_requests_sent_before_it_opened_are_old_news() -> None:
    breaker = opened(BreakerPolicy(open_for=1.0))
    breaker.record(0.5, None)
    assert breaker.state(0.5) == "open"


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (LMTransportError("", code="refused"), "connect"), (LMTransportError("", code="dns"), "connect"),
        (LMTransportError("", code="tls"), "connect"), (LMTransportError("", code="reset"), "server"),
        (LMTransportError("", code="malformed"), None), (LMTransportError("", code="too_large"), None),
        (LMTimeoutError(""), "timeout"), (LMServerError(""), "server"), (LMAuthError(""), None),
        (LMRateLimitError(""), None), (BreakerOpenError(""), None), (ValueError(), None),
    ],
)  # fmt: skip
def test_only_outages_count(error: Exception, failure: str | None) -> None:
    assert failure_of(error) == failure


class BreakerMachine(RuleBasedStateMachine):
    """Any order of requests, outcomes and waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(
            BreakerPolicy(failures=3, connect_failures=2, window=6, share=0.5, open_for=1.0, longest=8.0)
        )
        self.now = 0.0
        self.under_way = 0
        self.trials = 0

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        state = self.breaker.state(self.now)
        allowed = self.breaker.allow(self.now)
        if state == "closed":
            assert allowed
        if state == "open":
            assert not allowed
        if allowed:
            self.under_way += 1
            if state == "half_open":
                self.trials += 1
                assert self.trials == 1, "two trials at a time"

    @precondition(lambda self: self.under_way > 0)
    @rule(failure=st.sampled_from([None, "connect", "server", "timeout"]))
    def answer(self, failure: Failure | None) -> None:
        trial = self.trials > 0
        self.under_way -= 1
        self.breaker.record(self.now, failure)
        if trial:
            self.trials = 0
            assert self.breaker.state(self.now) == ("closed" if failure is None else "open")

    @precondition(lambda self: self.trials > 0)
    @rule()
    def give_up(self) -> None:
        self.under_way -= 1
        self.trials = 0
        self.breaker.forget()

    @invariant()
    def it_always_reopens_for_business(self) -> None:
        assert self.breaker.retry_after(self.now) <= 8.0 + 1e-9  # a difference of clock readings
        if self.breaker.state(self.now) == "open":
            assert self.breaker.opened_by is not None
            assert self.breaker.retry_after(self.now) > 0


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=25, stateful_step_count=20)
