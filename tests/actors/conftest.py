"""Fixtures for the tests of the actor runtime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from actors import AsyncActor, Scheduler, ThreadActor
from actors.testing import no_leaks


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No actor, thread, task, scheduler or process outlives a test."""
    with no_leaks(grace=5.0):
        yield


@pytest.fixture
def scheduler(nothing_left: None) -> Iterator[Scheduler]:
    """A scheduler that is chosen for the test, and that must end clean."""
    with Scheduler("test", stall_after=5.0) as scheduler:
        yield scheduler
    report = scheduler.shutdown()
    assert report.clean, report


@pytest.fixture(params=[AsyncActor, ThreadActor], ids=["async", "thread"])
def actor_kind(request: pytest.FixtureRequest, scheduler: Scheduler) -> Any:
    """Both kinds of actor: what a test says of one must be true of the other."""
    return request.param
