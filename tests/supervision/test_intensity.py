"""The sliding window of restarts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervision._intensity import RestartHistory


def test_so_many_restarts_are_allowed_and_one_more_is_not() -> None:
    history = RestartHistory(2, 5.0)
    assert [history.add(0.0), history.add(0.0), history.add(0.0)] == [True, True, False]


def test_none_are_allowed_at_intensity_zero() -> None:
    assert not RestartHistory(0, 5.0).add(0.0)


def test_what_is_older_than_the_period_is_forgotten_and_its_edge_counts() -> None:
    history = RestartHistory(1, 5.0)
    assert history.add(0.0)
    assert history.add(5.1)
    assert not history.add(10.1)


def test_limits_change_and_the_history_stays() -> None:
    history = RestartHistory(5, 100.0)
    assert history.add(0.0)
    assert history.add(1.0)
    history.change(1, 100.0)
    assert not history.add(2.0)


@given(st.integers(0, 5), st.integers(1, 10), st.lists(st.integers(0, 4), max_size=40))
def test_the_window_agrees_with_counting_all_restarts_anew(intensity: int, period: int, gaps: list[int]) -> None:
    history, times, now = RestartHistory(intensity, period), [], 0
    for gap in gaps:
        now += gap
        times.append(now)
        inside = sum(1 for time in times if time >= now - period)
        assert history.count(now) == inside - 1
        assert history.add(now) == (inside <= intensity)
        assert history.count(now) == inside
