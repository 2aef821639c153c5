"""Evaluations, parameters, usage, crashes, dead letters, quarantine, events."""

from __future__ import annotations

import threading

import pytest

from dspex.store import CrashRecord, DeadLetter, Evaluation, Store, StoredEvent, StoreValueError, UsageRecord

# -- evaluations ---------------------------------------------------------------------------------------


def test_a_score_is_final_and_a_failure_is_not(store: Store) -> None:
    store.evaluations.record(Evaluation("r", "c", "e", failure={"kind": "timeout"}))
    store.evaluations.record(Evaluation("r", "c", "e", failure={"kind": "outage"}))
    assert store.evaluations.get("r", "c", "e").failure == {"kind": "outage"}
    assert store.evaluations.count("r") == (0, 1)
    store.evaluations.record(Evaluation("r", "c", "e", score=0.5, prediction={"answer": "x"}, usage={"m": 1}))
    for later in (Evaluation("r", "c", "e", score=0.9), Evaluation("r", "c", "e", failure={"kind": "late"})):
        store.evaluations.record(later)
    found = store.evaluations.get("r", "c", "e")
    assert (found.score, found.prediction, found.usage, found.failure) == (0.5, {"answer": "x"}, {"m": 1}, None)
    assert store.evaluations.count("r") == (1, 0)


def test_a_result_has_a_score_or_a_failure(store: Store) -> None:
    with pytest.raises(StoreValueError, match="not both"):
        store.evaluations.record(Evaluation("r", "c", "e", score=1.0, failure={}))


def test_a_score_that_is_no_number_reads_back_as_none_on_every_database(store: Store) -> None:
    store.evaluations.record(Evaluation("r", "c", "e", score=float("nan")))
    assert store.evaluations.get("r", "c", "e").score is None


def test_results_are_read_in_order_page_by_page(store: Store) -> None:
    wanted = [(f"c{candidate}", f"e{example:04}") for candidate in range(3) for example in range(350)]
    store.evaluations.record_many([Evaluation("r", c, e, score=1.0) for c, e in reversed(wanted)])
    store.evaluations.record(Evaluation("other", "c0", "e0000", score=1.0))
    assert [(found.candidate, found.example) for found in store.evaluations.read("r")] == wanted
    assert [found.example for found in store.evaluations.read("r", candidate="c1")] == [
        e for c, e in wanted if c == "c1"
    ]
    assert store.evaluations.get("r", "c9", "e") is None


# -- parameters ----------------------------------------------------------------------------------------


def test_parameters_get_a_version_when_they_change(store: Store) -> None:
    assert store.parameters.load("rag") is None
    assert store.parameters.save("rag", {"demos": []}).version == 1
    assert store.parameters.save("rag", {"demos": []}).version == 1
    assert store.parameters.save("rag", {"demos": [1]}).version == 2
    assert store.parameters.save("rag", {"demos": []}).version == 3
    assert store.parameters.load("rag").state == {"demos": []}
    assert store.parameters.load("rag", 2).state == {"demos": [1]}
    assert store.parameters.load("rag", 9) is None
    assert [version for version, _ in store.parameters.versions("rag")] == [1, 2, 3]


def test_a_tree_of_parameters_is_loaded_newest_versions_only(store: Store) -> None:
    for path in ("rag", "rag/generate", "rag/retrieve", "rag2", "ra%/x", "qa"):
        store.parameters.save(path, {"of": path, "version": 1})
    store.parameters.save("rag/generate", {"of": "rag/generate", "version": 2})
    tree = store.parameters.load_tree("rag")
    assert {path: found.state["version"] for path, found in tree.items()} == {
        "rag": 1,
        "rag/generate": 2,
        "rag/retrieve": 1,
    }
    assert list(store.parameters.load_tree("ra%")) == ["ra%/x"]


def test_old_versions_are_forgotten_and_the_newest_never(store: Store) -> None:
    for number in range(5):
        store.parameters.save("rag", number)
    store.parameters.save("qa", 0)
    assert store.parameters.forget("rag", keep=2) == 3
    assert [version for version, _ in store.parameters.versions("rag")] == [4, 5]
    assert store.parameters.save("rag", "next").version == 6
    assert len(store.parameters.versions("qa")) == 1
    with pytest.raises(StoreValueError):
        store.parameters.forget("rag", keep=0)


