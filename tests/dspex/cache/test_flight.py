"""One flight for identical calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.cache import SingleFlight


class Mine(Exception):
    """Concerns its caller alone."""


def flights() -> SingleFlight[Any]:
    return SingleFlight(lambda error: isinstance(error, Mine))


def test_many_callers_make_one_call() -> None:
    async def go() -> None:
        flight, calls = flights(), []

        async def call() -> str:
            calls.append(1)
            await asyncio.sleep(0.01)
            return "x"

        found = await asyncio.gather(*(flight.run("k", call) for _ in range(20)))
        assert sorted(found) == [("x", False)] + [("x", True)] * 19
        assert (len(calls), len(flight), flight.shared) == (1, 0, 19)
        assert await flight.run("k", call) == ("x", False)  # it remembers nothing: that is the cache's part

    asyncio.run(go())


def test_other_keys_do_not_wait() -> None:
    async def go() -> None:
        flight, never = flights(), asyncio.Event()

        async def stuck() -> str:
            await never.wait()
            return "x"

        async def quick() -> str:
            return "y"

        task = asyncio.ensure_future(flight.run("a", stuck))
        await asyncio.sleep(0)
        assert await flight.run("b", quick) == ("y", False)
        never.set()
        await task

    asyncio.run(go())


def test_an_error_of_the_call_is_everybodys_and_the_next_call_is_a_new_one() -> None:
    async def go() -> None:
        flight, calls = flights(), []

        async def call() -> str:
            calls.append(1)
            await asyncio.sleep(0.01)
            raise ValueError("down")

        found = await asyncio.gather(*(flight.run("k", call) for _ in range(5)), return_exceptions=True)
        assert [type(error) for error in found] == [ValueError] * 5
        assert len(calls) == 1
        with pytest.raises(ValueError, match="down"):
            await flight.run("k", call)
        assert len(calls) == 2

    asyncio.run(go())


@pytest.mark.parametrize("how", ["cancelled", "personal"])
def test_a_leader_that_gives_up_hands_over_to_the_next_and_only_to_one(how: str) -> None:
    async def go() -> None:
        flight, calls = flights(), []

        async def call() -> str:
            calls.append(1)
            await asyncio.sleep(0.01)
            if how == "personal" and len(calls) == 1:
                raise Mine
            return "x"

        leader, *others = [asyncio.ensure_future(flight.run("k", call)) for _ in range(6)]
        await asyncio.sleep(0.001)
        if how == "cancelled":
            leader.cancel()
        with pytest.raises((asyncio.CancelledError, Mine)):
            await leader
        assert [value for value, _ in await asyncio.gather(*others)] == ["x"] * 5
        assert len(calls) == 2

    asyncio.run(go())


def test_a_follower_that_gives_up_disturbs_nobody() -> None:
    async def go() -> None:
        flight = flights()

        async def call() -> str:
            await asyncio.sleep(0.02)
            return "x"

        tasks = [asyncio.ensure_future(flight.run("k", call)) for _ in range(4)]
        await asyncio.sleep(0.001)
        tasks[2].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(f) for f in found] == [tuple, tuple, asyncio.CancelledError, tuple]

    asyncio.run(go())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["value", "error", "mine"]), st.booleans(), st.integers(0, 3)),
        min_size=1,
        max_size=12,
    )
)
def test_nobody_is_left_waiting(callers: list[tuple[str, str, bool, int]]) -> None:
    async def go() -> None:
        flight, under_way = flights(), {"a": 0, "b": 0}

        async def one(key: str, outcome: str, steps: int) -> tuple[Any, bool]:
            async def call() -> str:
                under_way[key] += 1
                assert under_way[key] == 1, "two calls for one key at a time"
                try:
                    for _ in range(steps):
                        await asyncio.sleep(0)
                finally:
                    under_way[key] -= 1
                if outcome != "value":
                    raise Mine if outcome == "mine" else ValueError
                return key

            return await flight.run(key, call)

        tasks = []
        for key, outcome, cancel, steps in callers:
            tasks.append(asyncio.ensure_future(one(key, outcome, steps)))
            await asyncio.sleep(0)
            if cancel:
                tasks[-1].cancel()
        found = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        for (key, *_), value in zip(callers, found, strict=True):
            assert isinstance(value, BaseException) or value[0] == key
        assert len(flight) == 0

    asyncio.run(go())
