"""Delays between restarts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervision import Backoff


def test_the_delay_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(0.1, 1.0, jitter=0.0)
    assert [round(backoff.delay(n, 0.9), 6) for n in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_jitter_takes_off_a_random_share() -> None:
    backoff = Backoff(1.0, 10.0, jitter=0.5)
    assert backoff.delay(1, 0.0) == 1.0
    assert backoff.delay(1, 0.5) == 0.75


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_the_delay_is_never_negative_nor_above_the_maximum(attempt: int, random: float, jitter: float) -> None:
    assert 0 <= Backoff(0.1, 30.0, jitter=jitter).delay(attempt, random) <= 30.0
