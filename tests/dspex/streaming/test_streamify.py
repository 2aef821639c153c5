"""A program's answer piece by piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

import dspex
from dspex import System
from dspex._errors import LMServerError, LMTransportError
from dspex.lm import LM, StreamChunk
from dspex.streaming import (
    StatusMessage,
    StatusMessageProvider,
    StreamListener,
    StreamResponse,
    streamify,
    streaming_response,
)
from dspex.testing import DummyLM, Fault, FaultServer, always, first_attempts, script, value_of


def model(server: FaultServer, **options: Any) -> LM:
    return LM("openai/m", base_url=server.url, **{"cache": False, "num_retries": 0, **options})


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


class Two(dspex.Module):
    """Two predictors with an output of the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = dspex.Predict("question -> answer")
        self.final = dspex.Predict("question, draft -> answer")

    def forward(self, question: str) -> Any:
        return self.final(question=question, draft=self.draft(question=question).answer)


@pytest.mark.parametrize("spawned", [False, True])
def test_the_pieces_of_a_field_add_up_to_the_prediction_that_comes_last(spawned: bool, system: System) -> None:
    with FaultServer(stream_chars=3) as server, dspex.context(lm=model(server)):
        program: Any = dspex.ChainOfThought("question -> answer")
        run = streamify(
            system.spawn(program, name="p") if spawned else program,
            stream_listeners=[StreamListener("answer"), StreamListener("reasoning")],
        )
        *pieces, prediction = asyncio.run(collect(run(question="item-7")))
        assert all(isinstance(piece, StreamResponse) for piece in pieces)
        for field in ("answer", "reasoning"):
            own = [piece for piece in pieces if piece.signature_field_name == field]
            assert "".join(piece.chunk for piece in own) == prediction[field] == value_of(7)
            assert len(own) > 2
            assert [piece.is_last_chunk for piece in own] == [False] * (len(own) - 1) + [True]
        assert {piece.predict_name for piece in pieces} == {"predict"}
        assert server.requests[0].body["stream"] is True


