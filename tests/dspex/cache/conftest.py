from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.testing import no_leaks


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with no_leaks():
        yield
