"""The exact bodies that go over the wire, per format."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from dspex.lm import LMRequest
from dspex.lm.wire import Anthropic, Gemini, OpenAIChat, OpenAIResponses, OpenAIText

PIXEL = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Finds pages.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"query":"x"}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a pixel"},
    {"role": "user", "content": "And now?"},
]


class Reply(BaseModel):
    answer: str


def request(messages: list[dict[str, Any]] | None = None, prompt: str | None = None, **params: Any) -> LMRequest:
    return LMRequest("m", messages, prompt, params)


def test_chat_sends_messages_as_they_are_and_leaves_out_what_is_none() -> None:
    wire = OpenAIChat().build(request(TALK, temperature=0.5, max_tokens=20, n=2, stop=None, tools=[TOOL]))
    assert wire.path == "/chat/completions"
    assert wire.body == {
        "model": "m",
        "messages": TALK,
        "temperature": 0.5,
        "max_tokens": 20,
        "n": 2,
        "tools": [TOOL],
    }


def test_chat_names_the_token_limit_as_reasoning_models_want_it() -> None:
    body = OpenAIChat().build(LMRequest("o3-mini", None, "hi", {"max_tokens": 5})).body
    assert body == {"model": "o3-mini", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 5}
    assert OpenAIChat().build(LMRequest("gpt-4o", None, "hi", {"max_tokens": 5})).body["max_tokens"] == 5


def test_chat_turns_a_pydantic_class_into_a_json_schema() -> None:
    body = OpenAIChat().build(request(prompt="q", response_format=Reply)).body
    assert body["response_format"]["json_schema"]["name"] == "Reply"
    assert body["response_format"]["json_schema"]["schema"] == Reply.model_json_schema()


def test_chat_asks_for_usage_when_it_streams_and_merges_extra_body() -> None:
    body = OpenAIChat().build(request(prompt="q", extra_body={"min_p": 0.1}), stream=True).body
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["min_p"] == 0.1
    assert "extra_body" not in body


def test_text_sends_the_prompt_and_joins_messages_when_there_is_none() -> None:
    assert OpenAIText().build(request(prompt="Review: x\nSentiment:", grammar='root ::= "a"')).body == {
        "model": "m",
        "prompt": "Review: x\nSentiment:",
        "grammar": 'root ::= "a"',
    }
    wire = OpenAIText().build(request([{"role": "system", "content": "A"}, {"role": "user", "content": "B"}]))
    assert wire.path == "/completions"
    assert wire.body == {"model": "m", "prompt": "A\n\nB"}


def test_responses_translates_items_parts_tools_and_formats() -> None:
    wire = OpenAIResponses().build(
        request(
            TALK,
            max_tokens=9,
            response_format=FORMAT,
            tools=[TOOL],
            reasoning_effort="low",
            tool_choice={"type": "function", "function": {"name": "search"}},
        )
    )
    assert wire.path == "/responses"
    assert wire.body == {
        "model": "m",
        "input": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
                ],
            },
            {"type": "function_call", "call_id": "c1", "name": "search", "arguments": '{"query":"x"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "a pixel"},
            {"role": "user", "content": "And now?"},
        ],
        "max_output_tokens": 9,
        "text": {"format": {"type": "json_schema", "name": "reply", "schema": SCHEMA, "strict": True}},
        "tools": [{"type": "function", **TOOL["function"]}],  # type: ignore[dict-item]
        "reasoning": {"effort": "low", "summary": "auto"},
        "tool_choice": {"type": "function", "name": "search"},
    }


def test_anthropic_translates_system_blocks_tools_and_joins_turns() -> None:
    wire = Anthropic().build(
        request(TALK, max_tokens=9, stop="END", tools=[TOOL], tool_choice="required", temperature=0)
    )
    assert wire.path == "/v1/messages"
    assert wire.body == {
        "model": "m",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "c1", "name": "search", "input": {"query": "x"}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "a pixel"},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        "temperature": 0,
        "stop_sequences": ["END"],
        "tools": [{"name": "search", "description": "Finds pages.", "input_schema": TOOL["function"]["parameters"]}],  # type: ignore[index]
        "tool_choice": {"type": "any"},
    }
    assert Anthropic().headers("k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}


def test_anthropic_holds_a_reply_to_a_schema_by_forcing_one_tool() -> None:
    body = Anthropic().build(request(prompt="q", response_format=FORMAT)).body
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["tool_choice"] == {"type": "tool", "name": body["tools"][0]["name"]}
    assert body["max_tokens"] == 4096


def test_anthropic_makes_room_for_the_thinking_that_was_asked_for() -> None:
    body = Anthropic().build(request(prompt="q", reasoning_effort="medium", max_tokens=100)).body
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert body["max_tokens"] > 4096


def test_gemini_translates_contents_config_and_functions() -> None:
    wire = Gemini().build(
        request(TALK, max_tokens=9, n=2, stop=["END"], response_format=FORMAT, tools=[TOOL], tool_choice="auto")
    )
    assert wire.path == "/models/m:generateContent"
    assert wire.body == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                ],
            },
            {"role": "model", "parts": [{"functionCall": {"name": "search", "args": {"query": "x"}}}]},
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "search", "response": {"result": "a pixel"}}},
                    {"text": "And now?"},
                ],
            },
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {
            "maxOutputTokens": 9,
            "candidateCount": 2,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
        },
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "search",
                        "description": "Finds pages.",
                        "parametersJsonSchema": TOOL["function"]["parameters"],
                    },  # type: ignore[index]
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    }
    assert Gemini().build(request(prompt="q"), stream=True).path == "/models/m:streamGenerateContent?alt=sse"
    assert Gemini().headers("k") == {"x-goog-api-key": "k"}


@pytest.mark.parametrize("form", [OpenAIChat(), OpenAIText(), OpenAIResponses(), Anthropic(), Gemini()])
def test_building_a_body_leaves_the_request_as_it_was(form: Any) -> None:
    import copy

    given = request(copy.deepcopy(TALK), tools=[TOOL], stop=["a"], max_tokens=3, extra_body={"x": 1})
    form.build(given)
    form.build(given, stream=True)
    assert given == request(TALK, tools=[TOOL], stop=["a"], max_tokens=3, extra_body={"x": 1})
