"""Whole replies and streams of every dialect, each using all that the dialect has."""

from __future__ import annotations

from typing import Any

from dspex.lm.wire import Anthropic, Gemini, OpenAIChat, OpenAIResponses, OpenAIText, Source

SOURCE = Source("p", "m")

CHAT_STREAM: list[Any] = [
    {"id": "x", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"index": 0, "delta": {"content": "he", "reasoning_content": "hm"}}]},
    {"choices": [{"index": 0, "delta": {"content": "y"}}]},
    {
        "choices": [
            {
                "index": 0,
                "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a"'}}]},
            }
        ]
    },
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    "[DONE]",
]
ANTHROPIC_STREAM: list[Any] = [
    {"type": "message_start", "message": {"id": "x", "usage": {"input_tokens": 1, "output_tokens": 0}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "he"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "y"}},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a": 1}'}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
GEMINI_STREAM: list[Any] = [
    {"responseId": "x", "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]},
    {"candidates": [{"content": {"parts": [{"text": "he"}]}}]},
    {
        "candidates": [
            {
                "content": {"parts": [{"text": "y"}, {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
    },
]
RESPONSES_STREAM: list[Any] = [
    {"type": "response.created", "response": {}},
    {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
    {"type": "response.output_text.delta", "delta": "he"},
    {"type": "response.output_text.delta", "delta": "y"},
    {
        "type": "response.completed",
        "response": {
            "id": "x",
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": [{"text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "hey"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
            ],
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        },
    },
]
STREAMS = [
    (OpenAIChat(), CHAT_STREAM),
    (Anthropic(), ANTHROPIC_STREAM),
    (Gemini(), GEMINI_STREAM),
    (OpenAIResponses(), RESPONSES_STREAM),
]

TEXT_STREAM: list[Any] = [
    {"id": "x", "choices": [{"text": "a"}]},
    {"choices": [{"index": 0, "text": "b", "finish_reason": "length"}]},
    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    "[DONE]",
]

CHAT_REPLY: dict[str, Any] = {
    "id": "x",
    "model": "m-1",
    "choices": [
        {
            "index": 0,
            "message": {
                "content": "hi",
                "reasoning_content": "hm",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            "finish_reason": "tool_calls",
            "logprobs": {"content": [{"token": "hi", "logprob": -0.1}]},
        },
        {"message": {"content": [{"type": "text", "text": "yo"}], "refusal": None}, "finish_reason": "stop"},
    ],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
}
TEXT_REPLY: dict[str, Any] = {
    "id": "x",
    "choices": [{"text": " positive", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7},
}
RESPONSES_REPLY: dict[str, Any] = {
    **RESPONSES_STREAM[-1]["response"],
    "incomplete_details": {"reason": "max_output_tokens"},
    "model": "m-1",
}
ANTHROPIC_REPLY: dict[str, Any] = {
    "id": "a",
    "type": "message",
    "model": "m-1",
    "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
    ],
    "usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 3},
}
GEMINI_REPLY: dict[str, Any] = {
    "responseId": "x",
    "modelVersion": "m-1",
    "candidates": [
        {
            "index": 0,
            "content": {
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "hi"},
                    {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}},
                ]
            },
            "finishReason": "STOP",
        }
    ],
    "promptFeedback": {"blockReason": None},
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 2, "totalTokenCount": 14},
}

REPLIES: list[tuple[Any, dict[str, Any]]] = [
    (OpenAIChat(), CHAT_REPLY),
    (OpenAIText(), TEXT_REPLY),
    (OpenAIResponses(), RESPONSES_REPLY),
    (Anthropic(), ANTHROPIC_REPLY),
    (Gemini(), GEMINI_REPLY),
]
