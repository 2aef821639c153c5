"""Every test here: nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors import Scheduler
from actors.testing import no_leaks


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with no_leaks():
        yield


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    # A slow machine is not what these tests are about.
    with Scheduler("test", seed=1, stall_after=30.0) as scheduler:
        yield scheduler
