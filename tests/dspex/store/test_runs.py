from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from dspex.store import (
    NewRun,
    Owner,
    RunExistsError,
    RunLostError,
    RunNotFoundError,
    RunOwnedError,
    Store,
    StoreValueError,
)

RUN = NewRun("r1", "optimize", "rag", {"width": 4, "nested": {"a": [1, None]}}, seed=7, data_hashes={"trainset": "ab"})


def elsewhere(token: str = "t1") -> Owner:
    return Owner(host="another-host", pid=1, started=1, token=token)


def test_a_created_run_reads_back_as_it_was_given(store: Store, clock) -> None:
    created = store.runs.create(RUN)
    assert created == store.runs.get("r1")
    assert created.config == RUN.config
    assert created.seed == 7
    assert created.data_hashes == {"trainset": "ab"}
    assert (created.status, created.owner, created.created) == ("created", None, clock.now)
    assert (created.best_score, created.cost, created.tokens) == (None, None, 0)
    assert store.runs.get("other") is None


def test_creating_the_same_run_again_finds_it(store: Store) -> None:
    first = store.runs.create(RUN)
    same = replace(RUN, config={"nested": {"a": [1, None]}, "width": 4})
    assert store.runs.create(same) == first


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 8}, "seed"),
        ({"config": {}}, "config"),
        ({"data_hashes": {"trainset": "cd"}}, "data_hashes"),
        ({"program": "qa"}, "program"),
        ({"kind": "evaluate"}, "kind"),
    ],
)
def test_one_id_never_stands_for_two_works(store: Store, change: dict, name: str) -> None:
    first = store.runs.create(RUN)
    with pytest.raises(RunExistsError, match=name) as caught:
        store.runs.create(replace(RUN, **change))
    assert caught.value.differs == (name,)
    assert store.runs.get("r1") == first


def test_a_secret_in_the_configuration_is_not_stored(store: Store) -> None:
    run = store.runs.create(replace(RUN, config={"lm": {"api_key": "sk-1", "model": "m", "max_tokens": 5}}))
    assert run.config == {"lm": {"api_key": "[redacted]", "model": "m", "max_tokens": 5}}


def test_runs_are_listed_newest_first_and_filtered(store: Store, clock) -> None:
    for number, kind in enumerate(["optimize", "evaluate", "optimize"]):
        clock.now += 1
        store.runs.create(NewRun(f"r{number}", kind, f"p{number}"))
    store.runs.update("r0", status="done")
    assert [run.id for run in store.runs.list()] == ["r2", "r1", "r0"]
    assert [run.id for run in store.runs.list(kind="optimize")] == ["r2", "r0"]
    assert [run.id for run in store.runs.list(status="done")] == ["r0"]
    assert [run.id for run in store.runs.list(program="p1")] == ["r1"]
    assert [run.id for run in store.runs.list(limit=1)] == ["r2"]


def test_an_update_changes_what_is_given_and_nothing_else(store: Store, clock) -> None:
    store.runs.create(RUN)
    store.runs.update("r1", best_score=0.5, tokens=10)
    clock.now += 5
    run = store.runs.update("r1", cost=0.25, summary={"trial": 3})
    assert (run.best_score, run.cost, run.tokens, run.summary) == (0.5, 0.25, 10, {"trial": 3})
    assert run.updated == clock.now
    assert run.status == "created"
    with pytest.raises(RunNotFoundError):
        store.runs.update("nope", tokens=1)


def test_a_claimed_run_belongs_to_its_owner_until_the_lease_ends(store: Store, clock) -> None:
    store.runs.create(RUN)
    first, second = elsewhere("t1"), elsewhere("t2")
    assert store.runs.claim("r1", first, lease=30).owner == first
    assert store.runs.claim("r1", first, lease=30).status == "running"
    clock.now += 29.9
    with pytest.raises(RunOwnedError, match="process 1 on another-host") as caught:
        store.runs.claim("r1", second)
    assert caught.value.owner == first
    clock.now += 0.1
    assert [run.id for run in store.runs.orphans()] == ["r1"]
    assert store.runs.claim("r1", second).owner == second
    assert store.runs.orphans() == []


def test_a_heartbeat_extends_the_lease(store: Store, clock) -> None:
    store.runs.create(RUN)
    store.runs.claim("r1", elsewhere("t1"), lease=30)
    clock.now += 20
    store.runs.heartbeat("r1", elsewhere("t1"), lease=30)
    clock.now += 20
    with pytest.raises(RunOwnedError):
        store.runs.claim("r1", elsewhere("t2"))


