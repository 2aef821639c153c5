"""`dspex eval`, `optimize`, `serve`, `demo` and `doctor`: what needs no running system, as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dspex.cli._main import _VERBS
from dspex.testing import FaultServer
from dspex.testing._faults import always
from tests.dspex.cli.conftest import ROOT

PROGRAM = """
import dspex

def make():
    return dspex.Predict("question -> answer")

def same(example, prediction, trace=None):
    return prediction.answer == example.answer
"""


class Project:
    """A directory with a program, data and a model's endpoint."""

    def __init__(self, directory: Path, endpoint: FaultServer) -> None:
        self.directory = directory
        self.endpoint = endpoint
        run = directory / "run"
        run.mkdir(mode=0o700)
        (directory / "shop.py").write_text(PROGRAM)
        rows = [{"question": f"item-{n}", "answer": "?"} for n in range(6)]
        (directory / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (directory / "dev.csv").write_text("question,answer\n" + "".join(f"item-{n},?\n" for n in range(6)))
        colours = ("NO_COLOR", "FORCE_COLOR")
        self.environ = {
            **{key: value for key, value in os.environ.items() if key not in colours},
            "DSPEX_RUNTIME_DIR": str(run),
            "DSPEX_STORE": str(directory / "store.db"),
            "OPENAI_API_KEY": "k",
            "PYTHONPATH": str(ROOT),
        }
        self.model = ("--model", "openai/m", "--api-base", endpoint.url)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dspex", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.directory, env=self.environ, stdout=pipe, stderr=pipe, text=True)

    def dspex(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == code, (arguments, process.returncode, out, err)
        assert "\x1b" not in out + err
        return out, err


@pytest.fixture
def project() -> Iterator[Project]:
    with tempfile.TemporaryDirectory(prefix="dx") as directory, FaultServer() as endpoint:
        yield Project(Path(directory), endpoint)


@pytest.mark.parametrize("data", ["dev.jsonl", "dev.csv"])
def test_eval_scores_a_program_on_a_file(project: Project, data: str) -> None:
    out, _ = project.dspex("eval", "shop:make", "-m", "shop:same", "-d", data, *project.model)
    assert "0.0" in out
    out, _ = project.dspex("eval", "shop:make", "-m", "shop:same", "-d", data, *project.model, "--json")
    result = json.loads(out)  # and nothing else is on standard output
    assert (result["score"], len(result["rows"])) == (0.0, 6)
    assert len(project.endpoint.requests) == 6  # the second time they were in the cache on disk


def test_eval_exits_with_one_when_an_example_failed_and_logs_beside_its_json(project: Project) -> None:
    project.endpoint.faults = always("auth_401")
    arguments = ("eval", "shop:make", "-m", "shop:same", "-d", "dev.jsonl", *project.model)
    out, _ = project.dspex(*arguments, "--json", code=1)
    assert sum(json.loads(out)["failures"].values()) == 6


def test_eval_says_why_examples_failed(project: Project) -> None:
    del project.environ["OPENAI_API_KEY"]
    arguments = ("eval", "shop:make", "-m", "shop:same", "-d", "dev.jsonl", "--model", "openai/m")
    out, _ = project.dspex(*arguments, code=1)
    assert out.splitlines()[0].startswith("no score: 0 of 6 examples have one")
    assert "  refused: no API key for openai: set OPENAI_API_KEY, or pass api_key=..." in out.splitlines()


@pytest.mark.parametrize("verb", [("eval",), ("optimize", "-o", "better.json")])
def test_a_job_without_a_model_asks_for_one(project: Project, verb: tuple[str, ...]) -> None:
    out, err = project.dspex(*verb, "shop:make", "-m", "shop:same", "-d", "dev.jsonl", code=2)
    assert (out, err.splitlines()[-1]) == ("", "dspex: no model: give --model PROVIDER/MODEL")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eval", "shop:nothing", "-m", "shop:same", "-d", "dev.jsonl"), "shop has no 'nothing'"),
        (("eval", "nowhere:x", "-m", "shop:same", "-d", "dev.jsonl"), "there is no module 'nowhere'"),
        (
            ("eval", "shop:make", "-m", "nothing", "-d", "dev.jsonl"),
            "there is no metric 'nothing': there are answer_exact_match, ",
        ),
        (("eval", "shop:make", "-m", "shop:same", "-d", "gone.jsonl"), "there is no file gone.jsonl"),
        (
            ("optimize", "shop:make", "-m", "shop:same", "-d", "dev.jsonl", "-o", "o", "--optimizer", "X"),
            "there is no optimizer 'X': there are BootstrapFewShot, ",
        ),
    ],
)
def test_what_is_not_there_is_one_sentence(project: Project, arguments: tuple[str, ...], words: str) -> None:
    out, err = project.dspex(*arguments, code=1)
    assert words in err
    assert out == ""
    assert "Traceback" not in err


def test_optimize_saves_a_better_program_and_its_run_can_be_shown(project: Project) -> None:
    arguments = ("optimize", "shop:make", "-m", "shop:same", "-d", "dev.jsonl", "-o", "better.json", "--run-id", "r-1")
    out, _ = project.dspex(*arguments, *project.model, "--optimizer", "BootstrapFewShot", "--json")
    assert json.loads(out)["run"] == "r-1"
    assert json.loads((project.directory / "better.json").read_text())
    (run,) = json.loads(project.dspex("runs", "--json")[0])
    assert (run["id"], run["state"]) == ("r-1", "done")
    assert "BootstrapFewShot" in project.dspex("runs", "show", "r-1")[0]
    assert "is done" in project.dspex("runs", "resume", "r-1", code=1)[1]
    evaluated, _ = project.dspex(
        "eval",
        "shop:make",
        "-m",
        "shop:same",
        "-d",
        "dev.jsonl",
        *project.model,
        "--load",
        "better.json",
        "--limit",
        "2",
    )
    assert "2" in evaluated


