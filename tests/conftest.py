"""Fixtures that every package's tests share, and the rule for what a machine may lack."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from dspex.local import LocalServer, missing_packages, serve

# A machine under load is slow at drawing examples and at running them: neither says anything about a law.
settings.register_profile("dspex", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dspex")


def pytest_configure() -> None:
    """A shell starts background jobs deaf to Ctrl-C, and the processes that tests interrupt would inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `realmodel` are skipped without the model, unless DSPEX_REQUIRE_MODEL=1 says that they must run.

    Those marked `long` run when DSPEX_LONG_TESTS=1.
    """
    if os.environ.get("DSPEX_LONG_TESTS") != "1":
        long = pytest.mark.skip(reason="takes many minutes: set DSPEX_LONG_TESTS=1 to run it")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(long)
    missing = missing_packages()
    if not missing or os.environ.get("DSPEX_REQUIRE_MODEL") == "1":
        return
    skip = pytest.mark.skip(reason=f"the local model is not installed: {', '.join(missing)}")
    for item in items:
        if item.get_closest_marker("realmodel"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def private_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Systems of the tests keep nothing in the project and put their sockets where nobody else looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSPEX_STORE", ":memory:")
        patch.setenv("DSPEX_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        yield


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalServer]:
    """The real local model, started once for all tests that use it. Do not stop or kill this one."""
    with serve() as server:
        yield server
