"""A spawned program under calls, crashes and updates in any order: a state machine against a simple model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import dspex
from actors import ActorCrashed, Reply
from actors.testing import quiesce
from dspex.lm import LMRequest, LMResponse
from tests.dspex.programs.models import AnsweringAsync, Model

PATHS = ("self", "first", "second", "second.predict")


class Held(Model):
    """Holds every request until it is let go, in the order that the test chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Reply[None]] = {}
        self.seconds: dict[str, str] = {}

    async def respond(self, request: LMRequest) -> LMResponse:
        name = question_of(request)
        if name not in self.held:  # the first request of a call; the second is let through
            self.held[name] = gate = Reply()
            self.requests.append(request)
            self.arrived.release()
            await gate
        else:
            self.seconds[name] = str(request.messages)
        return await Model.respond(Model(), request)


def question_of(request: LMRequest) -> str:
    """The name of the call that a request belongs to."""
    assert request.messages is not None
    return str(request.messages[-1]["content"]).split("call-", 1)[1].split("\n", 1)[0].split(" ", 1)[0]


class SpawnedProgram(RuleBasedStateMachine):
    """Calls at work are known by name; each has the version of the instructions that was in force when it began."""

    def __init__(self) -> None:
        super().__init__()
        self.lm = Held()
        self.system = dspex.System("machine", lm=self.lm, store=False, control_socket=False, stall_after=30.0).start()
        self.ref = self.system.spawn(AnsweringAsync(), name="p", intensity=10_000)
        self.version = 0
        self.ref.update(instructions="Version 0.")
        self.calls: dict[str, Reply[Any]] = {}
        self.versions: dict[str, int] = {}
        self.begun = 0
        self.failed = 0

    def teardown(self) -> None:
        for name, reply in self.calls.items():
            self.lm.held[name].set(None)
            self.check(name, reply)
        metrics = self.ref.metrics()["self"]
        assert (metrics.calls, metrics.errors, metrics.in_flight) == (self.begun, self.failed, 0)
        self.system.close()
        assert self.system.scheduler.shutdown().clean

    def send(self) -> str:
        name = f"{self.begun}x"
        self.begun += 1
        self.calls[name] = self.ref.call(question=f"call-{name}")
        return name

    def check_begun(self, name: str) -> None:
        self.lm.wait_for(1)
        request = self.lm.requests[-1]
        assert question_of(request) == name
        assert f"Version {self.version}." in str(request.messages)
        self.versions[name] = self.version

    def check(self, name: str, reply: Reply[Any]) -> None:
        result = reply.get(timeout=30)
        assert result.answer == f"answer of call-{name}"
        assert result.verdict == f"verdict of answer of call-{name}"
        assert f"Version {self.versions[name]}." in self.lm.seconds[name]  # to its end, whatever came meanwhile

    @rule()
    def call(self) -> None:
        self.check_begun(self.send())

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.calls)))
        self.lm.held[name].set(None)
        self.check(name, self.calls.pop(name))

    @rule()
    def update(self) -> None:
        self.version += 1
        self.ref.update(instructions=f"Version {self.version}.")

    @rule(path=st.sampled_from(PATHS), comes=st.sampled_from(["not", "before", "after"]))
    def crash(self, path: str, comes: str) -> None:
        """What is at work there fails.  A call that comes just before, and was not begun, or just after, before the
        restart, waits for the new actor.
        """
        quiesce(self.system.scheduler)  # what an earlier crash brought down is up again
        old = self.ref.actors()[path]
        assert old is not None
        lost: dict[str, Reply[Any]] = {}
        if path in ("self", "first"):
            lost, self.calls = self.calls, {}
        down = old.down()
        waiting = None
        if comes == "before" and path == "self":
            old.suspend()
            waiting = self.send()
        old.kill()
        if comes == "after":
            waiting = self.send()
        if waiting is not None:
            self.check_begun(waiting)
        down.get(timeout=30)
        for reply in lost.values():
            with pytest.raises(ActorCrashed):
                reply.get(timeout=30)
        self.failed += len(lost)

    @invariant()
    def the_program_lives_and_has_its_parameters(self) -> None:
        assert self.ref.is_alive()
        assert {one.signature.instructions for one in self.ref.parameters.values()} == {f"Version {self.version}."}
        assert not any(reply.done() for reply in self.calls.values())


TestSpawnedProgram = SpawnedProgram.TestCase
TestSpawnedProgram.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