def test_parameters_lose_the_secrets_of_their_lm_and_nothing_else(store: Store) -> None:
    state = {"lm": {"api_key": "sk-secret", "model": "m"}, "demos": [{"password": "a demo's field"}]}
    stored = store.parameters.save("rag", state).state
    assert stored == {"lm": {"api_key": "[redacted]", "model": "m"}, "demos": [{"password": "a demo's field"}]}


def test_threads_that_save_at_once_get_versions_of_their_own(store: Store) -> None:
    def save(number: int) -> None:
        store.parameters.save("rag", number)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version for version, _ in store.parameters.versions("rag")] == list(range(1, 9))


# -- usage ---------------------------------------------------------------------------------------------


def test_usage_is_summed_by_what_is_asked_for(store: Store, clock) -> None:
    store.usage.record_many(
        [
            UsageRecord("a", program="p", run_id="r", prompt_tokens=10, total_tokens=12, usd=0.5),
            UsageRecord("a", program="q", run_id="r", prompt_tokens=1, total_tokens=1, usd=None, requests=2),
            UsageRecord("b", program="p", prompt_tokens=5, total_tokens=5, usd=None, time=clock.now + 100),
        ]
    )
    (total,) = store.usage.totals()
    assert (total.group, total.requests, total.prompt_tokens, total.total_tokens) == ((), 4, 16, 18)
    assert (total.usd, total.unpriced) == (0.5, 3)
    by_model = {total.group: total for total in store.usage.totals(["model"])}
    assert by_model[("a",)].usd == 0.5
    assert by_model[("b",)].usd is None  # an unknown price is not 0
    assert [total.group for total in store.usage.totals(["run_id", "program"])] == [(None, "p"), ("r", "p"), ("r", "q")]
    assert store.usage.totals(run_id="r")[0].requests == 3
    assert store.usage.totals(program="q")[0].requests == 2
    assert store.usage.totals(since=clock.now + 1)[0].requests == 1
    assert store.usage.totals(until=clock.now + 1)[0].requests == 3
    (nothing,) = store.usage.totals(run_id="none")
    assert (nothing.requests, nothing.usd, nothing.unpriced) == (0, None, 0)


def test_the_same_usage_record_twice_is_counted_once(store: Store) -> None:
    record = UsageRecord("a", prompt_tokens=3)
    store.usage.record(record)
    store.usage.record_many([record, record])
    assert store.usage.totals()[0].prompt_tokens == 3


# -- crashes -------------------------------------------------------------------------------------------


def test_equal_crashes_are_counted_and_the_newest_is_shown(store: Store, clock) -> None:
    store.crashes.record(CrashRecord("rag/worker-1", "f1", "ValueError", "first", "old"))
    clock.now += 1
    store.crashes.record_many([CrashRecord("rag/worker-1", "f1", "ValueError", "second", "new")] * 2)
    clock.now += 1
    store.crashes.record(CrashRecord("rag/worker-2", "f1", "ValueError", "third", "newest"))
    store.crashes.record(CrashRecord("qa", "f2", "KeyError", last_seen=clock.now - 50, first_seen=clock.now - 60))
    first = next(crash for crash in store.crashes.list() if crash.path == "rag/worker-1")
    assert (first.count, first.message, first.traceback) == (3, "second", "new")
    assert (first.first_seen, first.last_seen) == (clock.now - 2, clock.now - 1)
    groups = store.crashes.groups()
    assert [(group.fingerprint, group.count, group.paths) for group in groups] == [
        ("f1", 4, ("rag/worker-1", "rag/worker-2")),
        ("f2", 1, ("qa",)),
    ]
    assert groups[0].message == "third"
    assert [crash.path for crash in store.crashes.list(since=clock.now)] == ["rag/worker-2"]
    assert len(store.crashes.list(limit=2)) == 2


def test_a_crash_may_say_anything_but_a_key(store: Store) -> None:
    text = "NUL \0, surrogate \udc80, Authorization: Bearer abcdef123456, sk-abcdefghijklmnop, postgresql://u:pw@h/d"
    store.crashes.record(CrashRecord("p", "f", "E", text, "x" * 70_000 + "the end"))
    (crash,) = store.crashes.list()
    assert crash.message.startswith("NUL \\x00, surrogate \\udc80, ")
    for secret in ("abcdef123456", "sk-abcdefghijklmnop", "u:pw"):
        assert secret not in crash.message
    assert crash.traceback.endswith("the end")
    assert len(crash.traceback) == 64_000


