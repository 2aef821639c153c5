"""What happens when the disk, the file or the server does not do as it should."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, text

from dspex.store import (
    CachePut,
    DeadLetter,
    Evaluation,
    JournalAppend,
    NewRun,
    Store,
    StoreBufferFullError,
    StoreCorruptError,
    StoreDegraded,
    StoredEvent,
    StoreRecovered,
    StoreUnavailableError,
    UsageRecord,
    Writer,
)

BIG = "x" * 50_000


class Disk:
    """Makes a store's connections refuse to write."""

    def __init__(self, store: Store) -> None:
        self.state = "sound"
        self._sqlite = store.database.sqlite
        event.listen(store.database._engine, "checkout", self._checkout)

    def _checkout(self, connection: object, record: object, proxy: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        if self._sqlite:
            cursor.execute(f"PRAGMA query_only = {int(self.state == 'read_only')}")
            cursor.execute("PRAGMA max_page_count = 1073741823")
            if self.state == "full":
                cursor.execute("PRAGMA page_count")
                cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")
        elif self.state == "read_only":
            cursor.execute("SET TRANSACTION READ ONLY")
        cursor.close()


@pytest.fixture
def disk(store: Store) -> Disk:
    return Disk(store)


# -- direct calls --------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_that_says_what_to_do_and_leaves_the_store_sound(sqlite_store: Store) -> None:
    disk = Disk(sqlite_store)
    sqlite_store.runs.create(NewRun("r", "k", "p"))
    disk.state = "full"
    with pytest.raises(StoreUnavailableError, match="make room") as caught:
        sqlite_store.journal.append("r", "k", "a", BIG)
    assert caught.value.reason == "full"
    assert sqlite_store.runs.get("r") is not None
    disk.state = "sound"
    assert sqlite_store.journal.append("r", "k", "a", BIG).seq == 1
    sqlite_store.check()


def test_a_read_only_store_can_be_read(store: Store, disk: Disk) -> None:
    store.runs.create(NewRun("r", "k", "p"))
    store.cache.put("k", b"x")
    disk.state = "read_only"
    with pytest.raises(StoreUnavailableError) as caught:
        store.journal.append("r", "k", "a")
    assert caught.value.reason == "read_only"
    assert store.runs.get("r") is not None
    assert store.cache.get("k") == b"x"


def test_a_directory_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="DSPEX_STORE") as caught:
        Store.open(tmp_path / "file" / "store.db")
    assert caught.value.reason == "cannot_open"


def test_a_store_that_could_not_be_opened_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "place").touch()
    with Store(tmp_path / "place" / "store.db") as store:
        with pytest.raises(StoreUnavailableError):
            store.runs.list()
        (tmp_path / "place").unlink()
        assert store.runs.list() == []


def test_a_directory_in_the_stores_place_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreUnavailableError) as caught:
        Store.open(tmp_path / "store.db")
    assert caught.value.reason == "cannot_open"


