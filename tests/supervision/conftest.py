"""Fixtures for the tests of supervision."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors import Scheduler
from actors.testing import leak_check

__all__ = ["leak_check"]


@pytest.fixture
def scheduler(leak_check: None) -> Iterator[Scheduler]:
    """A scheduler that is chosen for the test, must end clean, and leaves nothing behind."""
    with Scheduler("test", stall_after=10.0, shutdown_timeout=60.0) as scheduler:
        yield scheduler
    report = scheduler.shutdown()
    assert report.clean, report
