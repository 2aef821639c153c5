"""Random trees under random faults: the core, the live supervisors and a naive model say the same."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from .agree import differences
from .live import Live
from .model import Model
from .scenario import Step, load
from .trees import Names, actions, calls, supervisors
from .world import World


class Family(RuleBasedStateMachine):
    """One random tree, played by the model and by another runner."""

    runner: ClassVar[str] = "pure"

    def __init__(self) -> None:
        super().__init__()
        self.other: Any = None
        self.over = False

    @initialize(tree=supervisors())
    def begin(self, tree: dict[str, Any]) -> None:
        self.tree = tree
        self.model = Model(tree)
        self.other = (
            World(tree) if self.runner == "pure" else Live(tree, "thread" if self.runner == "thread" else "async")
        )
        if self.runner != "pure":
            self.other.__enter__()
        self.both({"op": "start_tree"})

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        if self.over:
            return
        action = data.draw(actions(self.tree))
        if action.get("sup", action.get("id", "root")) not in self.model.alive:
            action = data.draw(actions(self.tree))  # those who are dead may be named, but not mostly
        self.both(action)

    @rule(data=st.data())
    def act_between_two_attempts(self, data: st.DataObject) -> None:
        """A crash whose restart fails: what is in the supervisor's mailbox by then is served before the next one."""
        able = [] if self.over else sorted(self.model.can_be_gated())
        if not able:
            return
        name = data.draw(st.sampled_from(able))
        sup = self.model.gate(name, data.draw(st.lists(st.sampled_from(["ok", "error"]), max_size=2)))
        queued = data.draw(st.lists(calls(Names(self.tree), sup), min_size=1, max_size=3))
        if data.draw(st.booleans()):
            queued.append({"op": "stop", "id": sup, "reason": "shutdown"})
        self.both({"op": "crash_gated", "id": name, "reason": "boom", "queued": queued})

    def both(self, action: dict[str, Any]) -> None:
        expected: Step = self.model.play(action)
        seen: Step = self.other.play(action)
        recorded = {
            "result": expected.result,
            "events": expected.events,
            "reports": expected.reports,
            "after": expected.after,
            "unordered": self.model.orphaned,
        }
        assert list(differences(recorded, seen, 3)) == []
        self.over = not expected.after

    def teardown(self) -> None:
        if self.other is not None and self.runner != "pure":
            self.other.__exit__()


class AsyncFamily(Family):
    runner = "async"


class ThreadFamily(Family):
    runner = "thread"


def limits(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )


TestCoreAgreesWithTheModel = Family.TestCase
TestCoreAgreesWithTheModel.settings = limits(60, 15)
TestSupervisorsAgreeWithTheModel = AsyncFamily.TestCase
TestSupervisorsAgreeWithTheModel.settings = limits(25, 12)
TestSupervisorsOfThreadsAgreeWithTheModel = ThreadFamily.TestCase
TestSupervisorsOfThreadsAgreeWithTheModel.settings = limits(12, 10)


def in_reach(scenario: dict[str, Any]) -> bool:
    """Is this recording without time and templates?"""
    text = json.dumps(scenario)
    strange = ("simple_one_for_one", "duplicate_child_name", "start_spec", "timing", "terminate_child_raw")
    waits = '"shutdown": 40' in text  # a supervisor that is killed in the middle of its own stop
    return not waits and not any(word in text for word in strange)


@pytest.mark.parametrize("file", ["core", "random"])
def test_the_model_itself_agrees_with_the_recordings_of_otp(file: str) -> None:
    scenarios = [scenario for scenario in load(file) if in_reach(scenario)]
    assert len(scenarios) > 110
    for scenario in scenarios:
        model = Model(scenario["tree"])
        for step in scenario["steps"]:
            assert list(differences(step, model.play(step["action"]), 3)) == [], scenario["name"]
