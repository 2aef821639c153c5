"""Processes that are killed without warning, and several at once on one store."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dspex.store import NewRun, Owner, Store

ROOT = Path(__file__).parents[3]

# Appends steps for ever and says after each one that it was acknowledged.
APPENDER = """
import sys
from dspex.store import JournalAppend, Evaluation, NewRun, Owner, Store, Writer
url, mode, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = Store.open(url, fsync=False, cache_bytes=20_000)
owner = Owner.current()
store.runs.create(NewRun("r", "optimize", "p"))
store.runs.claim("r", owner)
def say(key):
    sys.stdout.write(key + "\\n"); sys.stdout.flush()
writer = Writer(store)
number = first
while True:
    payload = {"number": number, "text": "x" * (number * 97 % 3000)}
    if mode == "single":
        say(store.journal.append("r", "step", f"s{number}", payload, owner=owner).key)
    else:
        for extra in range(5):
            writer.put(JournalAppend("r", "step", f"s{number}", payload, owner), lambda o: say(o.result.key))
            number += 1
            payload = {"number": number, "text": "x" * (number * 97 % 3000)}
        number -= 1
        writer.put(Evaluation("r", "c", f"e{number}", score=1.0))
        writer.flush()
    store.cache.put(f"k{number % 30}", bytes(1000))
    number += 1
"""


def start(url: str, mode: str, first: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPENDER, url, mode, str(first)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("mode", ["single", "batched"])
def test_what_was_acknowledged_before_a_sigkill_is_there_and_the_store_is_sound(
    url: str, mode: str, open_store
) -> None:
    rng = random.Random(f"{mode}")
    acknowledged: list[str] = []
    for _ in range(3):
        child = start(url, mode, len(acknowledged))
        before = len(acknowledged)
        # Killed after a random number of acknowledgements, at whatever it is doing then: more steps are on their way.
        for _ in range(rng.randint(1, 60)):
            acknowledged.append(child.stdout.readline().strip())
        child.kill()
        rest, errors = child.communicate(timeout=30)
        assert child.returncode == -signal.SIGKILL, errors
        acknowledged += [line for line in rest.splitlines() if line]
        assert len(acknowledged) > before
        with Store.open(url, fsync=False) as store:
            steps = list(store.journal.read("r"))
            assert [step.seq for step in steps] == list(range(1, len(steps) + 1))
            keys = [step.key for step in steps]
            assert set(acknowledged) <= set(keys)
            # What was written without having been acknowledged is whole, or not there.
            assert all(len(step.payload["text"]) == step.payload["number"] * 97 % 3000 for step in steps)
            assert [run.id for run in store.runs.orphans()] == ["r"]  # its owner is seen to be dead at once
            store.check()


def test_a_run_is_taken_over_from_a_killed_process_and_goes_on_where_it_was(url: str, open_store) -> None:
    child = start(url, "single", 0)
    for _ in range(3):
        child.stdout.readline()
    child.kill()
    child.communicate(timeout=30)
    store = open_store(url)
    done = store.journal.length("r")
    assert done >= 3
    me = Owner.current()
    store.runs.claim("r", me)
    for number in range(done + 2):  # replayed from the start: the steps that are there stay as they were
        entry = store.journal.append("r", "step", f"s{number}", "replayed", owner=me)
        assert entry.new == (number >= done)
    assert store.journal.length("r") == done + 2


def test_a_kill_while_the_file_is_compacted_leaves_it_sound(sqlite_url: str) -> None:
    with Store.open(sqlite_url, fsync=False) as store:
        store.runs.create(NewRun("r", "k", "p"))
        for number in range(50):
            store.journal.append("r", "k", f"s{number}", "x" * 20_000)
    code = (
        "import sys; from dspex.store import Store\n"
        "store = Store.open(sys.argv[1]); print('ready', flush=True)\n"
        "while True: store.vacuum()\n"
    )
    rng = random.Random(5)
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", code, sqlite_url], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        child.stdout.readline()
        stop = threading.Event()
        stop.wait(rng.uniform(0.0, 0.1))  # any moment will do: there is no right one to wait for
        child.kill()
        child.communicate(timeout=30)
        with Store.open(sqlite_url) as store:
            store.check()
            assert store.journal.length("r") == 50


WORKER = """
import sys
from dspex.store import CachePut, JournalAppend, NewRun, Store, UsageRecord
url, name = sys.argv[1:]
store = Store.open(url, fsync=False, cache_bytes=20_000)
print("ready", flush=True); input()
for number in range(40):
    store.journal.append("shared", "step", f"common{number}", name)
    store.journal.append("shared", "step", f"{name}-{number}", number)
    store.cache.put_many([CachePut(f"k{(number * 7 + k) % 20}", bytes(900)) for k in range(3)])
    store.cache.get(f"k{number % 20}")
    store.usage.record(UsageRecord("m", prompt_tokens=1))
    store.quarantine.strike("p", "k", {}, after=10_000)
store.close()
"""


def test_several_processes_write_one_store_at_once_and_nothing_is_lost(url: str, open_store) -> None:
    store = open_store(url)
    store.runs.create(NewRun("shared", "k", "p"))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for name in "abc"
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    steps = list(store.journal.read("shared"))
    assert [step.seq for step in steps] == list(range(1, 161))
    for name in "abc":
        assert [step.payload for step in steps if step.key.startswith(f"{name}-")] == list(range(40))
    assert store.usage.totals()[0].prompt_tokens == 120
    assert store.quarantine.get("p", "k").kills == 120
    assert store.cache.stats().bytes <= 20_000
    store.check()


def test_a_hot_journal_is_readable_while_another_process_writes(sqlite_url: str, open_store) -> None:
    store = open_store(sqlite_url)
    child = start(sqlite_url, "single", 0)
    try:
        for acknowledged in range(1, 21):
            child.stdout.readline()
            assert store.journal.length("r") >= acknowledged
    finally:
        child.kill()
        child.communicate(timeout=30)


def test_the_file_is_plain_sqlite_that_other_tools_can_read(sqlite_store: Store) -> None:
    sqlite_store.runs.create(NewRun("r", "k", "p"))
    sqlite_store.journal.append("r", "k", "a", {"x": 1})
    connection = sqlite3.connect(f"file:{sqlite_store.path}?mode=ro", uri=True)
    try:
        assert connection.execute("SELECT payload ->> 'x' FROM dspex_journal").fetchall() == [(1,)]
    finally:
        connection.close()
