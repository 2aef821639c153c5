"""Jobs, programs and poison through the command line: processes against a living service."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.dspex.cli.conftest import ROOT, Service


def until(look: Callable[[], Any], wanted: Callable[[Any], bool] = bool) -> Any:
    """What is seen when it is as wanted: orders are messages on their way."""
    while not wanted(seen := look()):
        pass
    return seen


def test_a_spawned_program_is_begun_anew_and_those_who_call_it_notice_nothing(service: Service) -> None:
    before = {node["path"]: node["actor"] for node in service.json("tree", "shop/programs/rag")["children"]}
    assert "was restarted" in service.dspex("restart", "shop/programs/rag", "--yes")
    after = {node["path"]: node["actor"] for node in service.json("tree", "shop/programs/rag")["children"]}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    calls = service.json("inspect", "shop/programs/rag/self")["metrics"]["calls"]
    until(lambda: service.json("inspect", "shop/programs/rag/self")["metrics"]["calls"], lambda now: now > calls)


def test_an_evaluation_is_scaled_and_shown_with_its_progress(mortal: Service) -> None:
    mortal.tell("evaluate")
    jobs = until(lambda: mortal.json("tree", "shop/evaluations")["children"])
    path = jobs[0]["path"]
    assert mortal.dspex("scale", path, "5") == f"{path} is scaled to 5\n"
    until(lambda: mortal.json("tree", path)["children"], lambda below: len(below) == 6)  # and the collector
    assert mortal.json("scale", path, "3") == {"path": path, "workers": 3}
    assert "error" in mortal.dspex("scale", path, "0", code=2).lower()
    assert "evaluation" in mortal.dspex("stop", path, "--yes")
    until(lambda: mortal.json("tree", "shop/evaluations")["children"], lambda below: not below)


def test_a_run_is_paused_resumed_and_cancelled(mortal: Service) -> None:
    mortal.tell("optimize live-1")
    assert mortal.dspex("runs", "pause", "live-1") == "live-1 is paused\n"
    until(lambda: mortal.json("runs", "pause", "live-1"), lambda run: run["state"] == "paused")
    until(lambda: {run["id"]: run["state"] for run in mortal.json("runs")}["live-1"], lambda s: s == "paused")
    assert mortal.dspex("runs", "resume", "live-1") == "live-1 goes on\n"
    until(lambda: mortal.json("runs", "resume", "live-1"), lambda run: run["state"] == "running")
    until(lambda: {run["id"]: run["state"] for run in mortal.json("runs")}["live-1"], lambda s: s == "running")
    assert mortal.dspex("runs", "cancel", "live-1", "--timeout", "60") == "live-1 is cancelled\n"
    until(lambda: {run["id"]: run["state"] for run in mortal.json("runs")}["live-1"], lambda s: s == "cancelled")
    assert "cancelled" in mortal.dspex("runs", "show", "live-1")
    assert "there is nothing to resume" in mortal.dspex("runs", "resume", "live-1", code=1)
    assert "best score" in mortal.dspex("runs", "compare", "live-1", "rag-1")
    assert {run["id"] for run in mortal.json("runs", "compare", "live-1", "rag-1")["runs"]} == {"live-1", "rag-1"}


def test_a_run_is_found_in_whichever_system_has_it(mortal: Service) -> None:
    mortal.tell("optimize live-1")
    other = [
        sys.executable,
        "-c",
        "import dspex, sys\nwith dspex.System('other', store=False): print(), sys.stdin.read()",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(other, cwd=ROOT, env=mortal.environ, stdin=pipe, stdout=pipe, text=True) as second:
        assert second.stdout is not None
        second.stdout.readline()
        until(lambda: len(mortal.json("ps")), lambda count: count == 2)
        assert mortal.dspex("runs", "pause", "live-1") == "live-1 is paused\n"
        assert mortal.dspex("runs", "resume", "live-1") == "live-1 goes on\n"
        assert "no run 'nope' in a running system" in mortal.dspex("runs", "cancel", "nope", code=1)
        assert "no run 'live-1' lives in 'other'" in mortal.dspex("runs", "pause", "live-1", "-n", "other", code=1)
        second.communicate("")


def test_a_living_run_tells_how_far_it_is_to_who_lists_the_runs(mortal: Service) -> None:
    mortal.tell("optimize live-2")
    mortal.dspex("runs", "pause", "live-2")  # which is a sign of life, with its figures
    until(lambda: {run["id"]: run["tokens"] for run in mortal.json("runs")}["live-2"])


def test_an_input_that_kills_is_listed_shown_replayed_released_and_dropped(mortal: Service) -> None:
    assert mortal.dspex("quarantine") == "No input is quarantined.\n"
    mortal.tell("poison")
    (found,) = mortal.json("quarantine", "list")
    key = found["key"]
    assert (found["program"], found["kills"], found["payload"]) == ("kills", 2, {"question": "poison"})
    assert key[:12] in mortal.dspex("quarantine", "list")
    assert '"question": "poison"' in mortal.dspex("quarantine", "show", key[:8])
    assert "quarantine.added" in mortal.dspex("events", "--topic", "quarantine")
    mortal.dspex("quarantine", "replay", key[:8], code=1)  # it kills again, and stays
    assert len(mortal.json("quarantine")) == 1
    mortal.tell("cure")
    assert "fine" in mortal.dspex("quarantine", "replay", key[:8])
    assert mortal.json("quarantine") == []
    assert "no quarantined input" in mortal.dspex("quarantine", "show", key[:8], code=1)


def test_releasing_and_dropping_are_the_stores_business_too(mortal: Service) -> None:
    mortal.tell("poison")
    (found,) = mortal.json("quarantine")
    assert mortal.json("quarantine", "release", found["key"])["state"] == "released"
    assert mortal.json("quarantine") == []
    assert [each["state"] for each in mortal.json("quarantine", "list", "--all")] == ["released"]
    assert "Aborted" in mortal.dspex("quarantine", "drop", found["key"], code=1)
    assert "was dropped" in mortal.dspex("quarantine", "drop", found["key"], "--yes")
    assert mortal.json("quarantine", "list", "--all") == []


def test_events_are_followed_as_they_happen_and_as_json_lines(service: Service) -> None:
    command = [sys.executable, "-m", "dspex", "events", "--follow", "--json", "--topic", "actor.crashed"]
    with subprocess.Popen(
        command, cwd=ROOT, env=service.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        while not select.select([following.stdout], [], [], 0.2)[0]:  # until it has begun to listen
            service.tell("crash")
        line = following.stdout.readline()
        following.terminate()
        following.communicate()
    event = json.loads(line)
    assert (event["topic"], event["metadata"]["class"]) == ("actor.crashed", "Fragile")


def test_a_tree_is_watched_from_before_its_system_begins() -> None:
    with tempfile.TemporaryDirectory(prefix="dx") as directory:
        environ = {**os.environ, "DSPEX_RUNTIME_DIR": directory, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "dspex", "tree", "--watch", "--timeout", "60"]
        with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as watching:
            late = "import dspex, sys\nwith dspex.System('late', store=False): sys.stdin.read()"
            with subprocess.Popen([sys.executable, "-c", late], env=environ, stdin=subprocess.PIPE) as system:
                assert watching.stdout is not None
                drawn = [watching.stdout.readline() for _ in range(2)]
                watching.terminate()
                system.communicate(b"")
    assert drawn[1] == "late  one_for_one\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--json", "--dot"), "--dot and --json exclude each other"),
        (("--watch", "--mermaid"), "--watch and --mermaid exclude each other"),
        (("--what-if",), "--what-if needs the PATH that would crash"),
    ],
)
def test_a_tree_is_shown_in_one_form(service: Service, flags: tuple[str, ...], words: str) -> None:
    assert words in service.dspex("tree", *flags, code=2)


def test_events_that_are_not_there_are_missed(service: Service) -> None:
    assert service.dspex("events", "--topic", "nope") == "No events of nope are remembered.\n"


def test_a_watched_tree_is_drawn_again_and_again(service: Service) -> None:
    command = [sys.executable, "-m", "dspex", "tree", "shop/fragile", "--watch"]
    with subprocess.Popen(command, cwd=ROOT, env=service.environ, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        drawn = [watching.stdout.readline() for _ in range(4)]
        watching.terminate()
        watching.communicate()
    assert len([line for line in drawn if line.startswith("fragile  Fragile")]) == 2
    assert not any("\x1b" in line for line in drawn)
