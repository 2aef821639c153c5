"""A system with a model of the tests' own, which must end clean."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import dspex
from tests.dspex.programs.models import Model


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def system(model: Model) -> Iterator[dspex.System]:
    with dspex.System("test", lm=model, store=False, control_socket=False, stall_after=5.0) as system:
        yield system
    report = system.scheduler.shutdown()
    assert report.clean, report
