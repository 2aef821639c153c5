"""The limiter is a value: time is an argument."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.lm import Limiter
from dspex.lm._limiter import seconds_of

NOTHING: dict[str, str] = {}


def test_without_limits_nothing_ever_waits() -> None:
    limiter = Limiter()
    assert all(limiter.acquire(0.0, 1e9) == 0.0 for _ in range(1000))
    assert limiter.unlimited


@given(
    rpm=st.integers(1, 6000),
    tpm=st.none() | st.integers(1000, 1_000_000),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 500)), min_size=1, max_size=200),
)
def test_no_more_is_granted_than_the_limits_allow(rpm: int, tpm: int | None, steps: list[tuple[float, int]]) -> None:
    limiter = Limiter(rpm, tpm)
    now, granted, tokens = 0.0, 0, 0
    for step, size in steps:
        now += step
        if limiter.acquire(now, size) == 0.0:
            granted += 1
            tokens += size
        assert granted <= max(1.0, rpm / 60) + now * rpm / 60 + 1e-6
        if tpm is not None:
            # One request may overdraw a bucket by what is larger than the bucket itself.
            assert tokens <= max(1.0, tpm / 60) + now * tpm / 60 + 500 + 1e-6


@given(rpm=st.integers(1, 6000), tpm=st.integers(60, 100_000), sizes=st.lists(st.integers(0, 5000), max_size=50))
def test_waiting_as_long_as_told_is_enough(rpm: int, tpm: int, sizes: list[int]) -> None:
    limiter, now = Limiter(rpm, tpm), 0.0
    for size in sizes:
        wait = limiter.acquire(now, size)
        if wait:
            now += wait + 1e-6
            assert limiter.acquire(now, size) == 0.0


def test_unused_tokens_come_back() -> None:
    limiter = Limiter(tpm=600)
    assert limiter.acquire(0.0, 10) == 0.0
    assert limiter.acquire(0.0, 10) > 0.0
    limiter.settle(10, 0)
    assert limiter.acquire(0.0, 10) == 0.0


def test_429s_in_a_row_of_an_unknown_endpoint_pause_everybody_as_long_as_they_say() -> None:
    limiter = Limiter()
    limiter.rejected(10.0, 5.0, NOTHING)
    assert limiter.acquire(10.0) == 0.0
    for _ in range(3):
        limiter.rejected(10.0, 5.0, NOTHING)
    assert limiter.acquire(10.0) == 5.0
    assert limiter.acquire(14.0) == 1.0
    assert limiter.acquire(15.0) == 0.0


def test_a_429_among_many_answers_pauses_nobody() -> None:
    limiter = Limiter()
    for i in range(500):
        if i % 7 == 6:
            limiter.rejected(1.0, 60.0, NOTHING)
        else:
            limiter.accepted(1.0, NOTHING)
    limiter.accepted(1.0, NOTHING)
    assert limiter.acquire(1.0) == 0.0


def test_when_most_answers_are_429s_everybody_waits() -> None:
    limiter = Limiter()
    for _ in range(100):
        limiter.accepted(1.0, NOTHING)
    for _ in range(10):
        limiter.rejected(1.0, 3.0, NOTHING)
    assert limiter.acquire(1.0) == 3.0


def test_an_exhausted_quota_pauses_until_its_reset_even_after_many_answers() -> None:
    limiter = Limiter()
    for _ in range(100):
        limiter.accepted(1.0, NOTHING)
    limiter.rejected(1.0, None, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"})
    assert limiter.acquire(1.0) == 90.0


def test_pauses_that_nobody_measures_double() -> None:
    limiter, now = Limiter(), 0.0
    for _ in range(3):
        limiter.rejected(now, None, NOTHING)
    waits = []
    for _ in range(4):
        limiter.rejected(now, None, NOTHING)
        waits.append(limiter.acquire(now))
        now += waits[-1]
        limiter.acquire(now)
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_after_a_pause_the_rate_is_what_the_endpoint_was_seen_to_take() -> None:
    limiter = Limiter()
    for i in range(100):
        assert limiter.acquire(i / 100) == 0.0
        limiter.accepted(i / 100, NOTHING)
    for _ in range(20):
        limiter.rejected(1.0, 9.0, NOTHING)
    assert limiter.acquire(10.0) == 0.0  # 100 answers in 10 seconds
    assert limiter.rate == 10.0


def test_the_learned_rate_grows_while_all_goes_well_and_is_lifted_in_the_end() -> None:
    limiter, now = Limiter(), 1.0
    for _ in range(20):
        limiter.accepted(0.0, NOTHING)
    for _ in range(10):
        limiter.rejected(1.0, 9.0, NOTHING)
    now = 10.0
    limiter.acquire(now)
    before = limiter.rate
    assert before is not None
    for _ in range(5):
        now += 1.0
        limiter.accepted(now, NOTHING)
        limiter.acquire(now)
    assert limiter.rate is not None
    assert limiter.rate > before * 1.4
    for _ in range(200):
        now += 1.0
        limiter.accepted(now, NOTHING)
        limiter.acquire(now)
    assert limiter.rate is None
    assert limiter.unlimited


def test_early_429s_do_not_slow_an_endpoint_down_of_which_nothing_is_known_yet() -> None:
    limiter = Limiter()
    for _ in range(4):
        limiter.rejected(0.0, 1.0, NOTHING)
    assert limiter.acquire(0.5) == 0.5
    assert limiter.acquire(1.0) == 0.0
    assert limiter.rate is None


def test_headers_teach_limits_but_do_not_override_the_callers() -> None:
    limiter = Limiter(tpm=60_000)
    limiter.accepted(0.0, {"x-ratelimit-limit-requests": "120", "x-ratelimit-limit-tokens": "6"})
    assert limiter.rate == 2.0
    assert limiter.acquire(0.0, 900) == 0.0


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
                "x-ratelimit-limit-tokens",
            ]
        ),
        st.text(max_size=6),
    )
)
def test_no_header_confuses_it(headers: dict[str, str]) -> None:
    limiter = Limiter()
    limiter.accepted(0.0, headers)
    limiter.rejected(0.0, None, headers)
    assert limiter.acquire(0.0) >= 0.0


def test_durations_are_read_as_openai_writes_them() -> None:
    assert [seconds_of(text) for text in ("6m0s", "20ms", "1h2m3.5s", "7", "soon", "")] == [
        360,
        0.02,
        3723.5,
        7,
        None,
        None,
    ]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "429", "ask"]), st.floats(0, 3), st.none() | st.floats(0, 100)), max_size=80
    )
)
def test_it_never_says_wait_for_ever(events: list[tuple[str, float, float | None]]) -> None:
    limiter, now = Limiter(), 0.0
    for kind, step, after in events:
        now += step
        if kind == "ok":
            limiter.accepted(now, NOTHING)
        elif kind == "429":
            limiter.rejected(now, after, NOTHING)
        assert 0.0 <= limiter.acquire(now) <= 200.0
