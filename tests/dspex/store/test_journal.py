from __future__ import annotations

import threading

import pytest

from dspex.store import JournalAppend, NewRun, Owner, RunLostError, RunNotFoundError, Store, StoreValueError


@pytest.fixture(autouse=True)
def _runs(store: Store) -> None:
    store.runs.create(NewRun("r1", "optimize", "p"))
    store.runs.create(NewRun("r2", "optimize", "p"))


def test_steps_are_numbered_from_one_without_gaps_in_each_run(store: Store) -> None:
    store.journal.append("r1", "propose", "a", {"x": 1})
    store.journal.append("r2", "propose", "a")
    store.journal.append("r1", "choose", "b", [1, 2])
    assert [(step.seq, step.key, step.payload) for step in store.journal.read("r1")] == [
        (1, "a", {"x": 1}),
        (2, "b", [1, 2]),
    ]
    assert [step.seq for step in store.journal.read("r2")] == [1]
    assert store.journal.length("r1") == 2


def test_a_step_appended_again_stays_as_it_was(store: Store, clock) -> None:
    first = store.journal.append("r1", "choose", "a", {"winner": 3})
    clock.now += 10
    again = store.journal.append("r1", "choose", "a", {"winner": 4})
    assert first.new
    assert not again.new
    assert again.payload == {"winner": 3}
    assert (again.seq, again.created) == (first.seq, first.created)
    assert store.journal.length("r1") == 1


def test_a_batch_is_written_in_order_with_known_steps_left_out(store: Store) -> None:
    store.journal.append("r1", "k", "b", "old")
    entries = store.journal.append_many([JournalAppend("r1", "k", key, key) for key in ["a", "b", "c", "a"]])
    assert [(entry.key, entry.seq, entry.payload, entry.new) for entry in entries] == [
        ("a", 2, "a", True),
        ("b", 1, "old", False),
        ("c", 3, "c", True),
        ("a", 2, "a", False),
    ]


def test_a_batch_may_belong_to_several_runs_and_keeps_the_callers_order(store: Store) -> None:
    entries = store.journal.append_many([JournalAppend(run, "k", key) for key in "ab" for run in ("r2", "r1")])
    assert [(entry.run_id, entry.key, entry.seq) for entry in entries] == [
        ("r2", "a", 1),
        ("r1", "a", 1),
        ("r2", "b", 2),
        ("r1", "b", 2),
    ]


def test_a_batch_is_written_wholly_or_not_at_all(store: Store) -> None:
    with pytest.raises(RunNotFoundError) as caught:
        store.journal.append_many([JournalAppend("r1", "k", "a"), JournalAppend("zz", "k", "a")])
    assert caught.value.run_id == "zz"
    assert store.journal.length("r1") == 0


def test_a_payload_that_is_not_json_is_refused_by_name(store: Store) -> None:
    with pytest.raises(StoreValueError, match=r"step 'a' cannot be stored as JSON.*object is no JSON value"):
        store.journal.append("r1", "k", "a", object())
    assert store.journal.length("r1") == 0


@pytest.mark.parametrize("key", ["", "x" * 801, "a\0b", "\ud800"])
def test_a_key_that_no_database_could_index_is_refused(store: Store, key: str) -> None:
    with pytest.raises(StoreValueError, match="journal key"):
        store.journal.append("r1", "k", key)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "",
        "\0 \ud800 \U0001f600 'quote\" \\",
        {"nested": [1.5, True, None, {"deep": []}]},
        2**80,
        1e-320,
        "%s %(x)s :x",
    ],
)
def test_any_json_value_reads_back_equal(store: Store, payload: object) -> None:
    store.journal.append("r1", "k", "a", payload)
    assert store.journal.get("r1", "a").payload == payload
    assert next(store.journal.read("r1")).payload == payload


def test_a_long_journal_is_read_in_pages_from_anywhere(store: Store) -> None:
    store.journal.append_many([JournalAppend("r1", f"k{n % 2}", f"s{n}", n) for n in range(1201)])
    assert [step.payload for step in store.journal.read("r1")] == list(range(1201))
    assert [step.payload for step in store.journal.read("r1", after=1199)] == [1199, 1200]
    assert [step.payload for step in store.journal.read("r1", kind="k1")] == list(range(1, 1201, 2))
    assert store.journal.get("r1", "s777").seq == 778
    assert store.journal.get("r1", "nope") is None


def test_threads_that_append_at_once_lose_nothing_and_leave_no_gap(store: Store) -> None:
    def work(name: str) -> None:
        for number in range(20):
            store.journal.append("r1", "k", f"{name}{number}")
            store.journal.append("r1", "k", f"shared{number}", name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps = list(store.journal.read("r1"))
    assert [step.seq for step in steps] == list(range(1, 101))
    assert len({step.key for step in steps}) == 100


def test_a_runs_own_journal_is_replayed_in_the_order_of_first_appends(store: Store, clock) -> None:
    old, new = Owner("elsewhere", 1, token="old"), Owner("elsewhere", 2, token="new")
    store.runs.claim("r1", old, lease=1)
    journal = store.journal.of("r1", owner=old)
    for key, payload in (("b", 1), ("a", 2), ("b", 3)):
        journal.append("k", key, payload)
    assert [(step.kind, step.key, step.payload) for step in journal.replay()] == [("k", "b", 1), ("k", "a", 2)]
    clock.now += 1
    store.runs.claim("r1", new)
    with pytest.raises(RunLostError):
        journal.append("k", "c", 4)
    store.journal.of("r1", owner=new).append("k", "c", 5)
    assert [step.payload for step in journal.replay()] == [1, 2, 5]
