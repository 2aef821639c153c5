"""What LM access tells those who listen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors import Event, Scheduler
from dspex import context
from dspex._errors import BreakerOpenError, LMError, LMRateLimitError, LMServerError
from dspex.lm import LM, BaseLM, BreakerPolicy, LMRequest, RetryPolicy, _events
from dspex.testing import Fault, FaultServer, always, first_attempts, value_of

QUICK = RetryPolicy(retries=3, first_wait=0.001, jitter=0.0)


def model(server: FaultServer, **options: Any) -> LM:
    return LM("openai/m", base_url=server.url, **{"api_key": "sk-a-secret-key", "cache": False, **options})


class Heard:
    """Everything that was emitted, in order."""

    def __init__(self, scheduler: Scheduler, topic: str = "") -> None:
        self.events: list[Event] = []
        scheduler.events.subscribe(topic, self.events.append)

    def names(self, *but: str) -> list[str]:
        return [e.name for e in self.events if e.name.startswith(("lm.", "cache.")) and e.name not in but]

    def last(self, name: str) -> Event:
        return next(event for event in reversed(self.events) if event.name == name)


def test_a_call_is_a_start_and_a_stop_with_what_it_took(scheduler: Scheduler) -> None:
    heard = Heard(scheduler)
    with FaultServer() as server:
        assert model(server)("item-1") == [value_of(1)]
    assert heard.names() == ["lm.request.start", "lm.request.stop"]
    start, stop = heard.last("lm.request.start"), heard.last("lm.request.stop")
    assert start.metadata == {**start.metadata, "model": "openai/m", "provider": "openai", "prompt": "item-1"}
    assert stop.metadata == {
        "id": start.metadata["id"],
        "model": "openai/m",
        "provider": "openai",
        "cached": False,
        "outputs": [value_of(1)],
    }
    assert stop.measurements["requests"] == 1
    assert stop.measurements["prompt_tokens"] > 0
    assert stop.measurements["completion_tokens"] > 0
    assert stop.measurements["duration"] >= 0
    assert "cost" not in stop.measurements  # nobody knows its price


def test_a_model_of_ones_own_is_heard_too(scheduler: Scheduler) -> None:
    class Own(BaseLM):
        def forward(self, prompt: str | None = None, messages: Any = None, **kwargs: Any) -> str:
            if prompt == "fail":
                raise LMServerError("out of order", model=self.model)
            return "fine"

    async def stream() -> list[str]:
        return [chunk.text async for chunk in Own("own/m").astream(LMRequest("own/m", None, "item"))]

    heard = Heard(scheduler)
    assert Own("own/m")("item") == ["fine"]
    with pytest.raises(LMServerError):
        Own("own/m")("fail")
    assert asyncio.run(stream()) == ["fine"]
    start, stop, exception = ("lm.request.start", "lm.request.stop", "lm.request.exception")
    assert heard.names() == [start, stop, start, exception, start, stop]
    known = heard.last(stop).metadata
    assert (known["model"], known["provider"], known["outputs"]) == ("own/m", "custom", ["fine"])


def test_a_stream_is_a_start_and_a_stop_too(scheduler: Scheduler) -> None:
    async def go(lm: LM) -> None:
        async for _ in lm.astream(LMRequest("m", None, "item-1")):
            pass

    heard = Heard(scheduler)
    with FaultServer() as server:
        asyncio.run(go(model(server)))
        server.faults = always("stream_cut")
        with pytest.raises(LMError):
            asyncio.run(go(model(server)))
    assert heard.names() == ["lm.request.start", "lm.request.stop", "lm.request.start", "lm.request.exception"]


def test_a_failure_says_its_kind_and_each_retry_its_wait(scheduler: Scheduler) -> None:
    heard = Heard(scheduler)
    with FaultServer(faults=always("error_500")) as server, pytest.raises(LMServerError):
        model(server, retry=RetryPolicy(retries=2, first_wait=0.001, jitter=0.0))("item-1")
    assert heard.names() == ["lm.request.start", "lm.retry", "lm.retry", "lm.request.exception"]
    failed = heard.last("lm.request.exception").metadata
    assert (failed["kind"], failed["code"], failed["status"]) == ("LMServerError", "server", 500)
    assert [e.measurements["wait"] for e in heard.events if e.name == "lm.retry"] == [0.001, 0.002]


def test_hits_and_misses_of_the_cache_are_told(scheduler: Scheduler) -> None:
    async def twice(lm: LM) -> None:
        await asyncio.gather(lm.acall("item-1"), lm.acall("item-1"))

    heard = Heard(scheduler, "cache")
    with FaultServer() as server:
        lm = model(server, cache=True)
        scheduler.submit(twice(lm)).get()
        lm("item-1")
    assert heard.names() == ["cache.miss", "cache.hit", "cache.hit"]
    assert [event.metadata.get("tier") for event in heard.events] == [None, "flight", "memory"]


def test_the_breaker_and_the_limiter_say_when_they_hold_calls_back(scheduler: Scheduler) -> None:
    heard = Heard(scheduler, "lm.breaker")
    with FaultServer(faults=always("error_500")) as server:
        lm = model(server, num_retries=0, breaker=BreakerPolicy(failures=2, share=0.1))
        for failure in (LMServerError, LMServerError, BreakerOpenError):
            with pytest.raises(failure):
                lm("item-1")
    (opened,) = heard.events
    assert (opened.name, opened.measurements, opened.metadata) == (
        "lm.breaker.opened",
        {"trips": 1},
        {"pool": "openai/m", "failure": "server"},
    )

    heard = Heard(scheduler, "lm.breaker.closed")
    with FaultServer(faults=first_attempts("error_500")) as server:
        lm = model(server, retry=QUICK, breaker=BreakerPolicy(failures=1, open_for=0.001))
        assert lm("item-3") == [value_of(3)]
    (closed,) = heard.events
    assert (closed.measurements, closed.metadata) == ({"trips": 1}, {"pool": "openai/m#2"})  # another address

    heard = Heard(scheduler, "lm.limiter")
    limits = {"x-ratelimit-remaining-requests": "0"}
    busy = first_attempts(Fault("rate_limit", seconds=0.01, headers=limits))
    with FaultServer(faults=busy) as server:
        assert model(server, retry=QUICK)("item-2") == [value_of(2)]
    paused, resumed = heard.events
    assert paused.name == "lm.limiter.paused"
    assert paused.measurements["seconds"] == pytest.approx(0.01)
    assert resumed.name == "lm.limiter.resumed"


def test_prompts_and_answers_are_left_out_where_the_settings_say_so(scheduler: Scheduler) -> None:
    heard = Heard(scheduler)
    with FaultServer(faults=first_attempts("auth_401")) as server, context(redact_prompts=True):
        with pytest.raises(LMError):
            model(server)("item-77")
        model(server)("item-77")
    words = repr(heard.events)
    assert "item-77" not in words
    assert value_of(77) not in words
    assert "sk-a-secret-key" not in words


def test_the_secret_is_in_no_event(scheduler: Scheduler) -> None:
    heard = Heard(scheduler)
    with FaultServer(faults=always("auth_401")) as server, pytest.raises(LMError):
        model(server)("item-1")
    assert "lm.request.exception" in heard.names()
    assert "sk-a-secret-key" not in repr(heard.events)


def test_a_rate_limit_that_is_not_over_in_time_is_an_error_with_the_time(scheduler: Scheduler) -> None:
    with FaultServer(faults=always(Fault("rate_limit", seconds=30.0))) as server:
        with pytest.raises(LMRateLimitError) as caught:
            model(server, num_retries=0)("item-1")
    assert caught.value.retry_after == 30.0


def test_every_topic_is_in_the_table() -> None:
    assert _events.__doc__ is not None
    topics = [value for name, value in vars(_events).items() if name.isupper() and isinstance(value, str)]
    assert len(topics) >= 9
    assert [topic for topic in topics if f"`{topic}`" not in _events.__doc__] == []
