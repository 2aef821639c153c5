"""A system without a store for the tests of modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import dspex


@pytest.fixture
def system() -> Iterator[dspex.System]:
    with dspex.System("test", store=False, control_socket=False, stall_after=5.0) as system:
        yield system
