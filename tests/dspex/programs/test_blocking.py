"""Synchronous code runs in fibers; code that blocks is found out, or says so, and runs on threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dspex
from dspex.programs._placement import Place, Placement
from tests.dspex.programs.models import Model


@pytest.fixture
def watched(model: Model) -> Iterator[dspex.System]:
    """A system that notices soon when its loop is held."""
    with dspex.System("watched", lm=model, store=False, control_socket=False, stall_after=0.05) as system:
        yield system


def loop_thread(system: dspex.System) -> int:
    return system.scheduler.ident


def test_a_forward_that_does_not_block_runs_on_the_loop(system: dspex.System) -> None:
    class Plain(dspex.Module):
        def forward(self) -> int:
            return threading.get_ident()

    ref = system.spawn(Plain())
    assert {ref() for _ in range(10)} == {loop_thread(system)}
    assert {Plain()() for _ in range(10)} == {loop_thread(system)}


def test_a_module_that_says_it_blocks_never_runs_on_the_loop(system: dspex.System) -> None:
    class Says(dspex.Module):
        blocking = True

        def __init__(self) -> None:
            self.first = dspex.Predict("question -> answer")

        def forward(self) -> tuple[int, str]:
            return threading.get_ident(), self.first(question="q").answer

    for program in (Says(), system.spawn(Says())):
        ident, answer = program()
        assert ident != loop_thread(system)
        assert answer == "answer of q"


def test_a_forward_that_blocks_is_moved_to_threads_after_its_first_call(watched: dspex.System) -> None:
    class Sleeps(dspex.Module):
        def forward(self, seconds: float) -> int:
            time.sleep(seconds)
            return threading.get_ident()

    ref = watched.spawn(Sleeps())
    assert ref(seconds=0.5) == loop_thread(watched)
    for _ in range(3):
        assert ref(seconds=0) != loop_thread(watched)
        assert Sleeps()(seconds=0) != loop_thread(watched)


def test_a_call_that_held_the_loop_proves_nothing_though_the_watchdog_has_not_seen_it(watched: dspex.System) -> None:
    watched.scheduler._watchdog.stop()

    class Sleeps(dspex.Module):
        def forward(self, seconds: float) -> None:
            time.sleep(seconds)

    Sleeps()(seconds=0.3)
    assert watched.placement.place(Sleeps.forward.__code__) is Place.TRIAL


def test_the_inner_module_that_blocks_is_moved_and_not_the_outer_one(watched: dspex.System) -> None:
    class Inner(dspex.Module):
        def forward(self, seconds: float) -> int:
            time.sleep(seconds)
            return threading.get_ident()

    class Outer(dspex.Module):
        def __init__(self) -> None:
            self.inner = Inner()

        def forward(self, seconds: float) -> tuple[int, int]:
            return threading.get_ident(), self.inner(seconds=seconds)

    program = Outer()
    program(seconds=0.5)
    outer, inner = program(seconds=0)
    assert outer == loop_thread(watched)
    assert inner != loop_thread(watched)


def test_while_the_first_call_is_on_trial_others_run_on_threads(system: dspex.System, model: Model) -> None:
    class Asks(dspex.Module):
        def __init__(self) -> None:
            self.first = dspex.Predict("question -> answer")

        def forward(self, question: str) -> int:
            ident = threading.get_ident()
            self.first(question=question)
            return ident

    ref = system.spawn(Asks())
    gate = model.hold()
    replies = [ref.call(question=f"q{n}") for n in range(8)]
    model.wait_for(8)
    model.gate = None
    gate.set(None)
    idents = [reply.get(timeout=10) for reply in replies]
    assert idents[0] == loop_thread(system)
    assert loop_thread(system) not in idents[1:]
    assert ref(question="after") == loop_thread(system)


def test_calls_that_come_together_are_at_work_before_the_one_on_trial_can_hold_the_loop(system: dspex.System) -> None:
    meeting = threading.Barrier(8, timeout=20)

    class Meets(dspex.Module):
        def forward(self) -> int:
            return meeting.wait()

    ref = system.spawn(Meets())
    replies = system.scheduler.submit(lambda: [ref.call() for _ in range(8)]).get(timeout=30)
    assert sorted(reply.get(timeout=30) for reply in replies) == list(range(8))


def test_all_calls_of_a_blocking_forward_are_at_work_at_once(system: dspex.System) -> None:
    meeting = threading.Barrier(32, timeout=20)

    class Meets(dspex.Module):
        blocking = True

        def forward(self) -> int:
            return meeting.wait()

    ref = system.spawn(Meets())
    replies = [ref.call() for _ in range(32)]
    assert sorted(reply.get(timeout=30) for reply in replies) == list(range(32))


# -- the decision itself


def code(number: int) -> CodeType:
    return compile(str(number), f"<{number}>", "eval")


def test_unknown_code_is_tried_once_and_is_in_doubt_meanwhile() -> None:
    placement = Placement(set())
    one = code(1)
    assert [placement.place(one) for _ in range(3)] == [Place.TRIAL, Place.DOUBT, Place.DOUBT]
    placement.left(one, Place.TRIAL, True)
    assert placement.place(one) is Place.FIBER
    assert placement.place(code(2)) is Place.TRIAL


def test_a_trial_that_failed_proves_nothing() -> None:
    placement = Placement(set())
    one = code(1)
    placement.place(one)
    placement.left(one, Place.TRIAL, False)
    assert placement.place(one) is Place.TRIAL


def test_code_that_was_seen_to_block_runs_on_threads_for_good() -> None:
    blocking: set[CodeType] = set()
    placement = Placement(blocking)
    one, two = code(1), code(2)
    placement.place(one)
    blocking.add(one)
    placement.left(one, Place.TRIAL, True)
    assert placement.place(one) is Place.THREAD
    placement.place(two)
    placement.left(two, Place.TRIAL, True)
    blocking.add(two)
    assert placement.place(two) is Place.THREAD


@given(st.lists(st.sampled_from(["call", "end well", "end badly"]), max_size=60), st.integers(1, 5))
def test_at_most_one_call_is_on_trial_and_at_most_the_width_in_doubt(steps: list[str], width: int) -> None:
    placement = Placement(set(), width)
    one = code(1)
    running: list[Place] = []
    proved = False
    for step in steps:
        if step == "call":
            place = placement.place(one)
            running.append(place)
            if proved:
                assert place is Place.FIBER
        elif running:
            place = running.pop(0)
            placement.left(one, place, step == "end well")
            proved = proved or (place is Place.TRIAL and step == "end well")
        assert running.count(Place.TRIAL) <= 1
        assert running.count(Place.DOUBT) <= width
