"""Setting up on a stranger's machine: what goes wrong ends in a sentence, never in a traceback."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.source import ROOT

SCRIPT = "from environment import ensure\nensure({requirements})\nimport sys; print('inside', sys.prefix)\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with the real bootstrap in it, in a directory with a blank in its name."""
    root = tmp_path / "my checkout"
    (root / "examples").mkdir(parents=True)
    shutil.copy(ROOT / "examples/environment.py", root / "examples")
    (root / "pyproject.toml").write_text("[project]\n")
    return root


def run(checkout: Path, requirements: str = "", before: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    script = checkout / "examples/script.py"
    script.write_text(before + SCRIPT.format(requirements=requirements))
    return subprocess.run(
        [sys.executable, script], env={**inherited(), **env}, cwd=checkout, capture_output=True, text=True, timeout=300
    )


def inherited() -> dict[str, str]:
    """The environment without settings that would lead a script to another place."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("DSPEX_", "PIP_"))}


@pytest.mark.parametrize("name", ["examples/environment.py", "examples/quickstart.py", "tests/run.py"])
def test_what_a_stranger_starts_can_be_read_by_an_old_python(name: str) -> None:
    path = ROOT / name
    if path.exists():
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_an_old_python_is_told_which_one_to_use(checkout: Path) -> None:
    done = run(checkout, before="import sys; sys.version_info = (3, 10, 13)\n")
    assert done.returncode == 1
    assert done.stderr.startswith("dspex needs Python 3.11 or newer, and this is Python 3.10.13")
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_second_time_nothing_is_made_or_installed(checkout: Path) -> None:
    first = run(checkout)
    assert first.returncode == 0, first.stderr
    assert "[setup] making an environment" in first.stdout
    assert f"inside {checkout / '.venv'}" in first.stdout
    second = run(checkout)
    assert second.stdout == f"inside {checkout / '.venv'}\n"


def test_a_changed_project_file_installs_again_into_the_same_environment(checkout: Path) -> None:
    assert run(checkout).returncode == 0
    (checkout / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    again = run(checkout)
    assert "[setup] ready" in again.stdout
    assert "making an environment" not in again.stdout


def test_without_a_network_there_is_a_sentence(checkout: Path) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_CACHE_DIR": "1"}
    done = run(checkout, "('some-package',)", **nowhere, no_proxy="127.0.0.1")
    assert done.returncode == 1
    assert "some-package could not be installed: no package index answers." in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((checkout / ".venv").glob(".dspex-*")), "an environment that is not whole must not count as ready"


def test_a_place_that_cannot_be_written_is_named(checkout: Path) -> None:
    done = run(checkout, DSPEX_VENV="/proc/no-such-place")
    assert done.returncode == 1
    assert "The environment in /proc/no-such-place could not be made." in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_setting_up_says_how_to_go_on(checkout: Path) -> None:
    script = checkout / "examples/script.py"
    script.write_text(SCRIPT.format(requirements=""))
    process = subprocess.Popen(
        [sys.executable, script],
        env=inherited(),
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "making" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert process.returncode == 130
    assert "The same command continues." in error
    assert "Traceback" not in error
    assert run(checkout).returncode == 0


def test_ctrl_c_while_a_script_imports_is_no_error(checkout: Path) -> None:
    script = checkout / "examples/script.py"
    script.write_text("from environment import ensure\nensure()\nraise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "DSPEX_ENVIRONMENT": "ready"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert done.stderr == "\nStopped.\n"
