"""A secret that everything has touched is seen nowhere, and neither are prompts where the settings say so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import structlog.testing
from typer.testing import CliRunner

import dspex
from actors import AsyncActor
from dspex.cli import app
from dspex.control import Client
from dspex.testing import DummyLM
from supervision import ChildSpec, render_text
from tests.dspex.system.test_events import PATIENCE, Heard, Kills, exact, examples
from tests.dspex.system.test_system import run

SECRET = "canary-7f3a99c1"  # of no form that gives it away as a key
PROMPT = "what is my diagnosis"


class Leaky(AsyncActor):
    """Quotes what it was told when it dies."""

    def on_receive(self, message: Any) -> Any:
        key = SECRET  # in a frame of the traceback
        raise RuntimeError(f"could not use {key} for {message}")


class Fails(dspex.Module):
    def forward(self, question: str) -> Any:
        raise ValueError(f"{SECRET} refused {question}")


@pytest.fixture
def system(make: Any, short: Path) -> Iterator[dspex.System]:
    with structlog.testing.capture_logs() as lines:
        with make(
            lm=DummyLM([{"answer": "yes"}] * 50),
            store=str(short / "s.db"),
            control_socket=str(short / "x.sock"),
            children=(ChildSpec("leaky", Leaky),),
        ) as system:
            system.conceal(SECRET)
            system.lines = lines
            yield system


def abuse(system: dspex.System) -> Heard:
    """Take the secret, and a prompt, wherever they could be told from."""
    heard = Heard(system)
    system.root._process.table.find("leaky").ref.tell(PROMPT)
    heard.until("supervisor.child_terminated")
    dspex.Evaluate(devset=examples(PROMPT), metric=exact, max_retries=0)(Fails())
    heard.until("evaluation.finished")
    ref = system.spawn(Kills(), name="kills")
    for _ in range(2):
        with pytest.raises(Exception, match=r"too much|crashed"):
            ref(question="poison")
    heard.until("quarantine.added")
    other = system.spawn(Kills(), name="other")
    system.undelivered("other", _call(system, other, SECRET), f"nobody took {SECRET}")
    system.quarantine.strike("kills", {"question": SECRET}, reason=f"died of {SECRET}")
    heard.until("quarantine.struck")
    return heard


def _call(system: dspex.System, ref: Any, question: str) -> Any:
    from dspex.programs._call import Call

    return Call(system, ref.program, (), {"question": question})


def outlets(system: dspex.System, heard: Heard, directory: Path) -> dict[str, str]:
    """Everything that can be seen of a system, by where it is seen."""
    writer = system.storage.writer
    assert writer is not None
    writer.flush()
    store = system.store
    assert store is not None
    copy = directory / "all.jsonl"
    store.export(copy)
    seen = {
        **{
            f"event {topic}": repr([dict(event.metadata) for event in heard.of(topic)])
            for topic in heard.topics() - {"actor.dead_letter"}  # it has the message itself, for who is in this process
        },
        "tree": render_text(system.tree(stacks=True)) + json.dumps(system.tree(stacks=True)),
        "html": system._repr_html_(),
        "health": json.dumps(system.health().to_json()),
        "crashes": json.dumps(system.recorder.crashes()),
        "recent": json.dumps(system.recorder.recent(limit=1000)),
        "log": repr(system.lines),
        "config": repr(list(system.config.describe())) + repr(system.config),
        "store": copy.read_text(),
        "letters": repr(system.dead_letters.list(state=None)),
        "quarantine": repr(system.quarantine.list()),
        "database": _database(directory / "s.db"),
        "repr": repr(system),
    }
    with Client(Path(str(system.control_socket)), timeout=PATIENCE) as client:
        for op, args in (
            ("tree", {}),
            ("crashes", {}),
            ("recent_events", {"limit": 1000}),
            ("inspect", {"path": "test/leaky"}),
            ("health", {}),
            ("hello", {}),
        ):
            seen[f"socket {op}"] = json.dumps(client.request(op, **args))
    socket, where = str(system.control_socket), str(directory / "s.db")
    for arguments in (
        ("tree", "--socket", socket),
        ("inspect", "test/leaky", "--socket", socket),
        ("events", "--limit", "1000", "--socket", socket),
        ("crashes", "--traceback", "--socket", socket),
        ("crashes", "--traceback", "--store", where),
        ("deadletters", "list", "--store", where),
        ("quarantine", "list", "--store", where),
    ):
        result = CliRunner().invoke(app(list(arguments)), list(arguments))
        assert result.output.strip(), (arguments, result.exception)
        seen["dspex " + " ".join(arguments[:2])] = result.output
    return seen


def _database(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        text = "\n".join(connection.iterdump())
    connection.close()
    return text


def test_a_secret_that_everything_has_touched_is_seen_nowhere(system: dspex.System, short: Path) -> None:
    found = outlets(system, abuse(system), short)
    assert {where for where, text in found.items() if SECRET in text} == set()
    assert "redacted" in found["crashes"]
    assert "RuntimeError" in found["crashes"]
    assert PROMPT in found["crashes"]  # nobody asked for that to be hidden


def test_with_redact_prompts_no_event_log_or_view_has_a_prompt(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("DSPEX_REDACT_PROMPTS", "true")
    system, short = request.getfixturevalue("system"), request.getfixturevalue("short")
    found = outlets(system, abuse(system), short)
    assert {where for where, text in found.items() if PROMPT in text} == set()
    assert {where for where, text in found.items() if SECRET in text} == set()


def test_lines_of_the_log_go_to_standard_error_when_structlog_is_not_configured() -> None:
    program = """
import dspex
from dspex.testing import DummyLM
with dspex.System("quiet", store=False, control_socket=False, lm=DummyLM([{"answer": "yes"}])) as system:
    system.scheduler.log.error("something")
    system.events.emit("quarantine.added", {}, {})
    print(dspex.Predict("question -> answer")(question="?").answer)
"""
    done = run(program)
    assert (done.stdout, done.returncode) == ("yes\n", 0)
    assert "something" in done.stderr
    assert "quarantine.added" in done.stderr
