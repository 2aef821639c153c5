"""What the answers of a system look like on terminals of different widths."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest
from rich.console import Console, Group

from dspex.cli import _console
from dspex.cli._console import emit_facts, emit_list
from dspex.cli._runs import _spent as spent
from dspex.cli._views import event_row, event_text, shortened, top_text, tree_text


def drawn(thing: Any, width: int) -> list[str]:
    """The lines of it on a terminal so wide."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None, highlight=False).print(Group(thing))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert all(len(line) <= width for line in lines)
    return lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue()).splitlines()]


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> Terminal:
    """Standard output is a terminal so wide."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    return screen


TREE = {
    "id": "demo",
    "kind": "supervisor",
    "strategy": "one_for_one",
    "children": [
        {"id": "pools", "kind": "supervisor", "strategy": "one_for_one", "dynamic": True, "children": []},
        {
            "id": "self",
            "kind": "worker",
            "class": "ModuleActor",
            "restarts": 1,
            "last_exit": "SystemExit: unanswerable 1:\nthat is too much",
            "metrics": {"calls": 1, "total_tokens": 2000},
            "children": [],
        },
    ],
}


def test_a_tree_says_what_is_dynamic_and_the_last_exit_last():
    assert drawn(tree_text(TREE), 200) == [
        "demo  one_for_one",
        "+- pools  dynamic",
        "`- self  ModuleActor  restarted 1x  1 call  2,000 tokens"
        "  last exit: SystemExit: unanswerable 1: that is too much",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_tree_is_cut_at_the_edge_so_that_its_lines_stay_whole(width):
    lines = drawn(tree_text(TREE), width)
    assert len(lines) == 3
    assert lines[2].endswith("…")


def test_a_path_is_shortened_in_the_middle():
    assert shortened("demo/programs/writer/plan", 25) == "demo/programs/writer/plan"
    assert shortened("demo/programs/writer/plan", 12) == "dem…ter/plan"
    assert len(shortened("x" * 90, 33)) == 33


def test_top_leaves_out_what_is_empty_before_it_shortens_paths():
    rows = [
        {"path": "shop/programs/sentiment/classify", "state": "running", "rate": 9.0, "handled": 2, "mailbox": 0},
        {"path": "shop/lm", "state": "running", "rate": 0.0, "handled": 0, "mailbox": 0, "restarts": 1},
    ]
    reading = {"totals": {"actors": 2}, "actors": rows, "hidden": 0}
    wide = drawn(top_text(reading, 120), 120)
    assert "waiting" in wide[1]
    narrow = drawn(top_text(reading, 60), 60)
    assert narrow[-2].split()[0] == "shop/pro…ntiment/classify"
    assert "waiting" not in "".join(narrow)
    assert "restarts" in "".join(narrow)


EVENT = {"topic": "actor.crashed", "wall_time": 0.0, "metadata": {"actor": "A#1", "reason": "it broke " * 9}}


@pytest.mark.parametrize(("width", "indent"), [(60, 9), (80, 9), (120, 42)])
def test_what_does_not_fit_of_an_event_goes_on_beside_its_time(width, indent):
    first, *more = drawn(event_row(EVENT, width), width)
    assert "actor.crashed" in first
    assert more
    assert all(line.startswith(" " * indent) and line[indent] != " " for line in more)


def test_an_event_is_one_line_in_a_pipe():
    assert "\n" not in event_text(EVENT).plain


ROWS = [{"id": "bootstrap-0a1b2c3d4e5f60718293", "kind": "BootstrapFewShot", "best": 46.67, "age": "4.4s ago"}]
COLUMNS = {name: lambda row, name=name: row[name] for name in ROWS[0]}


@pytest.mark.parametrize(("width", "shown"), [(80, ["id", "kind", "best", "age"]), (50, ["id", "best", "age"])])
def test_a_list_on_a_narrow_terminal_leaves_out_what_can_be_spared_and_no_figure_is_cut(monkeypatch, width, shown):
    screen = terminal(monkeypatch, width)
    emit_list(ROWS, COLUMNS, empty="", long=["id", "kind"], spare=["kind", "age"], as_json=False)
    lines = screen.lines()
    assert lines[0].split() == shown
    assert "46.67" in lines[1]
    assert max(map(len, lines)) <= width


def test_long_facts_go_on_below_themselves(monkeypatch):
    screen = terminal(monkeypatch, 40)
    emit_facts([("class", "BootstrapFewShotWithRandomSearch"), ("seed", None)], indent=2)
    assert screen.lines() == ["  class  BootstrapFewShotWithRandomSearc", "         h", "  seed   -"]


def test_a_run_whose_answers_all_came_from_the_cache_was_free():
    run = {"summary": {"calls": 60, "cached": 60}, "tokens": 0, "cost": None}
    assert spent(run) == "60 calls, all from the cache, $0"
    assert spent({**run, "tokens": 1}) == "unknown, 1 token"  # of an earlier sitting
    assert spent({**run, "summary": {"calls": 60, "cached": 59}, "cost": 0.5}) == "$0.5000, 0 tokens"
    assert spent({**run, "summary": {}}) == "unknown, 0 tokens"


def test_words_for_numbers():
    assert [_console.plural(n, "token") for n in (0, 1, 2000)] == ["0 tokens", "1 token", "2,000 tokens"]
    assert [_console.score(each) for each in (None, 46.666666666666664)] == ["-", "46.67"]
