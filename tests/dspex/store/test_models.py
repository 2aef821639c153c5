"""The journal and the cache beside a model of each, through every sequence of calls that Hypothesis thinks of."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dspex.store import (
    CachePut,
    Evaluation,
    JournalAppend,
    NewRun,
    Owner,
    RunLostError,
    RunOwnedError,
    Store,
    Writer,
)

keys = st.sampled_from([f"key{number}" for number in range(6)])
runs = st.sampled_from(["r1", "r2"])
payloads = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))
LIMIT = 1000


class Stateful(RuleBasedStateMachine):
    """A store in a directory of its own, closed and opened again whenever Hypothesis likes."""

    location = ""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.directory = TemporaryDirectory() if not self.location else None
        self.url = self.location or str(Path(self.directory.name) / "store.db")  # type: ignore[union-attr]
        self.store = self.open()

    def open(self) -> Store:
        return Store.open(self.url, fsync=False, clock=lambda: self.now, cache_bytes=LIMIT)

    @initialize()
    def begin(self) -> None:
        # The schema is shared by all examples on PostgreSQL, so each begins by emptying it.
        def empty(connection) -> None:
            for table in ("runs", "journal", "evaluations", "cache"):
                connection.exec_driver_sql(f"DELETE FROM dspex_{table}")

        self.store.database.write(empty)
        for run in ("r1", "r2"):
            self.store.runs.create(NewRun(run, "k", "p"))

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.open()

    def teardown(self) -> None:
        self.store.close()
        if self.directory is not None:
            self.directory.cleanup()


class JournalMachine(Stateful):
    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, OrderedDict[str, object]] = {"r1": OrderedDict(), "r2": OrderedDict()}
        self.owners: dict[str, Owner | None] = {"r1": None, "r2": None}
        self.leases: dict[str, float] = {}
        self.scores: dict[tuple[str, str], Evaluation] = {}
        self.writer = Writer(self.store)
        self.held: list[JournalAppend] = []

    def append_model(self, run: str, key: str, payload: object) -> bool:
        new = key not in self.model[run]
        self.model[run].setdefault(key, payload)
        return new

    @rule(run=runs, key=keys, payload=payloads)
    def append(self, run: str, key: str, payload: object) -> None:
        new = self.append_model(run, key, payload)
        entry = self.store.journal.append(run, "kind", key, payload)
        assert entry.new == new
        assert entry.payload == self.model[run][key]
        assert entry.seq == list(self.model[run]).index(key) + 1

    @rule(batch=st.lists(st.tuples(runs, keys, payloads), max_size=8))
    def append_many(self, batch: list[tuple[str, str, object]]) -> None:
        expected = [self.append_model(*step) for step in batch]
        entries = self.store.journal.append_many([JournalAppend(run, "kind", key, value) for run, key, value in batch])
        assert [entry.new for entry in entries] == expected
        assert [(entry.run_id, entry.key) for entry in entries] == [(run, key) for run, key, _ in batch]

    @rule(run=runs, key=keys, payload=payloads)
    def put(self, run: str, key: str, payload: object) -> None:
        append = JournalAppend(run, "kind", key, payload)
        self.writer.put(append)
        self.held.append(append)

    @rule()
    def flush(self) -> None:
        self.writer.flush()
        for append in self.held:
            self.append_model(append.run_id, append.key, append.payload)
        self.held.clear()

    @rule()
    def restart(self) -> None:
        self.flush()
        super().restart()
        self.writer = Writer(self.store)

    @rule(run=runs, who=st.sampled_from(["x", "y"]), seconds=st.sampled_from([1.0, 10.0]))
    def claim(self, run: str, who: str, seconds: float) -> None:
        owner = Owner("elsewhere", 1, 1, who)
        held_by = self.owners[run]
        free = held_by is None or held_by == owner or self.leases[run] <= self.now
        try:
            self.store.runs.claim(run, owner, lease=seconds)
            assert free
            self.owners[run], self.leases[run] = owner, self.now + seconds
        except RunOwnedError:
            assert not free

    @rule(run=runs, who=st.sampled_from(["x", "y"]), key=keys)
    def append_as(self, run: str, who: str, key: str) -> None:
        owner = Owner("elsewhere", 1, 1, who)
        try:
            self.store.journal.append(run, "kind", key, who, owner=owner)
            assert self.owners[run] == owner
            self.append_model(run, key, who)
        except RunLostError:
            assert self.owners[run] != owner

    @rule(seconds=st.sampled_from([0.5, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(run=runs, example=keys, score=st.none() | st.sampled_from([0.0, 1.0]))
    def evaluate(self, run: str, example: str, score: float | None) -> None:
        failure = {"kind": "timeout", "at": self.now} if score is None else None
        result = Evaluation(run, "c", example, score=score, failure=failure, created=self.now)
        self.store.evaluations.record(result)
        known = self.scores.get((run, example))
        if known is None or known.failure is not None:
            self.scores[run, example] = result

    @invariant()
    def the_journal_is_the_model(self) -> None:
        for run, steps in self.model.items():
            found = [(step.seq, step.key, step.payload) for step in self.store.journal.read(run)]
            assert found == [(seq, key, value) for seq, (key, value) in enumerate(steps.items(), 1)]

    @invariant()
    def the_results_are_the_model(self) -> None:
        found = {
            (result.run_id, result.example): result
            for run in ("r1", "r2")
            for result in self.store.evaluations.read(run)
        }
        assert found == self.scores


class CacheMachine(Stateful):
    """What is in the model may be evicted; what is got must be what was put last, and not too old."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, tuple[bytes, float | None]] = {}
        self.newest: str | None = None

    @rule(key=keys, size=st.integers(0, LIMIT), ttl=st.none() | st.sampled_from([1.0, 10.0]))
    def put(self, key: str, size: int, ttl: float | None) -> None:
        self.now += 0.001
        payload = json.dumps([key, self.now]).encode().ljust(size)
        assert self.store.cache.put(key, payload, ttl=ttl)
        self.model[key] = (payload, None if ttl is None else self.now + ttl)
        self.newest = key

    @rule(batch=st.lists(st.tuples(keys, st.integers(0, 1200)), max_size=5))
    def put_many(self, batch: list[tuple[str, int]]) -> None:
        self.now += 0.001
        puts = [CachePut(key, bytes(size)) for key, size in batch]
        assert self.store.cache.put_many(puts) == [size <= LIMIT for _, size in batch]
        for key, size in batch:
            if size <= LIMIT:
                self.model[key] = (bytes(size), None)
        self.newest = None

    @rule(key=keys)
    def get(self, key: str) -> None:
        self.now += 0.001
        found = self.store.cache.get(key)
        payload, expires = self.model.get(key, (None, None))
        if found is not None:
            assert found == payload
            assert expires is None or expires > self.now
        elif key == self.newest and payload is not None:
            assert expires is not None
            assert expires <= self.now

    @rule(key=keys)
    def discard(self, key: str) -> None:
        self.store.cache.discard(key)
        self.model.pop(key, None)

    @rule()
    def clear(self) -> None:
        self.store.cache.clear()
        self.model.clear()

    @rule()
    def evict(self) -> None:
        self.store.cache.evict()

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def the_bound_holds(self) -> None:
        stats = self.store.cache.stats()
        assert stats.bytes <= LIMIT
        assert stats.entries <= len(self.model)


def run(machine: type[Stateful], url: str, examples: int) -> None:
    located = type(machine.__name__, (machine,), {"location": url})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]
    run_state_machine_as_test(
        located,
        settings=settings(max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=checks),
    )


def test_the_journal_behaves_as_its_model_on_sqlite() -> None:
    run(JournalMachine, "", 25)


def test_the_cache_behaves_as_its_model_on_sqlite() -> None:
    run(CacheMachine, "", 25)


@pytest.mark.postgres
def test_the_journal_behaves_as_its_model_on_postgresql(postgres_url: str) -> None:
    run(JournalMachine, postgres_url, 6)


@pytest.mark.postgres
def test_the_cache_behaves_as_its_model_on_postgresql(postgres_url: str) -> None:
    run(CacheMachine, postgres_url, 6)