LOOKING = ("runs", "crashes", "deadletters", "quarantine", "store size", "store vacuum", "doctor")


@pytest.mark.parametrize("command", LOOKING)
def test_who_looks_makes_no_store(project: Project, command: str) -> None:
    before = sorted(project.directory.rglob("*"))
    out, _ = project.dspex(*command.split())
    assert out.startswith("No") or command in ("store vacuum", "doctor")
    if command != "doctor":
        missing = project.directory / "missing.db"
        out, err = project.dspex(*command.split(), "--store", "./missing.db", code=2)
        assert (out, err) == ("", f"dspex: there is no store at {missing}\n")
    assert sorted(project.directory.rglob("*")) == before


def test_a_run_that_is_nowhere_is_one_sentence(project: Project) -> None:
    said = "dspex: no run 'nope' in the store; `dspex runs` lists those that are\n"
    assert project.dspex("runs", "show", "nope", code=1)[1] == said
    said = "dspex: no run 'nope' in the store or in a running system\n"
    assert project.dspex("runs", "resume", "nope", code=1)[1] == said
    assert "no dspex system is running" in project.dspex("runs", "pause", "nope", code=2)[1]


def test_serve_answers_until_sigterm_and_then_ends_well(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with project.start("serve", "ask=shop:make", "--port", str(port), "--log-level", "error", *project.model) as server:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=30), timeout=60) as client:
            assert client.get("/readyz").json()["ready"] is True
            assert client.post("/ask", json={"question": "item-1"}).status_code == 200
        assert "running" in project.dspex("ps")[0]
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)
    assert server.returncode == 0
    project.dspex("ps", code=2)


def test_the_demo_is_a_system_to_look_at_and_says_what_it_did(project: Project) -> None:
    with project.start("demo", "--seconds", "6", "--json") as demo:
        found: list[Any] = []
        while not found:
            with project.start("ps", "--json") as ps:
                found = json.loads(ps.communicate(timeout=60)[0] or "[]")
        assert found[0]["name"] == "demo"
        tree, _ = project.dspex("tree")
        assert "writer" in tree
        out, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert json.loads(out)["answered"] > 0


def test_doctor_exits_with_one_when_something_is_wrong_and_names_it(project: Project) -> None:
    out, _ = project.dspex("doctor")
    assert "BAD" not in out
    (project.directory / "dspex.toml").write_text("num_wrokers = 3\n")
    out, _ = project.dspex("doctor", code=1)
    assert "num_wrokers" in out
    found = {each["what"]: each["state"] for each in json.loads(project.dspex("doctor", "--json", code=1)[0])}
    assert found["settings"] == "bad"


def _page(*words: str, columns: int) -> str:
    from typer.testing import CliRunner

    from dspex.cli import app

    result = CliRunner().invoke(
        app(words[:1]), [*words, "--help"], terminal_width=columns, env={"COLUMNS": str(columns)}
    )
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("verb", ["", *sorted(_VERBS)])
def test_every_command_says_how_it_is_used_with_an_example(verb: str, columns: int) -> None:
    own = _page(*verb.split(), columns=columns)
    commands = [line.split()[0] for line in _listed(own)]
    for line in _listed(own):
        assert len(line.strip().split(maxsplit=1)[1]) <= 45
        assert not line.endswith("..."), line  # no one's help is cut
    for page in [_page(verb, each, columns=columns) for each in commands if verb] or [own] if verb else []:
        (example,) = [line for line in page.splitlines() if "Example:" in line]
        assert example.startswith(f"  Example: dspex {verb}"), page
        assert len(example) <= 80
        assert page.split("Example:")[1].splitlines()[1] == "", page  # the example is one line
        assert "--json" in page or verb == "serve"
        assert not re.search(r"<[a-z]|[{}]", page), page  # types of Python, or braces


@pytest.mark.parametrize("verb", sorted(_VERBS))
def test_every_option_and_argument_has_words(verb: str) -> None:
    from typer.main import get_command

    from dspex.cli import app

    whole: Any = get_command(app([verb]))
    command = whole if whole.name == verb else whole.commands[verb]
    for each in getattr(command, "commands", {verb: command}).values():
        assert all(parameter.help for parameter in each.params), each.name


def _listed(page: str) -> list[str]:
    """The lines of a group's commands."""
    _, found, rest = page.partition("Commands:\n")
    return [line for line in rest.splitlines() if line.startswith("  ") and line[2:3].strip()] if found else []


def test_no_color_is_honoured_in_a_terminal(project: Project) -> None:
    pty = pytest.importorskip("pty")
    shown = {}
    for name, value in (("with", {}), ("without", {"NO_COLOR": "1"})):
        main, other = pty.openpty()
        environ = {**project.environ, "TERM": "xterm", "COLUMNS": "80", **value}
        command = [sys.executable, "-m", "dspex", "doctor"]
        with subprocess.Popen(command, cwd=project.directory, env=environ, stdout=other, stderr=other) as process:
            os.close(other)
            text = b""
            try:
                while chunk := os.read(main, 65536):
                    text += chunk
            except OSError:  # the end of a terminal
                pass
            process.wait(60)
        os.close(main)
        shown[name] = text
    assert b"\x1b[3" in shown["with"]
    assert b"\x1b[3" not in shown["without"]
