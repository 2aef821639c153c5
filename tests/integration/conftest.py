"""Every test here: a system of its own, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dspex import System
from dspex._settings import settings


@pytest.fixture
def system() -> Iterator[System]:
    with System("integration") as system:
        yield system
    settings.reset()
