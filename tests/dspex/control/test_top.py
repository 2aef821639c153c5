"""What `dspex top` shows: the difference of two counts."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dspex.control._top import SORTS, Counted, reading
from supervision import Counters


def count(time: float, totals: dict[str, Any] | None = None, **handled: int) -> Counted:
    actors = [Counters(name, int(name[1:]), "running", done, 0, None, 0) for name, done in handled.items()]
    return Counted(time, actors, totals or {})


def test_rates_are_what_was_done_between_two_counts() -> None:
    found = reading(count(10.0, a1=5, a2=7), count(12.0, a1=25, a2=7, a3=4), "rate", 20)
    assert {row["path"]: row["rate"] for row in found["actors"]} == {"a1": 10.0, "a2": 0.0, "a3": 2.0}
    assert [row["path"] for row in found["actors"]][:2] == ["a1", "a3"]
    assert (found["seconds"], found["hidden"]) == (2.0, 0)
    assert found["totals"] == {"actors": 3, "handled": 36, "handled_per_second": 12.0}


def test_an_actor_that_has_ended_makes_no_rate_negative() -> None:
    found = reading(
        count(0.0, {"lm_calls": 9, "cost": 1.0}, a1=1000, a2=1),
        count(1.0, {"lm_calls": 3, "cost": 0.5}, a2=3),
        "rate",
        20,
    )
    assert found["totals"]["handled_per_second"] == 2.0
    assert (found["totals"]["lm_calls_per_second"], found["totals"]["lm_calls"]) == (0.0, 3)


def test_a_restarted_actor_counts_anew() -> None:
    found = reading(
        Counted(0.0, [Counters("a", 1, "running", 500, 0, None, 0)]),
        Counted(1.0, [Counters("a", 2, "running", 4, 0, None, 1)]),
        "rate",
        20,
    )
    assert found["actors"][0]["rate"] == 4.0


@given(
    st.lists(
        st.builds(
            Counters,
            path=st.text(max_size=3),
            actor=st.integers(1, 50) | st.none(),
            state=st.just("running"),
            handled=st.integers(0, 1000),
            mailbox=st.integers(0, 9),
            busy=st.none() | st.floats(0, 100),
            restarts=st.integers(0, 9),
        ),
        max_size=30,
    ),
    st.sampled_from(SORTS),
    st.integers(1, 40),
)
def test_the_lines_shown_are_the_first_in_the_order_wanted_and_the_rest_are_counted(
    actors: list[Counters], sort: str, lines: int
) -> None:
    found = reading(Counted(0.0, []), Counted(1.0, actors), sort, lines)
    rows = found["actors"]
    assert len(rows) == min(lines, len(actors))
    assert len(rows) + found["hidden"] == len(actors)
    order = [row[sort] or 0 for row in rows]
    assert order == sorted(order, reverse=True)
    if sort != "rate":
        assert order == sorted((getattr(each, sort) or 0 for each in actors), reverse=True)[:lines]
