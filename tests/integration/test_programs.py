"""Programs that answer through a real model on a real server."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

import dspex
from dspex import System
from dspex.datasets import SENTIMENTS, sentiment, split
from dspex.lm import LM
from dspex.local import LocalServer
from dspex.streaming import StreamListener, StreamResponse

pytestmark = pytest.mark.realmodel


class Sentiment(dspex.Signature):
    """Decide whether each review is positive or negative."""

    review: str = dspex.InputField()
    sentiment: Literal["positive", "negative"] = dspex.OutputField()


REVIEWS = ["I loved every minute of it.", "A waste of time and money.", "Great phone, great price.", "It broke."]


def text_model(server: LocalServer, **options: Any) -> LM:
    given = {"model_type": "text", "temperature": 0, "max_tokens": 12, "cache": False, "timeout": 120, **options}
    return LM(f"llamacpp/{server.model}", base_url=server.base_url, **given)


def chat_model(server: LocalServer, **options: Any) -> LM:
    return text_model(server, **{"model_type": "chat", "max_tokens": 48, **options})


def all_at_once(program: Any, inputs: list[dict[str, Any]]) -> list[Any]:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(program.acall(**each) for each in inputs))

    return asyncio.run(ask())


@pytest.mark.parametrize("count", [24, pytest.param(100, marks=pytest.mark.long)])
def test_zero_shot_sentiment_is_mostly_right_and_never_out_of_form(
    count: int, local_server: LocalServer, system: System
) -> None:
    rows = split(sentiment(), train=0, dev=0, test=count, seed=1).test
    examples = [row.with_inputs("review") for row in rows]
    with dspex.context(lm=text_model(local_server), adapter=dspex.PlainAdapter()):
        evaluate = dspex.Evaluate(devset=examples, metric=same_sentiment, num_workers=4, display_progress=False)
        result = evaluate(dspex.Predict(Sentiment))
    assert len(result.results) == count
    assert list(result.failures) == []
    assert {prediction.sentiment for _, prediction, _ in result.results} <= set(SENTIMENTS)
    print(f"zero-shot, PlainAdapter: {result.score} percent of {count}")
    # The bare requests beside this file score 85: three standard errors below.
    assert result.score >= 85 - 3 * 36 / count**0.5


def same_sentiment(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.sentiment == prediction.sentiment)


ADAPTERS = ["PlainAdapter", "JSONAdapter"]


@pytest.mark.parametrize("name", ADAPTERS)
def test_where_a_schema_is_enforced_a_small_model_brings_typed_answers(
    name: str, local_server: LocalServer, system: System
) -> None:
    # So small a model keeps to no form by itself: what saves the answer is the schema that the endpoint enforces.
    lm = chat_model(local_server)
    adapter = getattr(dspex, name)()
    with dspex.context(lm=lm, adapter=adapter), dspex.track_usage() as tracker:
        answers = all_at_once(dspex.Predict(Sentiment), [{"review": review} for review in REVIEWS])
    assert {answer.sentiment for answer in answers} <= set(SENTIMENTS)
    assert tracker.total.completion_tokens > 0
    assert tracker.calls >= len(REVIEWS)


def test_a_chain_of_thought_reasons_before_it_answers(local_server: LocalServer, system: System) -> None:
    with dspex.context(lm=chat_model(local_server, max_tokens=160), adapter=dspex.JSONAdapter()):
        program = dspex.ChainOfThought(Sentiment)
        answers = all_at_once(program, [{"review": review} for review in REVIEWS[:2]])
    for answer in answers:
        assert list(answer.keys()) == ["reasoning", "sentiment"]
        assert answer.sentiment in SENTIMENTS


def test_an_answer_streams_and_adds_up(local_server: LocalServer, system: System) -> None:
    async def listen() -> list[Any]:
        return [item async for item in run(question="Name three colours of the rainbow.")]

    with dspex.context(lm=chat_model(local_server, max_tokens=40), adapter=dspex.PlainAdapter()):
        run = dspex.streamify(dspex.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        *pieces, prediction = asyncio.run(listen())
    assert len(pieces) > 3
    assert all(isinstance(piece, StreamResponse) for piece in pieces)
    assert "".join(piece.chunk for piece in pieces) == prediction.answer


class Desk(dspex.Module):
    """Two modules: what a review feels, then what to answer to it."""

    def __init__(self) -> None:
        super().__init__()
        self.feel = dspex.Predict(Sentiment)
        self.reply = dspex.Predict("review, sentiment -> reply")

    def forward(self, review: str) -> Any:
        felt = self.feel(review=review).sentiment
        return dspex.Prediction(sentiment=felt, reply=self.reply(review=review, sentiment=felt).reply)


def test_a_spawned_program_of_two_modules_serves_many_callers_at_once(
    local_server: LocalServer, system: System
) -> None:
    with dspex.context(lm=text_model(local_server), adapter=dspex.PlainAdapter()):
        ref = system.spawn(Desk(), name="desk")
        answers = all_at_once(ref, [{"review": review} for review in REVIEWS * 2])
    assert all(answer.sentiment in SENTIMENTS and answer.reply for answer in answers)
    metrics = ref.metrics()
    assert {path: metrics[path].calls for path in ("self", "feel", "reply")} == {"self": 8, "feel": 8, "reply": 8}
    assert all(metrics[path].errors == 0 for path in metrics)
