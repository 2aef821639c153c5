"""One suite for both databases: `url` is a fresh SQLite file, then a fresh schema of a real PostgreSQL."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dspex.store import Store

DEFAULT_SERVER = "postgresql://postgres@127.0.0.1:5432/test"
HOW_TO_START = (
    "no PostgreSQL answers at 127.0.0.1:5432: start one (`docker run -e POSTGRES_HOST_AUTH_METHOD=trust"
    " -e POSTGRES_DB=test -p 5432:5432 postgres`), or name one in DSPEX_TEST_POSTGRES=postgresql://USER@HOST/DATABASE"
)


class Clock:
    """Time that stands still until it is told otherwise."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _listening() -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", 5432)) == 0


@pytest.fixture(scope="session")
def postgres_server() -> str:
    server = os.environ.get("DSPEX_TEST_POSTGRES")
    if server is None and _listening():
        server = DEFAULT_SERVER
    if server is None:
        if os.environ.get("DSPEX_REQUIRE_POSTGRES") == "1":
            pytest.fail(HOW_TO_START)
        pytest.skip(HOW_TO_START)
    return server


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A schema of its own, dropped afterwards."""
    import psycopg

    schema = f"dspex_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        try:
            yield f"{postgres_server}?options=-csearch_path%3D{schema}"
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store() -> Iterator[Callable[..., Store]]:
    """Opens stores that are closed after the test."""
    stores: list[Store] = []

    def open_(location: str, **options: object) -> Store:
        options.setdefault("fsync", False)
        store = Store.open(location, **options)  # type: ignore[arg-type]
        stores.append(store)
        return store

    yield open_
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, clock: Clock, open_store: Callable[..., Store]) -> Store:
    return open_store(url, clock=clock)


@pytest.fixture
def sqlite_store(sqlite_url: str, clock: Clock, open_store: Callable[..., Store]) -> Store:
    return open_store(sqlite_url, clock=clock)
