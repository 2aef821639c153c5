"""Every example runs as it stands, and shows what it says it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.documents import blocks
from tests.project.source import ROOT

EXAMPLES = ROOT / "examples"

SHOWS = {
    "first_program": ("negative  The food was cold", "positive  Best phone"),
    "from_dspy": ("the same after loading: True", "Sentiment:"),
    "look_inside": ("$ dspex ps", "writer  one_for_one", "restarted 1x", "class      ModuleActor"),
    "outages": ("answered 100.00 over 100 of 100 examples", "3 failed (not in the score): 3 refused"),
    "own_actor": ("answers: {'ask': 3}", "it died of: TypeError", "answers after the restart: {}", "restarted 1x"),
    "own_optimizer": ("Decide whether each review is positive or negative.", "kept: "),
    "rag": ("found:    A circuit breaker stops requests to an endpoint", "answer:   "),
    "resume": (
        "The second process, with the same run_id:",
        " taken from the journal, ",
        "finished: the best of ",
    ),
    "tools": ("price_of({'product': 'green tea'}) -> The tool price_of failed", "answer: Yes, two cost 7.00 euros."),
}
"""What must be on the screen."""

NEEDS_MODEL = {"first_program", "from_dspy", "own_optimizer", "rag", "resume"}

OTHERS = {"environment", "model", "quickstart", "fastapi_service"}
"""What is imported by the others, or has a test of its own."""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "DSPEX_ENVIRONMENT": "ready", "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLES}"}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_every_example_has_a_test() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert set(SHOWS) | OTHERS <= names
    elsewhere = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in names - set(SHOWS) - OTHERS if name not in elsewhere] == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.realmodel if name in NEEDS_MODEL else ()) for name in sorted(SHOWS)]
)
def test_the_example_shows_what_it_says(name: str, tmp_path: Path) -> None:
    screen = run(EXAMPLES / f"{name}.py", cwd=tmp_path)
    assert [text for text in SHOWS[name] if text not in screen] == []


def test_the_fastapi_example_answers_and_refuses(tmp_path: Path) -> None:
    program = (
        "import dspex, fastapi_service\n"
        "from fastapi.testclient import TestClient\n"
        "app = fastapi_service.make_app({'lm': dspex.DummyLM([{'sentiment': 'positive'}] * 2)})\n"
        "with TestClient(app) as client:\n"
        "    print(client.post('/judge', json={'review': 'Great value.'}).json())\n"
        "    print(client.post('/judge', json={}).status_code)\n"
    )
    assert run("-c", program, cwd=tmp_path).splitlines() == ["{'sentiment': 'positive'}", "422"]


def test_the_readme_shows_what_the_commands_print(tmp_path: Path) -> None:
    """Every `$ dspex` in the README is one that `look_inside` runs, and what stands below it is what that prints."""
    shown = [block.text for block in blocks(ROOT / "README.md") if "$ dspex" in block.text]
    printed = plain(run(EXAMPLES / "look_inside.py", cwd=tmp_path))
    assert shown
    assert [line for text in shown for line in plain(text) if line not in printed] == []


def test_the_readme_starts_with_two_commands_that_are_there() -> None:
    commands = [block.text.strip() for block in blocks(ROOT / "README.md")[:2]]
    assert commands == ["$ python3 examples/quickstart.py", "$ python3 tests/run.py"]
    assert [word for command in commands for word in command.split()[2:] if not (ROOT / word).is_file()] == []


def plain(screen: str) -> list[str]:
    """The lines without what differs from run to run: numbers, durations and the width of columns."""
    return [re.sub(r"[\d.]+ ?(ms|s)?\b", "N", " ".join(line.split())) for line in screen.splitlines()]
