"""The leak check as a pytest fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.testing._leaks import no_leaks

__all__ = ["leak_check"]


@pytest.fixture
def leak_check() -> Iterator[None]:
    """Fails the test if an actor, a thread, a task, a scheduler or a child process that it made outlives it.

    Import it in a `conftest.py`; `pytestmark = pytest.mark.usefixtures("leak_check")` applies it to a module.
    Ask for it before the fixtures that start things, so that it looks after they have cleaned up.
    """
    with no_leaks():
        yield