# -- dead letters and quarantine -----------------------------------------------------------------------


def test_dead_letters_wait_until_they_are_moved_and_are_moved_once(store: Store, clock) -> None:
    letter = store.dead_letters.add(DeadLetter("message", "rag/worker", {"question": "?"}, "no such actor"))
    assert store.dead_letters.list() == [letter]
    assert store.dead_letters.count() == 1
    clock.now += 1
    assert store.dead_letters.move(letter.id, "waiting", attempted=True, reason="still nobody")
    moved = store.dead_letters.get(letter.id)
    assert (moved.state, moved.attempts, moved.reason, moved.updated) == ("waiting", 1, "still nobody", clock.now)
    assert store.dead_letters.move(letter.id, "replayed", attempted=True)
    assert not store.dead_letters.move(letter.id, "dropped")
    assert store.dead_letters.list() == []
    assert [(found.state, found.attempts) for found in store.dead_letters.list(state=None)] == [("replayed", 2)]
    assert store.dead_letters.get("none") is None


def test_dead_letters_are_listed_oldest_first_and_by_kind(store: Store, clock) -> None:
    for number in range(3):
        clock.now += 1
        store.dead_letters.add(DeadLetter("ab"[number % 2], "t", number))
    assert [letter.payload for letter in store.dead_letters.list()] == [0, 1, 2]
    assert [letter.payload for letter in store.dead_letters.list(kind="a")] == [0, 2]
    assert [letter.payload for letter in store.dead_letters.list(limit=1)] == [0]


def test_an_input_is_quarantined_when_it_has_killed_often_enough(store: Store, clock) -> None:
    first = store.quarantine.strike("rag", "k", {"q": 1}, after=3, reason="SIGSEGV")
    assert (first.state, first.kills, first.first_seen) == ("watched", 1, clock.now)
    clock.now += 1
    assert store.quarantine.strike("rag", "k", {"q": 1}, after=3).state == "watched"
    third = store.quarantine.strike("rag", "k", {"q": 1}, after=3, reason="SIGABRT", fingerprint="f")
    assert (third.state, third.kills, third.reason, third.fingerprint) == ("quarantined", 3, "SIGABRT", "f")
    assert third.first_seen == first.first_seen
    assert store.quarantine.list() == [third]
    assert store.quarantine.get("rag", "k") == third
    assert store.quarantine.get("qa", "k") is None
    assert store.quarantine.strike("rag", "k", {}, after=99).state == "quarantined"


def test_a_released_input_starts_from_zero_and_a_dropped_one_is_forgotten(store: Store) -> None:
    assert store.quarantine.strike("rag", "k", {}, after=1).state == "quarantined"
    assert store.quarantine.release("rag", "k")
    assert store.quarantine.get("rag", "k").state == "released"
    assert store.quarantine.list() == []
    assert store.quarantine.strike("rag", "k", {}, after=2).state == "watched"
    assert store.quarantine.drop("rag", "k")
    assert not store.quarantine.drop("rag", "k")
    assert not store.quarantine.release("rag", "k")
    assert store.quarantine.list(state=None) == []


def test_strikes_from_many_threads_are_all_counted(store: Store) -> None:
    threads = [
        threading.Thread(target=store.quarantine.strike, args=("p", "k", {}), kwargs={"after": 100}) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.quarantine.get("p", "k").kills == 8


# -- events --------------------------------------------------------------------------------------------


def test_events_are_listed_by_topic_and_time(store: Store, clock) -> None:
    for topic in ("lm.request.stop", "lm", "lmx", "eval.progress"):
        clock.now += 1
        store.events.record(StoredEvent(topic, {"seconds": 0.5}, {"api_key": "x", "path": "p"}))
    assert [event.topic for event in store.events.list()] == ["lm.request.stop", "lm", "lmx", "eval.progress"]
    found = store.events.list(topic="lm")
    assert [event.topic for event in found] == ["lm.request.stop", "lm"]
    assert found[0].metadata == {"api_key": "[redacted]", "path": "p"}
    assert [event.topic for event in store.events.list(limit=1)] == ["eval.progress"]
    assert [event.topic for event in store.events.list(since=clock.now)] == ["eval.progress"]
    assert [event.topic for event in store.events.list(until=clock.now - 2)] == ["lm.request.stop"]