@pytest.mark.parametrize("adapter", [dspex.JSONAdapter(), dspex.XMLAdapter(), dspex.PlainAdapter()], ids=repr)
def test_every_adapter_gives_a_listener_the_whole_value(adapter: Any, system: System) -> None:
    answers = DummyLM([{"answer": "one, two"}], adapter=adapter)
    with dspex.context(lm=answers, adapter=adapter):
        run = streamify(dspex.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        *pieces, prediction = asyncio.run(collect(run(question="q")))
    assert "".join(piece.chunk for piece in pieces) == prediction.answer == "one, two"
    assert pieces[-1].is_last_chunk


def test_without_listeners_the_chunks_of_all_calls_come(system: System) -> None:
    with FaultServer() as server, dspex.context(lm=model(server)):
        *chunks, prediction = asyncio.run(collect(streamify(Two())(question="item-1")))
        assert all(isinstance(chunk, StreamChunk) for chunk in chunks)
        assert sum(chunk.usage is not None for chunk in chunks) == 2
        assert prediction.answer == value_of(1)


def test_a_listener_hears_the_predictor_that_it_names(system: System) -> None:
    program = Two()
    listeners = [StreamListener("answer", predict_name="draft"), StreamListener("answer", predict=program.final)]
    with dspex.context(lm=DummyLM([{"answer": "first"}, {"answer": "second"}])):
        both = asyncio.run(collect(streamify(program, stream_listeners=listeners)(question="q")))[:-1]
    assert "".join(piece.chunk for piece in both if piece.predict_name == "draft") == "first"
    assert "".join(piece.chunk for piece in both if piece.predict_name == "final") == "second"


@pytest.mark.parametrize("allow_reuse", [False, True])
def test_of_a_predictor_in_a_loop_the_first_call_is_heard_or_all(allow_reuse: bool, system: System) -> None:
    class Loop(dspex.Module):
        def __init__(self) -> None:
            super().__init__()
            self.say = dspex.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            return [self.say(question=question) for _ in range(3)][-1]

    listener = StreamListener("answer", allow_reuse=allow_reuse)
    with dspex.context(lm=DummyLM([{"answer": str(i)} for i in range(6)])):
        run = streamify(Loop(), stream_listeners=[listener])
        for _ in range(2):  # a listener is no one call's
            pieces = asyncio.run(collect(run(question="q")))[:-1]
            assert sum(piece.is_last_chunk for piece in pieces) == (3 if allow_reuse else 1)


def test_many_streams_at_once_do_not_mix(system: System) -> None:
    async def all_of_them(run: Any) -> list[list[Any]]:
        return await asyncio.gather(*(collect(run(question=f"item-{i}")) for i in range(20)))

    with FaultServer(stream_chars=2) as server, dspex.context(lm=model(server)):
        run = streamify(dspex.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        for number, (*pieces, prediction) in enumerate(asyncio.run(all_of_them(run))):
            assert "".join(piece.chunk for piece in pieces) == prediction.answer == value_of(number)


def test_synchronous_code_iterates_too(system: System) -> None:
    with FaultServer(stream_chars=2) as server, dspex.context(lm=model(server)):
        run = streamify(
            dspex.Predict("question -> answer"),
            stream_listeners=[StreamListener("answer")],
            async_streaming=False,
            include_final_prediction_in_output_stream=False,
        )
        assert "".join(piece.chunk for piece in run(question="item-3")) == value_of(3)


def test_an_error_in_mid_stream_is_raised_after_what_had_come(system: System) -> None:
    async def go(run: Any, heard: list[str]) -> None:
        async for item in run(question="item-3"):
            heard.append(item.chunk)

    with FaultServer(faults=always("stream_cut"), stream_chars=2) as server, dspex.context(lm=model(server)):
        run = streamify(dspex.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        heard: list[str] = []
        with pytest.raises(LMTransportError):
            asyncio.run(go(run, heard))
        assert value_of(3).startswith("".join(heard))
        assert len(server.requests) == 1  # what was shown is not said again


def test_what_fails_before_the_first_piece_is_tried_again_or_raised(system: System) -> None:
    with FaultServer(faults=first_attempts("error_500")) as server:
        run = streamify(dspex.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        with dspex.context(lm=model(server, num_retries=1)), dspex.track_usage() as tracker:
            assert asyncio.run(collect(run(question="item-3")))[-1].answer == value_of(3)
            assert tracker.total.requests == 2
        server.faults = always("error_500")
        with dspex.context(lm=model(server)), pytest.raises(LMServerError):
            asyncio.run(collect(run(question="item-4")))


def test_leaving_a_stream_ends_the_call_down_to_its_request(system: System) -> None:
    async def go(run: Any) -> None:
        stream = run(question="item-3")
        async for _ in stream:
            break
        await stream.aclose()

    with FaultServer(stream_chars=1, stream_gap=30.0) as server, dspex.context(lm=model(server)):
        asyncio.run(go(streamify(dspex.Predict("question -> answer"))))
        server.wait_until("abandoned", 1)


def test_a_cached_answer_comes_whole_and_a_streamed_one_is_cached(system: System) -> None:
    with FaultServer(stream_chars=2) as server, dspex.context(lm=model(server, cache=True)):
        run = streamify(dspex.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        first = asyncio.run(collect(run(question="item-3")))
        second = asyncio.run(collect(run(question="item-3")))
        assert len(server.requests) == 1
        assert len(second) < len(first)
        assert "".join(piece.chunk for piece in second[:-1]) == second[-1].answer == value_of(3)


def test_a_reply_that_is_asked_for_again_begins_its_value_anew(system: System) -> None:
    class Score(dspex.Signature):
        question: str = dspex.InputField()
        score: int = dspex.OutputField()

    replies = DummyLM(["[[ ## score ## ]]\nhigh\n\n[[ ## completed ## ]]", '{"score": 4}'])
    with dspex.context(lm=replies):
        run = streamify(dspex.Predict(Score), stream_listeners=[StreamListener("score")])
        *pieces, prediction = asyncio.run(collect(run(question="q")))
    assert prediction.score == 4
    assert [(piece.chunk, piece.restarted) for piece in pieces] == [("high", False), ("4", True)]


def test_status_messages_tell_of_tools_and_of_what_a_provider_has_words_for(system: System) -> None:
    class Words(StatusMessageProvider):
        def lm_start_status_message(self, instance: Any, inputs: dict[str, Any]) -> str:
            return "thinking"

    def add(a: int, b: int) -> int:
        return a + b

    def program(question: str) -> Any:
        dspex.Tool(add)(a=1, b=2)
        return dspex.Predict("question -> answer")(question=question)

    with dspex.context(lm=DummyLM([{"answer": "3"}])):
        run = streamify(program, Words(), stream_listeners=[StreamListener("nothing")])
        items = asyncio.run(collect(run(question="q")))
    words = [item.message for item in items if isinstance(item, StatusMessage)]
    assert words == ["Calling the tool add...", "The tool has answered.", "thinking"]
    assert items[-1].answer == "3"


def test_a_stream_goes_over_the_wire_as_server_sent_events(system: System) -> None:
    with dspex.context(lm=DummyLM([{"answer": "yes"}])):
        run = streamify(dspex.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
        events = asyncio.run(collect(streaming_response(run(question="q"))))
    *items, last = [event.removeprefix("data: ").removesuffix("\n\n") for event in events]
    assert last == "[DONE]"
    assert json.loads(items[0])["chunk"] == "yes"
    assert json.loads(items[-1]) == {"prediction": {"answer": "yes"}}


def test_a_deadline_bounds_a_stream_too(system: System) -> None:
    slow = script(Fault("slow_head", seconds=0.0))
    with FaultServer(faults=slow, stream_chars=1, stream_gap=30.0) as server, dspex.context(lm=model(server)):
        server.faults = lambda seen: None
        run = streamify(dspex.Predict("question -> answer"))
        with pytest.raises(dspex.DeadlineExceededError):
            asyncio.run(collect(run(question="item-3", timeout=1.0)))
        server.wait_until("abandoned", 1)
