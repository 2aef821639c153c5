"""A service under load in a process of its own, and the command line as other processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@dataclass
class Service:
    """The process, and where its socket and store are."""

    environ: dict[str, str]
    process: subprocess.Popen[str]

    def tell(self, words: str) -> None:
        """Order something; returns when it is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        while (line := self.process.stdout.readline()) != "done\n":
            assert line, "the service has ended"  # else it is a line of its log

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=60)

    def dspex(self, *arguments: str, code: int | None = 0, **environ: str) -> str:
        """What the command prints, standard error after standard output; its exit code is checked."""
        done = subprocess.run(
            [sys.executable, "-m", "dspex", *arguments],
            cwd=ROOT,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert code is None or done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        """What the command prints with --json."""
        return json.loads(self.dspex(*arguments, "--json", code=code))


def started(directory: Path) -> Service:
    run = directory / "run"
    run.mkdir(mode=0o700)
    environ = {
        **{key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")},
        "DSPEX_RUNTIME_DIR": str(run),
        "DSPEX_STORE": str(directory / "store.db"),
        "DSPEX_STALL_AFTER": "1.0",  # a busy machine is no stall
    }
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("service.py"))],
        cwd=ROOT,
        env={**environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "ready\n":
        assert line, "the service ended before it was ready"
    return Service(environ, process)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="dx") as directory:  # a unix socket's path is short
        service = started(Path(directory))
        yield service
        if service.process.poll() is None:
            service.process.communicate("stop\n", timeout=60)


@pytest.fixture
def mortal() -> Iterator[Service]:
    """One of its own, for a test that kills it."""
    with tempfile.TemporaryDirectory(prefix="dx") as directory:
        service = started(Path(directory))
        yield service
        if service.process.poll() is None:
            service.kill()
