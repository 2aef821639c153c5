"""Every test here: a system of its own, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.testing import no_leaks
from dspex import System
from dspex._settings import settings


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with no_leaks():
        yield
    settings.reset()


@pytest.fixture
def system() -> Iterator[System]:
    with System("streams") as system:
        yield system
