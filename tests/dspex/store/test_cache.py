from __future__ import annotations

import itertools
import threading

import pytest
from sqlalchemy import text

from dspex.store import CachePut, Store, StoreValueError


def test_what_was_put_is_got_and_may_be_replaced(store: Store) -> None:
    assert store.cache.get("k") is None
    assert store.cache.put("k", b"\0\xff one")
    assert store.cache.get("k") == b"\0\xff one"
    assert store.cache.put("k", b"two")
    assert store.cache.get("k") == b"two"
    assert store.cache.put("empty", b"")
    assert store.cache.get("empty") == b""


def test_an_entry_is_gone_when_its_time_is_up(store: Store, clock) -> None:
    store.cache.put("short", b"x", ttl=10)
    store.cache.put("long", b"x")
    clock.now += 9.9
    assert store.cache.get("short") == b"x"
    clock.now += 0.1
    assert store.cache.get("short") is None
    assert store.cache.get("long") == b"x"
    assert store.cache.stats().entries == 2
    assert store.cache.evict() == 1
    assert store.cache.stats().entries == 1
    assert store.cache.stats().expired == 1


def test_the_caches_own_time_to_live_is_the_default(url: str, clock, open_store) -> None:
    store = open_store(url, clock=clock, cache_ttl=5)
    store.cache.put("k", b"x")
    store.cache.put("longer", b"x", ttl=50)
    clock.now += 5
    assert store.cache.get("k") is None
    assert store.cache.get("longer") == b"x"


def test_the_sum_of_payloads_stays_within_its_bound_and_the_least_recently_used_goes(url, clock, open_store) -> None:
    store = open_store(url, clock=clock, cache_bytes=1000)
    for number in range(10):
        clock.now += 1
        store.cache.put(f"k{number}", b"x" * 100)
    clock.now += 1
    assert store.cache.get("k0") is not None  # used last, though put first
    clock.now += 1
    store.cache.put("k10", b"x" * 100)
    stats = store.cache.stats()
    assert stats.bytes <= 1000
    assert stats.evicted == 2
    assert [number for number in range(11) if store.cache.get(f"k{number}") is None] == [1, 2]


def test_the_bound_holds_after_every_put_even_when_entries_are_replaced(url, clock, open_store) -> None:
    store = open_store(url, clock=clock, cache_bytes=2000)
    for number in range(60):
        clock.now += 1
        store.cache.put(f"k{number % 7}", b"x" * (number * 37 % 900))
        assert store.cache.stats().bytes <= 2000
        assert store.cache.get(f"k{number % 7}") is not None  # what was just put is never what goes


def test_the_bound_holds_to_the_byte_for_small_entries_too(url, clock, open_store) -> None:
    store = open_store(url, clock=clock, cache_bytes=1000)
    store.cache.put("large", bytes(980))
    for key in ("a", "b"):
        clock.now += 1
        store.cache.put(key, bytes(15))
    assert store.cache.stats().bytes <= 1000
    assert store.cache.get("b") is not None


def test_an_entry_that_fills_the_cache_alone_is_kept(url, clock, open_store) -> None:
    store = open_store(url, clock=clock, cache_bytes=1000)
    store.cache.put("a", bytes(500))
    clock.now += 1
    store.cache.put("b", bytes(1000))
    assert store.cache.get("b") == bytes(1000)
    assert store.cache.get("a") is None


def test_a_payload_larger_than_the_bound_is_refused(url, open_store) -> None:
    store = open_store(url, cache_bytes=10)
    assert not store.cache.put("big", b"x" * 11)
    assert store.cache.put_many([CachePut("a", b"x"), CachePut("big", b"x" * 11)]) == [True, False]
    assert store.cache.stats().refused == 2
    assert store.cache.get("big") is None


def test_a_damaged_entry_is_dropped_and_counted(store: Store) -> None:
    store.cache.put("k", b"right")
    store.database.write(lambda c: c.execute(text("UPDATE dspex_cache SET payload = :p"), {"p": b"wrong"}))
    assert store.cache.get("k") is None
    stats = store.cache.stats()
    assert (stats.corrupt, stats.misses, stats.hits, stats.entries) == (1, 1, 0, 0)


def test_a_reader_can_report_an_entry_it_cannot_make_sense_of(store: Store) -> None:
    store.cache.put("k", b"not JSON")
    assert store.cache.discard("k", corrupt=True)
    assert not store.cache.discard("k")
    assert store.cache.stats().corrupt == 1


def test_hits_are_written_down_when_the_cache_is_tidied(store: Store, clock) -> None:
    store.cache.put("k", b"x")
    for _ in range(3):
        clock.now += 1
        store.cache.get("k")
    store.cache.evict()
    row = store.database.read(lambda c: c.execute(text("SELECT hits, used FROM dspex_cache")).one())
    assert tuple(row) == (3, clock.now)
    assert store.cache.stats().hits == 3


def test_the_last_put_of_a_batch_wins(store: Store) -> None:
    store.cache.put_many([CachePut("k", b"one"), CachePut("k", b"two")])
    assert store.cache.get("k") == b"two"


def test_clear_removes_everything(store: Store) -> None:
    store.cache.put_many([CachePut(f"k{number}", b"x") for number in range(3)])
    assert store.cache.clear() == 3
    assert store.cache.get("k0") is None


def test_a_payload_with_a_concealed_secret_is_refused(store: Store) -> None:
    store.conceal("my-secret-key")
    assert not store.cache.put("k", b'{"echo": "my-secret-key"}')
    assert store.cache.get("k") is None


def test_a_key_must_be_one(store: Store) -> None:
    with pytest.raises(StoreValueError, match="cache key"):
        store.cache.put("", b"x")


def test_threads_that_put_the_same_keys_in_any_order_do_not_lock_each_other_out(url, open_store) -> None:
    store = open_store(url, cache_bytes=3000)
    orders = list(itertools.permutations(f"k{number}" for number in range(4)))
    errors: list[Exception] = []

    def work(offset: int) -> None:
        try:
            for order in orders[offset::4]:
                store.cache.put_many([CachePut(key, bytes(500)) for key in (*order, f"own{offset}")])
                store.cache.get(order[0])
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.cache.stats().bytes <= 3000
