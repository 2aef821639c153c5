"""Counting: the histogram against sorted lists, parameters as values."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from dspex.lm import Usage
from dspex.programs._histogram import Histogram
from dspex.programs._metrics import Meter, Tally

durations = st.floats(min_value=1e-6, max_value=1e5)


@given(st.lists(durations, min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_that_of_the_sorted_durations_to_within_a_sixteenth(values: list[float], percent: int) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
    found = histogram.percentile(percent)
    assert found is not None
    assert abs(found - exact) <= exact / 15
    assert found <= histogram.greatest
    assert histogram.count == len(values)
    assert math.isclose(histogram.mean or 0, sum(values) / len(values))


@given(st.lists(st.floats(min_value=0, max_value=1e12), max_size=50))
def test_percentiles_grow_with_the_percentage(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    found = [histogram.percentile(percent) for percent in (1, 25, 50, 75, 99)]
    if not values:
        assert found == [None] * 5
    else:
        assert found == sorted(found)  # type: ignore[type-var]


def test_a_meter_counts_for_its_module_and_for_the_callers_tracker_behind_it() -> None:
    tally, behind = Tally(), Tally()
    meter = Meter(tally, Meter(behind, None))  # type: ignore[arg-type]
    meter.add("m", Usage(10, 5, 15), 0.5)
    meter.add("m", Usage(10, 5, 15), None)
    meter.add("m", Usage(10, 5, 15), 0.5, cached=True)
    for counted in (tally.read(), behind.read()):
        assert (counted.lm_calls, counted.cached, counted.total_tokens) == (3, 1, 30)
        assert (counted.cost, counted.unpriced) == (0.5, 1)


def test_a_reading_in_a_line_says_what_is_known_and_what_is_not() -> None:
    tally = Tally()
    meter = Meter(tally, None)  # type: ignore[arg-type]
    assert str(tally.read()) == "0 calls, 0 failed"
    meter.add("m", Usage(10, 5, 15), None)
    assert str(tally.read()).endswith("1 LM calls, 0 from the cache, 15 tokens; cost unknown")
    meter.add("m", Usage(10, 5, 15), 0.5)
    assert str(tally.read()).endswith("30 tokens; $0.5000, 1 of unknown price")
