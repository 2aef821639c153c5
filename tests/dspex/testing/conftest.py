from __future__ import annotations

from collections.abc import Iterator

import pytest

import dspex
from actors import Scheduler
from actors.testing import no_leaks


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with no_leaks():
        yield


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with dspex.System(store=False, control_socket=False, stall_after=30.0) as system:
        yield system.scheduler
