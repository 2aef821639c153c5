from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from actors import Scheduler
from actors.testing import quiesce
from dspex.lm import LmService
from dspex.lm._collector import OBJECTS, collect_seldom


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_the_collector_looks_seldom_while_a_service_runs_and_as_before_when_it_has_ended() -> None:
    with Scheduler("collector") as scheduler:
        LmService.of(scheduler)
        quiesce(scheduler)  # its keeper starts on the loop
        assert gc.get_threshold() == (OBJECTS, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (5_000, 5, 5), (OBJECTS, 10, 10)])
def test_a_threshold_that_somebody_has_chosen_is_left_alone(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)
    undo = collect_seldom()
    assert gc.get_threshold() == chosen
    undo()
    assert gc.get_threshold() == chosen


def test_one_that_is_changed_meanwhile_stays_as_changed() -> None:
    undo = collect_seldom()
    gc.set_threshold(900, 10, 10)
    undo()
    assert gc.get_threshold() == (900, 10, 10)


def test_the_first_of_several_ends_it() -> None:
    first, second = collect_seldom(), collect_seldom()
    first()
    second()
    assert gc.get_threshold() == (700, 10, 10)