def test_a_heartbeat_tells_how_far_the_run_has_come(store: Store, clock) -> None:
    store.runs.create(RUN)
    store.runs.claim("r1", elsewhere("t1"), lease=30)
    store.runs.heartbeat("r1", elsewhere("t1"), best_score=46.7, tokens=1200, cost=0.03)
    store.runs.heartbeat("r1", elsewhere("t1"), tokens=1300)
    run = store.runs.get("r1")
    assert (run.best_score, run.tokens, run.cost) == (46.7, 1300, 0.03)


def test_a_run_that_is_paused_by_its_owner_is_alive_until_the_owner_dies(store: Store, clock) -> None:
    store.runs.create(RUN)
    store.runs.claim("r1", elsewhere("t1"), lease=30)
    store.runs.heartbeat("r1", elsewhere("t1"), lease=30, status="paused")
    run = store.runs.get("r1")
    assert (run.status, store.runs.is_alive(run), store.runs.is_orphan(run)) == ("paused", True, False)
    with pytest.raises(RunOwnedError):
        store.runs.delete("r1")
    clock.now += 30
    assert (store.runs.is_alive(run), store.runs.is_orphan(run)) == (False, True)
    assert [run.id for run in store.runs.orphans()] == ["r1"]
    store.runs.claim("r1", elsewhere("t2"))
    store.runs.heartbeat("r1", elsewhere("t2"))
    assert store.runs.get("r1").status == "running"


def test_an_owner_that_was_replaced_can_neither_beat_nor_release_nor_append(store: Store, clock) -> None:
    store.runs.create(RUN)
    old, new = elsewhere("t1"), elsewhere("t2")
    store.runs.claim("r1", old, lease=1)
    store.journal.append("r1", "step", "a", owner=old)
    clock.now += 1
    store.runs.claim("r1", new)
    for refused in (
        lambda: store.runs.heartbeat("r1", old),
        lambda: store.runs.release("r1", old, "done"),
        lambda: store.journal.append("r1", "step", "b", owner=old),
    ):
        with pytest.raises(RunLostError):
            refused()
    assert store.journal.length("r1") == 1
    assert store.runs.get("r1").owner == new


def test_a_released_run_is_free(store: Store) -> None:
    store.runs.create(RUN)
    store.runs.claim("r1", elsewhere("t1"))
    run = store.runs.release("r1", elsewhere("t1"), "paused")
    assert (run.status, run.owner, run.lease_until, run.finished) == ("paused", None, None, False)
    assert store.runs.claim("r1", elsewhere("t2")).status == "running"
    with pytest.raises(StoreValueError):
        store.runs.release("r1", elsewhere("t2"), "running")
    assert store.runs.release("r1", elsewhere("t2"), "done").finished


def test_a_dead_process_of_this_machine_is_recognised_before_its_lease_ends(store: Store) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = Owner.current()
    from dspex.store._owner import process_start

    owner = Owner(host=here.host, pid=child.pid, started=process_start(child.pid))
    store.runs.create(RUN)
    store.runs.claim("r1", owner, lease=3600)
    assert store.runs.orphans() == []
    with pytest.raises(RunOwnedError):
        store.runs.claim("r1", here)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked for its status: a zombie
    assert [run.id for run in store.runs.orphans()] == ["r1"]
    child.communicate()
    assert [run.id for run in store.runs.orphans()] == ["r1"]
    assert store.runs.claim("r1", here).owner == here


def test_another_process_under_a_dead_owners_pid_is_not_the_owner(store: Store) -> None:
    here = Owner.current()
    if here.started is None:
        pytest.skip("this system does not tell when a process started")
    store.runs.create(RUN)
    store.runs.claim("r1", replace(here, started=here.started - 1, token="before"), lease=3600)
    assert store.runs.claim("r1", here).owner == here


def test_of_many_that_claim_at_once_one_gets_the_run(store: Store) -> None:
    store.runs.create(RUN)
    barrier = threading.Barrier(8)
    won: list[str] = []

    def claim(token: str) -> None:
        barrier.wait()
        try:
            won.append(store.runs.claim("r1", elsewhere(token)).owner.token)
        except RunOwnedError:
            pass

    threads = [threading.Thread(target=claim, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.runs.get("r1").owner.token == won[0]


def test_a_deleted_run_takes_its_journal_along_and_a_live_one_stays(store: Store) -> None:
    store.runs.create(RUN)
    store.journal.append("r1", "step", "a")
    store.runs.claim("r1", elsewhere("t1"))
    with pytest.raises(RunOwnedError):
        store.runs.delete("r1")
    store.runs.release("r1", elsewhere("t1"), "cancelled")
    store.runs.delete("r1")
    assert store.runs.get("r1") is None
    assert store.journal.length("r1") == 0
    with pytest.raises(RunNotFoundError):
        store.runs.delete("r1")
