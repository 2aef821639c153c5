"""The default system after direct calls: `lm("...")` comes first in most scripts, and needs no system."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dspex
from actors import Reply, default_scheduler
from dspex.system import close_default_system, current_system
from dspex.testing import FaultServer, value_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        try:
            yield server
        finally:
            current_system()  # what direct calls have left is the default system's, and ends with it
            close_default_system()
            assert default_scheduler().refs() == []


@pytest.fixture
def lm(server: FaultServer) -> Iterator[dspex.LM]:
    lm = dspex.LM("openai/m", api_key="k", base_url=server.url)
    with dspex.context(lm=lm):
        yield lm


@pytest.fixture
def qa() -> dspex.Predict:
    return dspex.Predict("question -> answer")


def test_a_program_runs_after_a_direct_call(server: FaultServer, lm: dspex.LM, qa: dspex.Predict) -> None:
    assert lm("item-1") == [value_of(1)]
    assert qa(question="item-2").answer == value_of(2)
    assert lm("item-3") == [value_of(3)]
    assert server.connections == 1


def test_a_program_runs_after_a_call_that_was_awaited(lm: dspex.LM, qa: dspex.Predict) -> None:
    assert asyncio.run(lm.acall("item-1")) == [value_of(1)]
    assert qa(question="item-2").answer == value_of(2)
    assert asyncio.run(qa.acall(question="item-3")).answer == value_of(3)


def test_a_program_runs_after_an_embedder(server: FaultServer, lm: dspex.LM, qa: dspex.Predict) -> None:
    embed = dspex.Embedder("openai/e", api_key="k", base_url=server.url)
    before = embed("item-1").tolist()
    assert qa(question="item-2").answer == value_of(2)
    assert embed("item-1").tolist() == before
    assert len(server.requests) == 2


def test_a_direct_call_is_not_cut_off_by_the_start_of_the_default_system(
    server: FaultServer, lm: dspex.LM, qa: dspex.Predict
) -> None:
    server.latency = 0.3
    answer: Reply[Any] = Reply()
    thread = threading.Thread(target=lambda: answer.set(lm("item-1")))
    thread.start()
    server.wait_until("in_flight", 1)
    assert qa(question="item-2").answer == value_of(2)
    thread.join()
    assert answer.get() == [value_of(1)]
    assert len(server.requests) == 2
    assert server.abandoned == 0


def test_threads_may_begin_with_direct_calls_and_programs_at_once(
    server: FaultServer, lm: dspex.LM, qa: dspex.Predict
) -> None:
    line = threading.Barrier(12)
    answers: dict[int, str] = {}

    def work(number: int) -> None:
        line.wait()
        with dspex.context(lm=lm):
            asked = f"item-{number}"
            answers[number] = str(lm(asked)[0]) if number % 2 else qa(question=asked).answer

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: value_of(number) for number in range(12)}
    (pool,) = current_system().lm_service.pools.values()
    assert pool.requests == 12


def test_one_lm_serves_direct_calls_systems_and_the_default_system_in_turn(lm: dspex.LM, qa: dspex.Predict) -> None:
    assert lm("item-1") == [value_of(1)]
    for number in (2, 3):
        with dspex.System(f"number-{number}", control_socket=False):
            assert lm(f"item-{number}") == [value_of(number)]
            assert qa(question=f"item-{number}").answer == value_of(number)
        assert lm("item-4") == [value_of(4)]
    assert qa(question="item-5").answer == value_of(5)
    close_default_system()
    assert lm("item-6") == [value_of(6)]
    assert qa(question="item-7").answer == value_of(7)


def test_a_process_that_began_with_a_direct_call_leaves_nothing_open() -> None:
    program = (
        "import dspex, gc\n"
        "from actors import default_scheduler\n"
        "from dspex.testing import FaultServer\n"
        "with FaultServer() as server:\n"
        "    lm = dspex.LM('openai/m', api_key='k', base_url=server.url)\n"
        "    dspex.configure(lm=lm)\n"
        "    lm('item-1')\n"
        "    print(dspex.Predict('question -> answer')(question='item-2').answer)\n"
        "    dspex.system.close_default_system()\n"
        "    print(default_scheduler().refs())\n"
        "gc.collect()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env={**os.environ, "DSPEX_STORE": ":memory:"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout.split("\n")[:2], done.returncode) == ([value_of(2), "[]"], 0), done.stderr
    assert "ResourceWarning" not in done.stderr  # of a socket that nobody has closed
