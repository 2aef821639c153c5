"""A model server is killed in mid-run and brought back: what its callers see of it, and what they need not do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dspex
from actors import Reply
from dspex import BreakerOpenError, LMTransportError, System
from dspex.lm import BreakerPolicy
from dspex.local import LocalServer, serve

pytestmark = pytest.mark.realmodel

CALLERS = 12
OPEN_FOR = 5.0  # seconds: long enough to look at an open breaker on a machine that is busy with other things
STORY = "Tell a long story about the sea."


class Storyteller(dspex.Module):
    """Two modules, of which the first is at work for as long as the server lives."""

    def __init__(self) -> None:
        super().__init__()
        self.tell = dspex.Predict("topic -> story")
        self.title = dspex.Predict("story -> title")

    def forward(self, topic: str) -> Any:
        story = self.tell(topic=topic).story
        return dspex.Prediction(story=story, title=self.title(story=story[:80], config={"max_tokens": 8}).title)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A server of this test's own, since it is killed."""
    with serve() as server:
        yield server


@pytest.fixture
def system(server: LocalServer) -> Iterator[System]:
    lm = dspex.LM(
        f"llamacpp/{server.model}",
        model_type="text",
        base_url=server.base_url,
        max_tokens=2000,
        temperature=0,
        cache=False,
        breaker=BreakerPolicy(open_for=OPEN_FOR),
    )
    with System("outage", lm=lm, adapter=dspex.PlainAdapter(), store=False, control_socket=False) as system:
        yield system


def pool_of(system: System) -> dict[str, Any]:
    pool: dict[str, Any]
    (pool,) = system.lm_service.snapshot()["pools"]
    return pool


def until(condition: Callable[[], bool]) -> None:
    """Other processes and the real clock take their time: look again until it is so."""
    patience = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        patience.wait(0.005)
    raise AssertionError("it never came to that")


def outcome(reply: Reply[Any]) -> Any:
    try:
        return reply.get(timeout=60)
    except Exception as error:  # noqa: BLE001  whatever the caller got
        return error


def test_a_killed_server_fails_its_calls_by_type_opens_the_breaker_and_is_used_again_when_it_is_back(
    server: LocalServer, system: System
) -> None:
    ref = system.spawn(Storyteller(), name="storyteller")
    actors = ref.actors()
    replies = [ref.call(topic=STORY) for _ in range(CALLERS)]
    until(lambda: sum(pool["in_flight"] for pool in system.lm_service.snapshot()["pools"]) == CALLERS)
    server.kill()

    failures = [outcome(reply) for reply in replies]
    assert {type(failure) for failure in failures} <= {LMTransportError, BreakerOpenError}
    assert pool_of(system)["breaker"] == "open"

    sent = pool_of(system)["requests"]
    refused = [outcome(ref.call(topic=STORY)) for _ in range(CALLERS)]
    assert {type(failure) for failure in refused} == {BreakerOpenError}
    assert all(0 < failure.retry_after <= OPEN_FOR for failure in refused)
    assert pool_of(system)["requests"] == sent  # refused without a connection being tried

    server.start()
    until(lambda: pool_of(system)["breaker"] == "half_open")
    ref.update(config={"max_tokens": 8})
    assert ref(topic=STORY, timeout=60).story
    assert pool_of(system)["breaker"] == "closed"
    assert ref.actors() == actors  # none of them was restarted
    metrics = ref.metrics()
    assert (metrics["self"].calls, metrics["self"].errors) == (2 * CALLERS + 1, 2 * CALLERS)
