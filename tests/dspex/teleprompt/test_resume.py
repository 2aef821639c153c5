"""A run whose process is killed goes on where it was.

Each optimizer is killed at 15 random points, so 30 in all. `DSPEX_TEST_SEED` chooses other points, `DSPEX_TEST_KILLS`
another number of them.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dspex.testing import FaultServer, at_random

from .resumed import WIDTH

KILLS = int(os.environ.get("DSPEX_TEST_KILLS", "15"))
ROOT = Path(__file__).parents[3]


@pytest.fixture
def server():
    """Answers after 5 ms, and in the killed runs some requests get a 500."""
    with FaultServer(latency=0.005) as running:
        yield running


class Nursery:
    """Starts the processes of `resumed`."""

    def __init__(self):
        command = [sys.executable, "-m", "tests.dspex.teleprompt.resumed"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )

    def begin(self, kind, server, directory):
        directory.mkdir(exist_ok=True)
        request = [kind, server.url, str(directory / "store.db"), str(directory / "out.json")]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self):
        """The exit status of the last one."""
        return int(self._process.stdout.readline())

    def run(self, kind, server, directory):
        self.begin(kind, server, directory)
        assert self.wait() == 0
        return json.loads((directory / "out.json").read_text())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def nursery():
    started = Nursery()
    yield started
    started.close()


@pytest.mark.parametrize("kind", ["mipro", "bootstrap"])
def test_a_run_killed_anywhere_ends_as_if_it_had_not_been_and_pays_for_nothing_twice(kind, server, nursery, tmp_path):
    undisturbed = nursery.run(kind, server, tmp_path / "calm")
    needed = set(server.completions)
    assert undisturbed["run"] == "done"
    assert server.paid_twice() == {}
    server.faults = at_random({"error_500": 0.02}, seed=1)
    rng = random.Random(int(os.environ.get("DSPEX_TEST_SEED", "5")))
    for number in range(KILLS):
        directory = tmp_path / str(number)
        server.reset()
        pid = nursery.begin(kind, server, directory)
        server.wait_until("requests", rng.randint(1, len(needed) - 1), timeout=60)
        threading.Event().wait(rng.random() * 0.02)  # a kill is to fall between requests, too
        os.kill(pid, signal.SIGKILL)
        assert nursery.wait() == signal.SIGKILL
        resumed = nursery.run(kind, server, directory)
        assert resumed == undisturbed
        assert set(server.completions) == needed
        repeated = server.paid_twice()
        assert set(repeated.values()) <= {2}
        assert len(repeated) <= WIDTH, f"{len(repeated)} calls were made again, more than were in flight"
