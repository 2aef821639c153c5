"""The counts of all LM calls on a scheduler, whoever makes them."""

from __future__ import annotations

from typing import Any

import pytest

import dspex
from actors import Scheduler
from dspex._errors import LMServerError
from dspex.lm import LM, Embedder, LMRequest, LmService, Usage
from dspex.lm._tally import Tally, Totals
from dspex.testing import FaultServer, always


def hosted(server: FaultServer, **options: Any) -> LM:
    return LM("openai/m", base_url=server.url, **{"api_key": "k", "num_retries": 0, **options})


def test_what_comes_from_the_cache_takes_no_tokens_and_no_money_and_an_unknown_price_is_not_nothing() -> None:
    tally = Tally()
    tally.answered(Usage(1, 2, 3), 0.5, cached=False)
    tally.answered(Usage(1, 2, 3), 0.5, cached=True)
    tally.answered(Usage(1, 2, 3), None, cached=False)
    tally.begun()
    assert tally.read() == Totals(lm_calls=3, in_flight=1, cached=1, total_tokens=6, cost=0.5, unpriced=1)


def test_one_tally_takes_in_what_another_has_counted_but_not_what_is_in_flight_there() -> None:
    first, second = Tally(), Tally()
    for tally in (first, second):
        tally.begun()
        tally.answered(Usage(1, 2, 3), 0.5, cached=False)
    first.add(second)
    assert first.read() == Totals(lm_calls=2, in_flight=1, cached=0, total_tokens=6, cost=1.0, unpriced=0)


def test_calls_streams_and_embeddings_are_counted_and_failures_are_not(scheduler: Scheduler) -> None:
    async def stream(lm: LM) -> int:
        return len([chunk async for chunk in lm.astream(LMRequest("openai/m", None, "item-2", {}, None))])

    with FaultServer() as server:
        lm = hosted(server)
        lm("item-1")
        lm("item-1")
        assert scheduler.submit(stream(lm)).get() > 0
        Embedder("openai/e", api_key="k", base_url=server.url)("item-3")
        server.faults = always("error_500")
        with pytest.raises(LMServerError):
            lm("item-4")
    told = LmService.of(scheduler).tally.read()
    assert (told.lm_calls, told.cached, told.in_flight, told.unpriced) == (4, 1, 0, 3)
    assert told.total_tokens > 0


def test_a_call_without_any_scheduler_is_counted_nowhere() -> None:
    assert dspex.DummyLM([{"answer": "42"}])("?") is not None
