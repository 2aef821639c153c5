"""`dspex eval`, `dspex optimize` and `dspex runs`, as processes: what a shell sees, also after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dspex.testing import FaultServer

from .resumed import examples

ROOT = Path(__file__).parents[3]
WHERE = "tests.dspex.teleprompt.resumed"


@pytest.fixture
def server():
    with FaultServer(latency=0.005) as running:
        yield running


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(example.toDict()) + "\n" for example in examples(16, 0)))
    return path


def begin(*arguments):
    command = [sys.executable, "-m", "dspex", *map(str, arguments)]
    environment = {**os.environ, "OPENAI_API_KEY": "none", "NO_COLOR": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(process):
    """Its exit status, and what it printed."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def optimize(server, data, directory, name):
    directory.mkdir(exist_ok=True)
    return begin(
        "optimize", f"{WHERE}:TwoSteps", "--metric", f"{WHERE}:metric", "--data", data, "--input", "question",
        "--model", "openai/fake", "--api-base", server.url, "--workers", 4, "--set", "num_candidate_programs=2",
        "--store", directory / "store.db", "--output", directory / "better.json", "--run-id", name,
    )  # fmt: skip


def test_a_killed_command_is_resumed_by_another_to_the_same_program(server, data, tmp_path):
    calm = optimize(server, data, tmp_path / "calm", "x")
    assert finished(calm)[0] == 0
    needed = set(server.completions)
    server.reset()
    killed = optimize(server, data, tmp_path / "killed", "x")
    server.wait_until("requests", len(needed) // 2, timeout=60)
    killed.kill()
    assert finished(killed)[0] == -signal.SIGKILL
    store = ("--store", tmp_path / "killed" / "store.db", "--json")
    assert json.loads(finished(begin("runs", "show", "x", *store))[1])["state"] == "interrupted"
    assert finished(begin("runs", "resume", "x", *store))[0] == 0
    assert (tmp_path / "killed" / "better.json").read_text() == (tmp_path / "calm" / "better.json").read_text()
    assert set(server.completions) == needed
    assert json.loads(finished(begin("runs", "show", "x", *store))[1])["state"] == "done"
    status, _, errors = finished(begin("runs", "resume", "x", *store))
    assert status == 1
    assert "nothing to resume" in errors


def test_an_evaluation_says_all_in_json_and_fails_if_an_example_did(server, data, tmp_path):
    command = (
        "eval", f"{WHERE}:TwoSteps", "--metric", "json:loads", "--data", data, "--input", "question",
        "--model", "openai/fake", "--api-base", server.url, "--store", tmp_path / "store.db", "--json", "--limit", 3,
    )  # fmt: skip
    status, output, _ = finished(begin(*command))
    result = json.loads(output)
    assert status == 1
    assert result["failures"] == {"metric_error": 3}
    assert result["score"] is None
    assert [row["question"] for row in result["rows"]] == [f"What is number {n}?" for n in range(3)]
