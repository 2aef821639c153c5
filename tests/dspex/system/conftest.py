"""Systems that keep nothing and listen nowhere, unless a test is about that."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dspex
from dspex.testing import DummyLM

Make = Callable[..., dspex.System]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes systems, and closes what a test leaves running."""
    made: list[dspex.System] = []

    def new(name: str = "test", **options: Any) -> dspex.System:
        given = {"lm": DummyLM([{"answer": "42"}] * 50), "store": False, "control_socket": False, "stall_after": 5.0}
        system = dspex.System(name, **{**given, **options})
        made.append(system)
        return system

    yield new
    for system in made:
        system.close()


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: a unix socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="dx") as directory:
        yield Path(directory)
