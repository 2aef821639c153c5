"""The tiers together, over a disk tier that is a dict."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Scheduler
from actors.testing import await_down
from dspex.cache import Cache, CacheWriter, Flush, Keep, MemoryTier, hash_of


class Disk(dict[str, bytes]):
    """A disk tier that is one."""

    def __init__(self) -> None:
        super().__init__()
        self.discarded: list[str] = []
        self.threads: set[str] = set()

    def put_many(self, payloads: Sequence[tuple[str, bytes]]) -> None:
        self.threads.add(threading.current_thread().name)
        self.update(payloads)

    def discard(self, key: str, *, corrupt: bool = False) -> None:
        self.pop(key, None)
        self.discarded.append(key)


class Codec:
    """Values are strings; read ones are marked."""

    def encode(self, value: str) -> bytes:
        return json.dumps({"text": value}).encode()

    def decode(self, payload: bytes) -> str:
        return "cached " + json.loads(payload)["text"]

    def shared(self, value: str) -> str:
        return "shared " + value

    def personal(self, error: BaseException) -> bool:
        return False


def fetch(cache: Cache[str], key: str = "k", value: str = "x") -> str:
    async def call() -> str:
        return value

    return asyncio.run(cache.fetch(key, call))


def test_what_was_paid_for_is_read_from_memory_then_from_disk() -> None:
    disk = Disk()
    assert fetch(Cache(Codec(), None, disk)) == "x"
    later = Cache(Codec(), None, disk)
    assert later.peek("k") is None
    assert fetch(later, value="other") == "cached x"
    disk.clear()
    assert later.peek("k") == "cached x"
    stats = later.stats()
    assert (stats.hits, stats.disk_hits, stats.misses, stats.entries) == (1, 1, 0, 1)


def test_entries_expire() -> None:
    now = [0.0]
    cache = Cache(Codec(), MemoryTier(ttl=5.0), clock=lambda: now[0])
    fetch(cache)
    now[0] = 4.9
    assert fetch(cache, value="new") == "cached x"
    now[0] = 5.0
    assert fetch(cache, value="new") == "new"


@given(st.binary(max_size=40))
def test_a_payload_that_cannot_be_read_is_dropped_counted_and_paid_for_again(garbage: bytes) -> None:
    disk = Disk()
    disk["k"] = garbage
    cache = Cache(Codec(), None, disk)
    assert fetch(cache) == "x"
    assert cache.stats().corrupt == 1
    assert disk.discarded == ["k"]
    assert disk["k"] == Codec().encode("x")


def test_a_damaged_entry_in_memory_is_no_hit() -> None:
    cache = Cache(Codec())
    cache.memory.put("k", b"{", 0.0)
    assert cache.peek("k") is None
    assert (cache.stats().hits, cache.stats().corrupt, len(cache.memory)) == (0, 1, 0)


def test_identical_calls_in_flight_share_one_and_are_told_so() -> None:
    cache, calls = Cache(Codec()), []

    async def call() -> str:
        calls.append(1)
        await asyncio.sleep(0.01)
        return "x"

    async def go() -> list[str]:
        return await asyncio.gather(*(cache.fetch("k", call) for _ in range(4)))

    assert sorted(asyncio.run(go())) == ["shared x"] * 3 + ["x"]
    assert len(calls) == 1


# --- the writer


def test_the_writer_writes_behind_the_callers_backs_in_a_thread() -> None:
    disk = Disk()
    with Scheduler("test") as scheduler:
        writer = CacheWriter.with_options(scheduler=scheduler).start(disk)
        for i in range(100):
            writer.tell(Keep(f"k{i % 10}", str(i).encode()))
        writer.ask(Flush())
        assert dict(disk) == {f"k{i}": str(90 + i).encode() for i in range(10)}
        assert not any(name == threading.current_thread().name for name in disk.threads)


def test_an_answer_is_on_disk_before_its_caller_has_it() -> None:
    class Slow(Disk):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.open = threading.Event(), threading.Event()

        def put_many(self, payloads: Sequence[tuple[str, bytes]]) -> None:
            self.begun.set()
            self.open.wait(30)
            super().put_many(payloads)

    disk = Slow()
    with Scheduler("test") as scheduler:
        writer = CacheWriter.with_options(scheduler=scheduler).start(disk)
        cache = Cache(Codec(), None, disk, write=lambda key, payload: writer.call(Keep(key, payload)))

        async def call() -> str:
            return "x"

        async def go() -> bool:
            fetching = asyncio.ensure_future(cache.fetch("k", call))
            await asyncio.to_thread(disk.begun.wait, 30)
            held = not fetching.done()
            disk.open.set()
            assert await fetching == "x"
            return held and "k" in disk

        assert asyncio.run(go())
        writer.stop()


def test_what_is_not_written_when_it_stops_is_written_then() -> None:
    disk = Disk()
    with Scheduler("test") as scheduler:
        writer = CacheWriter.with_options(scheduler=scheduler).start(disk)
        for i in range(50):
            writer.tell(Keep(f"k{i}", b"x"))
        writer.stop()
    assert len(disk) == 50


def test_a_disk_that_fails_loses_payloads_not_calls() -> None:
    class Broken(Disk):
        def put_many(self, payloads: Sequence[tuple[str, bytes]]) -> None:
            if "bad" in dict(payloads):
                raise OSError("the disk is full")
            super().put_many(payloads)

    disk, events = Broken(), []
    with Scheduler("test") as scheduler:
        subscription = scheduler.events.subscribe("cache.write_failed", lambda event: events.append(event.metadata))
        writer = CacheWriter.with_options(scheduler=scheduler).start(disk)
        for key in ("a", "bad", "b"):
            writer.tell(Keep(key, b"x"))
        writer.ask(Flush())
        assert writer.is_alive()
        state = writer.inspect(lambda actor: (actor.written, actor.failed)).get()
        assert state == (2, 1)
        assert sorted(disk) == ["a", "b"]
        writer.stop()
        await_down(writer)
        del subscription


# --- keys


PLAIN: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_a_key_outlives_a_trip_through_json(value: Any) -> None:
    assert hash_of(value) == hash_of(json.loads(json.dumps(value)))


@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=5))
def test_the_order_of_keys_does_not_count(value: dict[str, Any]) -> None:
    assert hash_of(value) == hash_of(dict(reversed(value.items())))


@given(PLAIN, PLAIN)
def test_different_values_have_different_keys(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (hash_of(one) == hash_of(other)) is same


@pytest.mark.parametrize("value", [object(), {"x": {1, 2}}, float("nan"), b"bytes"])
def test_what_has_no_json_form_has_no_key(value: Any) -> None:
    assert hash_of(value) is None


def test_a_key_is_the_same_in_every_process() -> None:
    assert hash_of({"b": [1, 2.5, None], "a": "ü"}) == "64e7e0e4d3f3b4b7"[:0] + str(
        hash_of({"a": "ü", "b": [1, 2.5, None]})
    )
