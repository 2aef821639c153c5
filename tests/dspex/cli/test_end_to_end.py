"""The command line as people and scripts use it: processes against a living service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.dspex.cli.conftest import Service

TREE = """\
shop  one_for_one
+- store  StoreKeeper
+- lm  rest_for_one
|  `- ... 3 more below
+- programs  dynamic
|  `- ... 5 more below
+- requests  Requests
+- evaluations  one_for_one
+- teleprompters  one_for_one
+- fragile  Fragile
+- workers  one_for_one
|  `- ... 2000 more below
`- control  ControlKeeper
"""

WHAT_IF = "If shop/fragile crashed:"


def test_ps_and_tree_show_the_system_and_fold_its_crowds(service: Service) -> None:
    lines = service.dspex("ps").splitlines()
    assert lines[0].split() == ["name", "pid", "state", "up", "actors", "programs", "version"]
    assert lines[1].split()[:3] == ["shop", str(service.process.pid), "running"]
    shown = service.dspex("tree", "--depth", "1")
    assert re.sub("  restarted [0-9]+x.*", "", shown) == TREE  # other tests may have crashed the fragile one
    whole = service.dspex("tree")
    assert "`- 0..1999 x2000  Member" in whole
    assert "+- rag  one_for_one" in whole
    assert len(whole.splitlines()) < 30
    assert service.json("ps")[0]["name"] == "shop"
    assert len(service.json("tree", "shop/workers")["children"]) == 2000
    assert service.dspex("tree", "shop/programs", "--dot").startswith("digraph")
    assert "graph" in service.dspex("tree", "shop/programs", "--mermaid").splitlines()[0]


def test_inspect_top_and_events_tell_of_the_load(service: Service) -> None:
    found = service.json("inspect", "shop/programs/rag/ask")
    assert (found["class"], found["state"]) == ("ModuleActor", "running")
    assert found["metrics"]["calls"] > 0
    assert service.dspex("inspect", "shop/fragile").splitlines()[0].split() == ["path", "shop/fragile"]
    reading = service.json("top", "--count", "1", "--interval", "0.3")
    assert reading["totals"]["lm_calls_per_second"] > 0
    assert reading["actors"][0]["path"].startswith("shop/")
    assert " LM calls/s" in service.dspex("top", "--count", "1", "--interval", "0.3").splitlines()[0]


def test_a_pipe_gets_no_colour(service: Service) -> None:
    assert "\x1b" not in service.dspex("tree", "--depth", "1")


def test_an_actor_is_crashed_restarted_suspended_and_resumed_through_the_command_line(service: Service) -> None:
    before = service.json("inspect", "shop/fragile")["actor"]
    assert service.dspex("restart", "shop/fragile") == "shop/fragile was restarted\n"
    after = service.json("inspect", "shop/fragile")["actor"]
    assert after != before
    service.dspex("suspend", "shop/fragile")
    assert service.dspex("tree", "shop/fragile", code=None) == "fragile  Fragile  suspended\n"
    assert "suspended" in service.dspex("ps", code=1) or "degraded" in service.dspex("ps", code=1)
    service.dspex("resume", "shop/fragile")
    service.tell("crash")
    groups: list[Any] = []
    while not groups:  # the word to crash is a message on its way
        groups = service.json("crashes")
    (crash,) = groups
    assert (crash["message"], crash["paths"]) == ("the fragile one broke", ["shop/fragile"])
    shown = service.dspex("crashes", "--traceback")
    assert "RuntimeError: the fragile one broke" in shown
    assert "on_receive" in shown
    assert "supervisor.child_terminated" in service.dspex("events", "--topic", "supervisor")
    assert service.dspex("tree", "shop/fragile", "--what-if").startswith(WHAT_IF)
    calls = service.json("inspect", "shop/programs/rag/ask")["metrics"]["calls"]
    service.dspex("restart", "shop/programs/rag/ask")
    assert service.json("inspect", "shop/programs/rag/ask")["metrics"]["calls"] >= calls


def test_a_subtree_is_touched_only_after_a_question(service: Service) -> None:
    said = service.dspex("stop", "shop/workers", code=1)
    assert "shop/workers has 2000 actors below it" in said
    assert "Aborted: nothing was done." in said
    assert service.json("inspect", "shop/workers")["state"] == "running"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("tree", "shop/nothing"), 1, "there is no 'shop/nothing' in the tree"),
        (("restart", "shop"), 1, "stop its process instead"),
        (("scale", "shop/fragile", "3"), 1, "shop/fragile cannot be scaled"),
        (("tree", "--name", "other"), 2, "no system 'other' is running here (running: shop)"),
        (("tree", "--socket", "/nowhere.sock"), 2, "no system answers on /nowhere.sock"),
        (("runs", "pause", "rag-9"), 1, "rag-9"),
        (("deadletters", "show", "zzz"), 1, "no letter with an id that begins with 'zzz'"),
        (("prune",), 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
    service: Service, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = service.dspex(*arguments, "--yes", code=code) if arguments[0] == "restart" else None
    said = service.dspex(*arguments, code=code) if said is None else said
    assert words in said
    assert "Traceback" not in said


def test_no_system_is_exit_code_two(tmp_path: Path, service: Service) -> None:
    empty = tmp_path / "r"
    empty.mkdir(mode=0o700)
    for verb in ("ps", "tree", "top"):
        assert "no dspex system is running" in service.dspex(verb, code=2, DSPEX_RUNTIME_DIR=str(empty))


def test_letters_are_listed_shown_replayed_and_dropped(service: Service) -> None:
    (letter,) = service.json("deadletters", "list")
    assert (letter["target"], letter["payload"]) == ("rag", {"question": "again?"})
    assert "nobody was there" in service.dspex("deadletters", "list")
    assert "again?" in service.dspex("deadletters", "show", letter["id"][:8])
    assert "answer" in service.dspex("deadletters", "replay", letter["id"][:8])
    assert service.dspex("deadletters") == "No dead letters.\n"
    states = {each["state"] for each in service.json("deadletters", "list", "--all")}
    assert states == {"replayed"}


def test_the_store_is_measured_exported_pruned_and_compacted(service: Service, tmp_path: Path) -> None:
    assert service.json("store", "size")["rows"]["runs"] == 2
    copy = tmp_path / "all.jsonl"
    assert service.json("store", "export", str(copy))["rows"] == len(copy.read_text().splitlines()) - 1  # a head
    assert service.json("store", "prune", "--older-than", "30d", "--yes")["total"] == 0
    assert "freed" in service.dspex("store", "vacuum")
    assert "Error" in service.dspex("store", "prune", "--older-than", "soon", code=2)


def test_doctor_finds_everything_in_order(service: Service) -> None:
    found = {each["what"]: each for each in service.json("doctor")}
    assert found["store"]["state"] == "ok"
    assert "shop" in found["control sockets"]["detail"]


def test_ten_thousand_actors_are_one_line_a_crowd(mortal: Service) -> None:
    mortal.tell("crowd")
    whole = mortal.dspex("tree")
    assert whole.count("0..1999 x2000  Member") == 5
    assert len(whole.splitlines()) < 35
    assert mortal.json("ps")[0]["actors"] > 10_000


def test_a_held_loop_does_not_silence_it_and_is_what_it_shows(mortal: Service) -> None:
    mortal.tell("stall 600")
    said = ""
    while "event loop" not in said:  # until it has been held for longer than a busy machine may take anyway
        said = mortal.dspex("tree", "--depth", "1", code=None)
    assert "The event loop has been held for" in said
    assert "control  ControlKeeper" in said


def test_after_a_sigkill_runs_and_crashes_are_told_from_the_store(mortal: Service) -> None:
    mortal.tell("crash")
    groups: list[Any] = []
    while not groups:  # the store's actor writes every quarter of a second
        groups = mortal.json("crashes", "--store", mortal.environ["DSPEX_STORE"])
    mortal.kill()
    mortal.dspex("ps", code=2)
    (crash,) = mortal.json("crashes")
    assert (crash["message"], crash["paths"], crash["count"]) == ("the fragile one broke", ["shop/fragile"], 1)
    states = {run["id"]: run["state"] for run in mortal.json("runs", "list")}
    assert states == {"rag-1": "interrupted", "rag-0": "created"}
    assert "Its process has ended" in mortal.dspex("runs", "show", "rag-1")
    assert "seed" in mortal.dspex("runs", "compare", "rag-0", "rag-1")
