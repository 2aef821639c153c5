"""What providers answer, as ours: outputs, usage, stop reasons, typed errors, streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dspex._errors import (
    ContextWindowExceededError,
    LMAuthError,
    LMBillingError,
    LMConfigurationError,
    LMError,
    LMInvalidRequestError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
    LMUnexpectedError,
    LMUnsupportedModelError,
)
from dspex.lm import LMOutput, LMResponse, ToolCallPart, Usage
from dspex.lm.wire import Anthropic, Gemini, OpenAIChat, OpenAIResponses, OpenAIText, Source, retry_after

SOURCE = Source("p", "m")
FORMATS: list[Any] = [OpenAIChat(), OpenAIText(), OpenAIResponses(), Anthropic(), Gemini()]


def parse(form: Any, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> LMResponse:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    response = form.parse(SOURCE, status, headers or {"content-type": "application/json"}, body)
    assert isinstance(response, LMResponse)
    return response


def test_chat_reads_text_tools_reasoning_usage_and_stop_reason() -> None:
    response = parse(
        OpenAIChat(),
        {
            "id": "x",
            "model": "m-1",
            "choices": [
                {"message": {"content": "hi", "reasoning_content": "hm"}, "finish_reason": "length"},
                {
                    "message": {
                        "content": None,
                        "tool_calls": [
                            {"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}},
                            {"id": "d", "function": {"name": "g", "arguments": "{not json"}},
                        ],
                    },
                    "finish_reason": "tool_calls",
                },
            ],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        },
    )
    assert response.outputs == [
        LMOutput("hi", reasoning="hm", stop_reason="length"),
        LMOutput(
            "", [ToolCallPart("f", {"a": 1}, "c"), ToolCallPart("g", {}, "d", "{not json")], stop_reason="tool_calls"
        ),
    ]
    assert response.usage == Usage(5, 7, 12, 3, 2, 1)
    assert (response.id, response.model, response.provider, response.cost) == ("x", "m-1", "p", None)


def test_text_reads_continuations() -> None:
    response = parse(
        OpenAIText(), {"choices": [{"text": " positive", "finish_reason": "stop", "logprobs": {"tokens": []}}]}
    )
    assert response.outputs == [LMOutput(" positive", logprobs={"tokens": []})]
    assert response.usage == Usage(requests=1)


def test_responses_reads_items() -> None:
    response = parse(
        OpenAIResponses(),
        {
            "id": "r",
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "hi"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
            ],
            "usage": {
                "input_tokens": 5,
                "output_tokens": 7,
                "total_tokens": 12,
                "output_tokens_details": {"reasoning_tokens": 2},
            },
        },
    )
    assert response.outputs == [LMOutput("hi", [ToolCallPart("f", {"a": 1}, "c")], "hm", "tool_calls")]
    assert response.usage == Usage(5, 7, 12, 0, 2, 1)


def test_responses_tells_why_a_reply_is_incomplete() -> None:
    data = {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "h"}]}],
    }
    assert parse(OpenAIResponses(), data).outputs[0].stop_reason == "length"


def test_anthropic_reads_blocks_and_counts_cached_tokens_as_prompt() -> None:
    response = parse(
        Anthropic(),
        {
            "id": "a",
            "model": "m-1",
            "stop_reason": "tool_use",
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
            ],
            "usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 3},
        },
    )
    assert response.outputs == [LMOutput("hi", [ToolCallPart("f", {"a": 1}, "c")], "hm", "tool_calls")]
    assert response.usage == Usage(8, 7, 15, 3, 0, 1)


def test_anthropic_gives_the_forced_tool_call_back_as_text() -> None:
    content = [{"type": "tool_use", "id": "c", "name": "structured_reply", "input": {"answer": "x"}}]
    output = parse(Anthropic(), {"content": content, "stop_reason": "tool_use"}).outputs[0]
    assert json.loads(output.text) == {"answer": "x"}
    assert output.tool_calls == []
    assert output.stop_reason == "stop"


def test_gemini_reads_parts_thoughts_and_filters() -> None:
    response = parse(
        Gemini(),
        {
            "candidates": [
                {"content": {"parts": [{"text": "hm", "thought": True}, {"text": "hi"}]}, "finishReason": "MAX_TOKENS"},
                {"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}, "finishReason": "STOP"},
                {"finishReason": "SAFETY"},
            ],
            "usageMetadata": {
                "promptTokenCount": 5,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 2,
                "totalTokenCount": 14,
            },
        },
    )
    assert response.outputs == [
        LMOutput("hi", [], "hm", "length"),
        LMOutput("", [ToolCallPart("f", {"a": 1}, "call_0")], None, "tool_calls"),
        LMOutput("", [], None, "content_filter"),
    ]
    assert response.usage == Usage(5, 9, 14, 0, 2, 1)
    assert parse(Gemini(), {"promptFeedback": {"blockReason": "SAFETY"}}).outputs[0].stop_reason == "content_filter"


# --- errors


def error(form: Any, status: int, data: Any, headers: dict[str, str] | None = None) -> LMError:
    with pytest.raises(LMError) as caught:
        parse(form, data, status, headers)
    return caught.value


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, LMConfigurationError),
        (400, LMInvalidRequestError),
        (401, LMAuthError),
        (402, LMBillingError),
        (403, LMAuthError),
        (404, LMUnsupportedModelError),
        (408, LMTimeoutError),
        (422, LMInvalidRequestError),
        (429, LMRateLimitError),
        (500, LMServerError),
        (503, LMServerError),
        (504, LMTimeoutError),
        (529, LMServerError),
    ],
)
def test_a_status_means_the_same_error_in_every_format(form: Any, status: int, kind: type[LMError]) -> None:
    found = error(form, status, {"error": {"message": "no", "code": "why"}}, {"x-request-id": "r1", "retry-after": "3"})
    assert type(found) is kind
    assert (found.status, found.provider, found.model) == (status, "p", "m")
    assert (found.provider_code, found.request_id, found.retry_after) == ("why", "r1", 3.0)
    assert "no" in found.message


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'"x"', b'{"error": "plain"}', b'{"detail": [1]}', b"\xff"]
)
def test_any_body_of_an_error_is_an_error_with_a_status(form: Any, body: bytes) -> None:
    assert error(form, 500, body).status == 500


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        (
            400,
            {"error": {"message": "maximum context length is 8", "code": "context_length_exceeded"}},
            ContextWindowExceededError,
        ),
        (
            400,
            {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}},
            ContextWindowExceededError,
        ),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, LMBillingError),
        (400, {"error": {"message": "API key not valid", "status": "INVALID_ARGUMENT"}}, LMAuthError),
        (
            400,
            {"error": {"message": "the input token count (9) exceeds the maximum number of tokens"}},
            ContextWindowExceededError,
        ),
    ],
)
def test_words_tell_errors_of_the_same_status_apart(status: int, data: Any, kind: type[LMError]) -> None:
    assert type(error(OpenAIChat(), status, data)) is kind


def test_googles_retry_info_is_a_retry_after() -> None:
    data = {
        "error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "37s"}]}
    }
    assert error(Gemini(), 429, data).retry_after == 37.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=10.0) == seconds


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_garbled_body_is_a_transport_error_not_an_answer(form: Any) -> None:
    found = error(form, 200, b'{"id": "x", "cho')
    assert isinstance(found, LMTransportError)
    assert found.code == "malformed"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_reply_without_an_answer_is_an_unexpected_error(form: Any) -> None:
    found = error(form, 200, {"id": "x"})
    assert isinstance(found, LMUnexpectedError)
    assert found.code == "empty_choices"
