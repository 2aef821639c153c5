"""What is to be kept waits for nobody: neither for the disk nor for the database library."""

from __future__ import annotations

import threading
from pathlib import Path

from dspex.store import CrashRecord
from dspex.system._config import SystemConfig
from dspex.system._storage import Storage
from tests.dspex.system.test_system import run


def crash(number: int) -> CrashRecord:
    return CrashRecord("a/path", f"print{number}", "Error", "words", "trace")


def test_records_of_any_time_are_written_in_their_order_and_once(tmp_path: Path) -> None:
    storage = Storage(SystemConfig(store=str(tmp_path / "s.db")), None, lambda event: None)
    threads = [threading.Thread(target=lambda n=n: storage.put(crash(n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.unwritten == 20
    storage.flush()
    assert storage.put(crash(20))
    storage.flush()
    assert storage.unwritten == 0
    assert storage.store is not None
    assert sorted(group.fingerprint for group in storage.store.crashes.groups()) == sorted(
        f"print{n}" for n in range(21)
    )
    storage.close()


def test_a_system_that_keeps_nothing_takes_nothing() -> None:
    storage = Storage(SystemConfig(store=False), None, lambda event: None)
    assert not storage.put(crash(1))
    assert storage.unwritten == 0
    storage.flush()


def test_the_first_record_does_not_load_the_database_library_where_it_is_put() -> None:
    program = """
import sys
from dspex.store import CrashRecord
from dspex.system._config import SystemConfig
from dspex.system._storage import Storage
storage = Storage(SystemConfig(store="x.db"), None, print)
storage.put(CrashRecord("a", "b", "c", "d", "e"))
print(storage.unwritten, "sqlalchemy" in sys.modules)
"""
    assert run(program).stdout == "1 False\n"


def test_while_another_thread_opens_the_store_nobody_who_puts_a_record_waits(tmp_path: Path) -> None:
    storage = Storage(SystemConfig(store=str(tmp_path / "s.db")), None, lambda event: None)
    opening, done = threading.Event(), threading.Event()

    def slow_open() -> None:
        with storage._making:  # as while the database library is imported
            opening.set()
            done.wait(30)

    thread = threading.Thread(target=slow_open)
    thread.start()
    opening.wait(30)
    try:
        put = threading.Thread(target=lambda: (storage.put(crash(1)), storage.conceal_if_long("long secret")))
        put.start()
        put.join(10)
        assert not put.is_alive()
    finally:
        done.set()
        thread.join()
    storage.flush()
    assert storage.unwritten == 0
    storage.close()