@pytest.mark.parametrize("content", [b"this is no database" * 300, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorruptError) as caught:
        Store.open(path)
    for part in (str(path), f"sqlite3 {path} .recover", "move", "DSPEX_STORE"):
        assert part in str(caught.value)
    assert path.read_bytes() == content  # left as it was, for whoever wants to save something


def test_a_damaged_page_is_found_by_check(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store.open(path, fsync=False) as store:
        store.runs.create(NewRun("r", "k", "p"))
        store.journal.append_many([JournalAppend("r", "k", f"s{n}", "x" * 500) for n in range(200)])
        store.check()
    content = bytearray(path.read_bytes())
    content[-8192:] = os.urandom(8192)
    path.write_bytes(content)
    with Store(path) as store, pytest.raises(StoreCorruptError, match=r"store\.db"):
        store.check()


def test_an_empty_file_is_a_new_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    with Store.open(tmp_path / "store.db") as store:
        assert store.runs.list() == []


def test_a_writer_that_waits_too_long_for_another_process_says_so(sqlite_url: str, open_store) -> None:
    store = open_store(sqlite_url, busy_timeout=0.05)
    other = open_store(sqlite_url)

    def hold(connection: object) -> None:
        with pytest.raises(StoreUnavailableError, match="another process") as caught:
            store.runs.create(NewRun("r", "k", "p"))
        assert caught.value.reason == "locked"
        assert store.runs.list() == []  # readers do not wait

    other.database.write(hold)
    store.runs.create(NewRun("r", "k", "p"))


def test_work_that_raises_leaves_no_trace(store: Store) -> None:
    def work(connection) -> None:
        connection.execute(text("INSERT INTO dspex_parameters VALUES ('p', 1, '{}', 0)"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.database.write(work)
    assert store.parameters.load("p") is None


@pytest.mark.postgres
def test_a_server_that_is_not_there_is_an_error_and_found_when_it_comes(postgres_server: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match="server does not answer") as caught:
            Store.open(f"postgresql://postgres@127.0.0.1:{port}/test")
    assert caught.value.reason == "disconnected"


@pytest.mark.postgres
def test_a_server_that_cut_the_line_is_asked_again(postgres_url: str, open_store) -> None:
    store, other = open_store(postgres_url), open_store(postgres_url)
    store.runs.create(NewRun("r", "k", "p"))

    def cut() -> None:
        pid = store.database.read(lambda c: c.execute(text("SELECT pg_backend_pid()")).scalar())
        other.database.read(lambda c: c.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}))

    cut()
    assert store.runs.get("r") is not None
    cut()
    assert store.journal.append("r", "k", "a").seq == 1
    cut()
    store.usage.record(UsageRecord("m"))
    assert store.usage.totals()[0].requests == 1


@pytest.mark.postgres
def test_a_deadlock_is_resolved_by_running_the_loser_again(postgres_url: str, open_store) -> None:
    store = open_store(postgres_url)
    for key in "ab":
        store.parameters.save(key, 0)
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    def touch(first: str, second: str) -> None:
        def work(connection) -> None:
            attempts.append(first)
            statement = text("UPDATE dspex_parameters SET created = created + 1 WHERE path = :path")
            connection.execute(statement, {"path": first})
            if len(attempts) <= 2:
                both_hold_one.wait()
            connection.execute(statement, {"path": second})

        store.database.write(work)

    threads = [threading.Thread(target=touch, args=pair) for pair in (("a", "b"), ("b", "a"))]
    before = store.parameters.load("a").created
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(attempts) >= 3
    assert store.parameters.load("a").created == pytest.approx(before + 2, abs=1e-3)


# -- the writer ----------------------------------------------------------------------------------------


def everything() -> list:
    return [
        NewRun("r", "k", "p"),
        *(JournalAppend("r", "k", f"s{number}", BIG) for number in range(5)),
        Evaluation("r", "c", "e", score=1.0, prediction=BIG),
        UsageRecord("m"),
        DeadLetter("kind", "target"),
        CachePut("key", b"payload"),
        StoredEvent("topic"),
    ]


def test_results_wait_in_memory_while_the_store_is_read_only(store: Store, disk: Disk) -> None:
    _wait_out(store, disk, "read_only")


def test_results_wait_in_memory_while_the_disk_is_full(sqlite_store: Store) -> None:
    _wait_out(sqlite_store, Disk(sqlite_store), "full")


def _wait_out(store: Store, disk: Disk, trouble: str) -> None:
    told: list[object] = []
    outcomes: list[object] = []
    writer = Writer(store, on_event=told.append)
    disk.state = trouble
    for record in everything():
        assert writer.put(record, outcomes.append)
    for _ in range(3):
        report = writer.flush()
        assert (report.written, report.pending) == (0, 11)
    (event,) = told  # loud, and once
    assert isinstance(event, StoreDegraded)
    assert (event.reason, event.pending) == (trouble, 11)
    assert writer.degraded is not None
    assert [type(outcome).__name__ for outcome in outcomes] == ["Held"] * 11  # nobody is kept waiting
    writer.put(UsageRecord("m"))
    disk.state = "sound"
    assert writer.flush().written == 12
    assert told[1:] == [StoreRecovered(written=12, dropped=0)]
    assert writer.degraded is None
    assert [step.key for step in store.journal.read("r")] == [f"s{number}" for number in range(5)]
    assert store.evaluations.get("r", "c", "e").prediction == BIG
    assert store.usage.totals()[0].requests == 2
    assert store.cache.get("key") == b"payload"
    assert len(store.events.list()) == 1
    assert store.dead_letters.count() == 1
    assert len(outcomes) == 11  # each told once


def test_the_memory_is_bounded_it_gives_up_caches_and_events_but_never_results(store: Store, disk: Disk) -> None:
    told: list[object] = []
    writer = Writer(store, capacity=4, on_event=told.append)
    disk.state = "read_only"
    writer.put(StoredEvent("one"))
    writer.put(NewRun("r", "k", "p"))
    writer.put(CachePut("k", b"x"))
    writer.put(JournalAppend("r", "k", "a"))
    writer.flush()
    assert not writer.put(StoredEvent("two"))  # full, and this one can be spared
    assert writer.put(JournalAppend("r", "k", "b"))
    assert writer.put(JournalAppend("r", "k", "c"))
    assert (writer.pending, writer.dropped) == (4, 3)
    with pytest.raises(StoreBufferFullError, match="make room") as caught:
        writer.put(JournalAppend("r", "k", "d"))
    assert (caught.value.pending, caught.value.capacity) == (4, 4)
    disk.state = "sound"
    writer.flush()
    assert told[-1] == StoreRecovered(written=4, dropped=3)
    assert [step.key for step in store.journal.read("r")] == ["a", "b", "c"]
    assert writer.pending_bytes == 0


def test_the_memory_is_bounded_in_bytes_too(store: Store) -> None:
    store.runs.create(NewRun("r", "k", "p"))
    writer = Writer(store, capacity_bytes=120_000)
    writer.put(JournalAppend("r", "k", "a", BIG))
    writer.put(JournalAppend("r", "k", "b", BIG))
    with pytest.raises(StoreBufferFullError):
        writer.put(JournalAppend("r", "k", "c", BIG))
    assert writer.flush().written == 2
    assert writer.put(JournalAppend("r", "k", "c", BIG))


def test_a_flush_that_is_interrupted_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(store)
    for record in everything():
        writer.put(record)
    with monkeypatch.context() as patch:
        patch.setattr(store.database, "write", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.flush()
    assert writer.pending == 11
    assert writer.flush().written == 11
    assert store.journal.length("r") == 5


def _interrupt(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt


def test_a_flush_whose_commit_arrived_but_whose_answer_did_not_writes_nothing_twice(store: Store) -> None:
    writer = Writer(store)
    real = store.database.write

    def write_and_break(work: Callable, *, durable: bool = True) -> None:
        real(work, durable=durable)
        raise KeyboardInterrupt

    for record in everything():
        writer.put(record)
    store.database.write = write_and_break  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    store.database.write = real  # type: ignore[method-assign]
    assert writer.flush().written == 11
    assert store.journal.length("r") == 5
    assert store.usage.totals()[0].requests == 1
    assert store.dead_letters.count() == 1
    assert len(store.events.list()) == 1


# -- a real small disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not mount or not umount or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run([umount, "-l", place], check=True)


def test_a_file_system_that_really_is_full_loses_no_result(small_disk: Path) -> None:
    told: list[object] = []
    outcomes: list[object] = []
    with Store.open(small_disk / "store.db") as store:
        store.runs.create(NewRun("r", "k", "p"))
        (small_disk / "ballast").write_bytes(bytes(300_000))
        writer = Writer(store, batch=2, on_event=told.append)
        for number in range(12):
            writer.put(JournalAppend("r", "k", f"s{number}", BIG), outcomes.append)
            writer.flush()
        assert writer.degraded is not None
        assert writer.degraded.reason in ("full", "io")
        acknowledged = [outcome.result.key for outcome in outcomes if type(outcome).__name__ == "Written"]
        assert [step.key for step in store.journal.read("r")] == acknowledged
        assert 0 < len(acknowledged) < 12
        (small_disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
        writer.flush()
        assert [step.key for step in store.journal.read("r")] == [f"s{number}" for number in range(12)]
        assert [type(event) for event in told] == [StoreDegraded, StoreRecovered]
        store.check()


def test_a_file_system_that_really_is_read_only_loses_no_result(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    told: list[object] = []
    with Store(small_disk / "new" / "store.db") as store:
        writer = Writer(store, on_event=told.append)
        writer.put(NewRun("r", "k", "p"))
        writer.put(JournalAppend("r", "k", "a"))
        assert writer.flush().pending == 2
        assert [type(event) for event in told] == [StoreDegraded]
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        assert writer.flush().written == 2
        assert store.journal.length("r") == 1


# -- processes -----------------------------------------------------------------------------------------


def _child(store: Store, answer) -> None:
    inherited = store.database.read(lambda connection: connection.info.get("made_by"))
    store.runs.create(NewRun("of-the-child", "k", "p"))
    answer.put((len(store.runs.list()), inherited))
    store.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_touch_its_parents_connections(store: Store) -> None:
    store.runs.create(NewRun("of-the-parent", "k", "p"))
    store.database.read(lambda connection: connection.info.update(made_by="parent"))
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    child = context.Process(target=_child, args=(store, answer))
    child.start()
    assert answer.get(timeout=30) == (2, None)
    child.join()
    assert child.exitcode == 0
    answer.close()
    answer.join_thread()
    assert len(store.runs.list()) == 2
