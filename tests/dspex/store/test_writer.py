from __future__ import annotations

import logging
import threading
from collections import deque

import pytest

from dspex.store import (
    CachePut,
    CrashRecord,
    DeadLetter,
    Evaluation,
    Held,
    JournalAppend,
    NewRun,
    Owner,
    Refused,
    RunLostError,
    RunNotFoundError,
    RunUpdate,
    SaveParameters,
    Store,
    StoredEvent,
    StoreValueError,
    UsageRecord,
    Writer,
    WriteRefused,
    Written,
)


def test_nothing_is_written_before_the_flush_and_all_after_it(store: Store) -> None:
    writer = Writer(store)
    outcomes: list[object] = []
    writer.put(RunUpdate("r", status="done", best_score=0.5), outcomes.append)
    writer.put(JournalAppend("r", "k", "a", 1), outcomes.append)
    writer.put(NewRun("r", "kind", "p"), outcomes.append)  # put last, yet there before its steps
    writer.put(SaveParameters("m", {"demos": []}), outcomes.append)
    writer.put(CrashRecord("p", "f", "E"))
    writer.put(UsageRecord("m"))
    writer.put(Evaluation("r", "c", "e", score=1.0))
    writer.put(DeadLetter("k", "t"))
    writer.put(CachePut("k", b"x"), outcomes.append)
    writer.put(StoredEvent("t"))
    assert store.runs.list() == []
    assert writer.pending == 10
    report = writer.flush()
    assert (report.written, report.refused, report.pending) == (10, 0, 0)
    update, step, run, parameters, cached = outcomes
    assert (run.result.status, update.result.status) == ("created", "done")
    assert (step.result.seq, step.result.new) == (1, True)
    assert parameters.result.version == 1
    assert cached == Written(True)
    assert store.runs.get("r").best_score == 0.5
    assert store.crashes.list()[0].count == 1
    assert (writer.pending, writer.pending_bytes) == (0, 0)


def test_a_record_is_taken_as_it_is_when_it_is_put(store: Store) -> None:
    payload = {"x": 1}
    writer = Writer(store)
    writer.put(NewRun("r", "k", "p"))
    writer.put(JournalAppend("r", "k", "a", payload))
    payload["x"] = 2
    writer.flush()
    assert store.journal.get("r", "a").payload == {"x": 1}


def test_what_cannot_be_encoded_is_refused_at_once(store: Store) -> None:
    writer = Writer(store)
    with pytest.raises(StoreValueError):
        writer.put(JournalAppend("r", "k", "a", object()))
    assert writer.pending == 0


def test_one_bad_record_takes_no_other_with_it(store: Store, clock) -> None:
    told: list[object] = []
    outcomes: dict[str, object] = {}
    store.runs.create(NewRun("r", "k", "p"))
    old, new = Owner("h", 1, token="old"), Owner("h", 1, token="new")
    store.runs.claim("r", old, lease=1)
    clock.now += 1
    store.runs.claim("r", new)
    writer = Writer(store, on_event=told.append)
    for name, owner in (("a", new), ("b", old), ("c", None)):
        writer.put(
            JournalAppend("r", "k", name, owner=owner), lambda outcome, name=name: outcomes.update({name: outcome})
        )
    writer.put(JournalAppend("none", "k", "d"), lambda outcome: outcomes.update(d=outcome))
    report = writer.flush()
    assert (report.written, report.refused, report.pending) == (2, 2, 0)
    assert [step.key for step in store.journal.read("r")] == ["a", "c"]
    assert isinstance(outcomes["a"], Written)
    assert isinstance(outcomes["b"], Refused)
    assert isinstance(outcomes["b"].error, RunLostError)
    assert isinstance(outcomes["d"].error, RunNotFoundError)
    assert told == [WriteRefused(outcomes["b"].error), WriteRefused(outcomes["d"].error)]
    assert writer.degraded is None


def test_an_acknowledged_step_is_on_disk_when_the_acknowledgement_comes(url: str, open_store) -> None:
    store, reader = open_store(url), open_store(url)
    store.runs.create(NewRun("r", "k", "p"))
    writer = Writer(store, batch=3)
    seen: list[bool] = []
    for number in range(10):
        writer.put(
            JournalAppend("r", "k", f"s{number}"),
            lambda outcome, key=f"s{number}": seen.append(reader.journal.get("r", key) is not None),
        )
    writer.flush()
    assert seen == [True] * 10


def test_any_thread_may_put_and_flush(store: Store) -> None:
    store.runs.create(NewRun("r", "k", "p"))
    writer = Writer(store, batch=7)
    acknowledged: deque[object] = deque()

    def work(name: str) -> None:
        for number in range(50):
            writer.put(JournalAppend("r", "k", f"{name}{number}"), acknowledged.append)
            if number % 10 == 0:
                writer.flush()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.flush()
    assert writer.pending == 0
    assert len(acknowledged) == 200
    assert not any(isinstance(outcome, Held | Refused) for outcome in acknowledged)
    steps = [step.key for step in store.journal.read("r")]
    assert len(steps) == 200
    for name in "abcd":  # what one thread put stays in its order
        assert [key for key in steps if key[0] == name] == [f"{name}{number}" for number in range(50)]


def test_without_a_listener_trouble_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(store)
    writer.put(JournalAppend("none", "k", "a"))
    with caplog.at_level(logging.WARNING, "dspex.store"):
        writer.flush()
    assert "refused a record for good: no run 'none'" in caplog.text
