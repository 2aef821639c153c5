"""Our supervisors do what OTP's did: every recording, at every level, in every way to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import replay
from .dynamic import PLAYERS, disagreements
from .live import stage
from .scenario import DATA, load


@pytest.mark.parametrize("kind", ["pure", "async", "thread"])
@pytest.mark.parametrize("file", ["core", "random"])
def test_results_events_trees_and_reports_are_those_of_otp(file: str, kind: str, leak_check: None) -> None:
    with stage() as scheduler:
        wrong = [line for scenario in load(file) for line in replay.disagreements(scenario, 3, kind, scheduler)]
    assert wrong == []


ABOUT_SUPERVISION = ("dyn_", "task_", "stream_", "part_", "sup_", "hot_")


@pytest.mark.parametrize(
    "scenario",
    [each for each in load("dynamic") if each["name"].startswith(ABOUT_SUPERVISION)],
    ids=lambda scenario: scenario["name"],
)
def test_dynamic_supervisors_tasks_streams_and_partitions_do_as_elixirs(
    scenario: dict[str, Any], leak_check: None
) -> None:
    assert scenario["name"] in PLAYERS
    assert list(disagreements(scenario)) == []


def test_the_harness_finds_a_wrong_result_event_tree_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    scenario = next(each for each in load("core") if each["name"] == "one_for_one_crash_b")
    step = scenario["steps"][1]
    step["result"] = "wrong"
    step["events"].reverse()
    step["reports"] = []
    step["after"]["root"]["count"] = [0, 0, 0, 0]
    file = tmp_path / "broken.json"
    file.write_text(json.dumps([scenario]))
    assert replay.main([str(file), "--actors", "async"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines if line.startswith("[async]")] == [
        "result",
        "after",
        "events",
        "reports",
    ]
    assert lines[-1] == "1 scenarios played, 4 disagreements"


def test_the_harness_is_content_with_the_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(DATA / "core.json"), "--actors", "both", "--only", "ofo_", "--level", "2"]) == 0
    assert capsys.readouterr().out.endswith(" 0 disagreements\n")
