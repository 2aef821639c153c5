"""Streams add up to the reply that the same call without streaming gives, or are a typed error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dspex._errors import LMRateLimitError, LMServerError, LMStreamAssemblyError
from dspex.lm import LMOutput, LMResponse, ToolCallPart, Usage
from dspex.lm.wire import Anthropic, OpenAIChat, OpenAIText
from tests.dspex.lm.wire_samples import ANTHROPIC_STREAM, SOURCE, STREAMS, TEXT_STREAM


def run(form: Any, events: list[Any]) -> tuple[str, LMResponse]:
    assembler = form.assembler(SOURCE)
    text = []
    for event in events:
        name, data = event if isinstance(event, tuple) else ("message", event)
        text += [chunk.text for chunk in assembler.feed(name, data if isinstance(data, str) else json.dumps(data))]
    return "".join(text), assembler.response()


@pytest.mark.parametrize(("form", "events"), STREAMS, ids=lambda value: getattr(value, "name", ""))
def test_a_stream_ends_as_the_response_that_the_plain_call_gives(form: Any, events: list[Any]) -> None:
    text, response = run(form, events)
    assert text == "hey"
    assert response.outputs == [LMOutput("hey", [ToolCallPart("f", {"a": 1}, "c")], "hm", "tool_calls")]
    assert response.usage == Usage(1, 2, 3, 0, 0, 1)
    assert response.id == "x"


@pytest.mark.parametrize(("form", "events"), STREAMS, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_stream_cut_short_is_an_error_with_what_had_come(form: Any, events: list[Any], kept: int) -> None:
    with pytest.raises(LMStreamAssemblyError) as caught:
        run(form, events[:kept])
    assert "hey".startswith(caught.value.partial)


def test_an_error_in_a_stream_is_the_typed_error() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    with pytest.raises(LMServerError):
        run(Anthropic(), [*ANTHROPIC_STREAM[:4], ("error", overloaded)])
    with pytest.raises(LMRateLimitError):
        run(OpenAIChat(), [{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}])


def test_text_streams_add_up() -> None:
    assert run(OpenAIText(), TEXT_STREAM)[1].outputs == [LMOutput("ab", stop_reason="length")]
