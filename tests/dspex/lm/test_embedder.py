"""Texts to vectors."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from actors import Scheduler
from dspex import track_usage
from dspex._errors import LMAuthError, LMUnexpectedError, LMUnsupportedFeatureError
from dspex.lm import Embedder
from dspex.testing import FaultServer, always, script


def test_a_hosted_model_embeds_in_batches_and_each_text_is_paid_for_once(scheduler: Scheduler) -> None:
    with FaultServer() as server, track_usage() as tracker:
        embed = Embedder("openai/e", batch_size=2, base_url=server.url, dimensions=2)
        found = embed(["e", "ee", "abc", "e"])
        assert found.dtype == np.float32
        assert found.tolist() == [[1, 1], [2, 2], [3, 0], [1, 1]]  # length, and how many e
        assert [seen.body["input"] for seen in server.requests] == [["e", "ee"], ["abc"]]
        assert server.requests[0].body == {"model": "e", "input": ["e", "ee"], "dimensions": 2}
        assert embed("ee").tolist() == [2, 2]
        assert len(server.requests) == 2
        embed("ee", caching=False)
        assert len(server.requests) == 3
        assert tracker.total.requests == 3


def test_it_is_tried_again_like_any_call_and_errors_are_typed(scheduler: Scheduler) -> None:
    with FaultServer(faults=script("error_500")) as server:
        embed = Embedder("openai/e", base_url=server.url, api_key="sk-secret-key")
        assert asyncio.run(embed.acall(["a"])).shape == (1, 2)
        server.faults = always("auth_401")
        with pytest.raises(LMAuthError) as caught:
            embed("other")
        assert "sk-secret-key" not in str(caught.value)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_function_of_ones_own_gets_batches_off_the_loop(kind: str, scheduler: Scheduler) -> None:
    batches: list[list[str]] = []
    threads: list[threading.Thread] = []

    def plain(texts: list[str], scale: float = 1.0) -> Any:
        batches.append(texts)
        threads.append(threading.current_thread())
        return np.array([[len(text) * scale] for text in texts])

    async def coroutine(texts: list[str], scale: float = 1.0) -> Any:
        return plain(texts, scale)

    embed = Embedder(plain if kind == "plain" else coroutine, batch_size=2, scale=2.0)
    assert embed(["a", "bb", "ccc"]).tolist() == [[2], [4], [6]]
    assert batches == [["a", "bb"], ["ccc"]]
    if kind == "plain":
        assert all(thread.ident != scheduler.ident for thread in threads)


def test_a_wrong_number_of_vectors_is_an_error(scheduler: Scheduler) -> None:
    with pytest.raises(LMUnexpectedError):
        Embedder(lambda texts: [[1.0]])(["a", "b"])


def test_a_provider_without_such_an_endpoint_is_refused_at_once() -> None:
    with pytest.raises(LMUnsupportedFeatureError):
        Embedder("anthropic/claude-sonnet-4-5", api_key="k")
