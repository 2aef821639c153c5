from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path

import pytest

from dspex.store import (
    CachePut,
    CrashRecord,
    DeadLetter,
    Evaluation,
    JournalAppend,
    NewRun,
    Store,
    StoredEvent,
    StoreValueError,
    UsageRecord,
)

DAY = 86400.0


def fill(store: Store, name: str) -> None:
    """One row of each kind, under `name`."""
    store.runs.create(NewRun(name, "optimize", "p", {"of": name}))
    store.journal.append(name, "k", "a", {"x": [1, None]})
    store.evaluations.record(Evaluation(name, "c", "e", score=1.0, prediction={"answer": "ü"}))
    store.parameters.save("module", name)
    store.cache.put(name, b"\xff\0 not text")
    store.usage.record(UsageRecord("m", run_id=name))
    store.crashes.record(CrashRecord(name, "f", "E"))
    letter = store.dead_letters.add(DeadLetter("k", name))
    store.dead_letters.move(letter.id, "dropped")
    store.quarantine.strike("p", name, {}, after=2)
    store.events.record(StoredEvent(name))


def rows(store: Store) -> dict[str, int]:
    return {name: count for name, count in store.size().rows.items() if name != "schema"}


def test_the_size_counts_every_table(store: Store) -> None:
    fill(store, "r")
    assert set(rows(store).values()) == {1}
    assert store.size().bytes > 10_000


def test_a_vacuum_gives_space_back(store: Store) -> None:
    store.runs.create(NewRun("r", "k", "p"))
    store.journal.append_many([JournalAppend("r", "k", f"s{n}", "x" * 20_000) for n in range(100)])
    before = store.size().bytes
    store.runs.delete("r")
    freed = store.vacuum()
    after = store.size()
    assert freed > 0
    assert after.bytes < before
    assert after.free_bytes == 0
    store.check()


def test_pruning_removes_what_is_old_and_done_with(store: Store, clock) -> None:
    fill(store, "old")
    store.runs.update("old", status="done")
    clock.now += 10 * DAY
    fill(store, "new")
    store.runs.update("new", status="failed")
    expected = {
        "runs": 1,
        "usage": 1,
        "events": 1,
        "crashes": 1,
        "cache": 1,
        "parameters": 1,
        "dead_letters": 1,
        "quarantine": 1,
    }
    assert store.prune(5 * DAY, dry_run=True).rows == expected
    assert set(rows(store).values()) == {2}
    pruned = store.prune(5 * DAY)
    assert pruned.rows == expected
    assert pruned.total == 8
    assert set(rows(store).values()) == {1}
    assert store.runs.get("new") is not None
    assert store.parameters.load("module").state == "new"
    assert store.journal.length("old") == 0


def test_pruning_keeps_what_is_still_needed_however_old(store: Store, clock) -> None:
    for status in ("created", "running", "paused"):
        store.runs.create(NewRun(status, "k", "p"))
        store.runs.update(status, status=status)
        store.journal.append(status, "k", "a")
    store.parameters.save("module", "only")
    letter = store.dead_letters.add(DeadLetter("k", "t"))
    poison = store.quarantine.strike("p", "k", {}, after=1)
    clock.now += 1000 * DAY
    assert store.prune(0).total == 0
    assert len(store.runs.list()) == 3
    assert store.journal.length("paused") == 1
    assert store.parameters.load("module") is not None
    assert store.dead_letters.list() == [letter]
    assert store.quarantine.list() == [poison]


def test_an_age_is_not_negative(store: Store) -> None:
    with pytest.raises(StoreValueError, match="seconds"):
        store.prune(-1)


def test_an_export_is_json_lines_with_every_row(store: Store, tmp_path: Path) -> None:
    fill(store, "r")
    path = tmp_path / "out.jsonl"
    assert store.export(path) == 9
    header, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert header["dspex_store"]["schema"] == 1
    assert sorted(line["table"] for line in lines) == sorted(set(rows(store)) - {"cache"})
    by_table = {line["table"]: line["row"] for line in lines}
    assert by_table["journal"]["payload"] == {"x": [1, None]}
    assert by_table["runs"]["config"] == {"of": "r"}
    assert by_table["evaluations"]["prediction"] == {"answer": "ü"}
    assert by_table["dead_letters"]["state"] == "dropped"
    assert by_table["parameters"]["state"] == "r"
    assert [file.name for file in tmp_path.iterdir() if "out" in file.name] == ["out.jsonl"]


def test_the_cache_is_exported_when_it_is_asked_for(store: Store, tmp_path: Path) -> None:
    store.cache.put_many([CachePut("binary", b"\xff\0"), CachePut("text", "ü".encode())])
    path = tmp_path / "out.jsonl"
    assert store.export(path, tables=("cache",)) == 2
    _, binary, text = [json.loads(line)["row"] if "row" in line else None for line in path.read_text().splitlines()]
    assert base64.b64decode(binary["payload_base64"]) == b"\xff\0"
    assert text["payload"] == "ü"


def test_an_export_that_fails_leaves_the_old_file_and_no_other(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("precious")
    with pytest.raises(StoreValueError, match="no table 'nope'"):
        store.export(path, tables=("nope",))
    store.runs.create(NewRun("r", "k", "p"))
    store.database.write(lambda c: c.exec_driver_sql("UPDATE dspex_runs SET config = 'not JSON'"))
    with pytest.raises(json.JSONDecodeError):
        store.export(path)
    assert path.read_text() == "precious"
    assert [file.name for file in tmp_path.iterdir() if "out" in file.name] == ["out.jsonl"]


def test_a_store_in_memory_does_all_of_it(open_store, clock, tmp_path: Path) -> None:
    store = open_store(":memory:", clock=clock)
    fill(store, "r")
    assert store.path is None
    assert store.size().bytes > 0
    clock.now += 1
    assert store.prune(0).total == 6
    store.vacuum()
    store.check()
    assert store.export(tmp_path / "out.jsonl") == 4


def test_the_file_is_in_wal_mode_and_durable_writes_are_synced(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store:
        path = store.path

        def level(connection) -> int:
            return int(connection.exec_driver_sql("PRAGMA synchronous").scalar())

        assert store.database.write(level) == 2  # FULL
        assert store.database.write(level, durable=False) == 1  # NORMAL
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        connection.close()


@pytest.mark.postgres
def test_durable_writes_wait_for_postgresqls_log_and_others_do_not(postgres_url: str, open_store) -> None:
    store = open_store(postgres_url, fsync=True)

    def level(connection) -> str:
        return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar())

    assert store.database.write(level) == "on"
    assert store.database.write(level, durable=False) == "off"
    assert store.database.write(level) == "on"
