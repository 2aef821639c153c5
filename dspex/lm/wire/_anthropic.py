"""Anthropic Messages.

Structured output is a forced call of one tool whose arguments have the schema: every model takes that. The reply's
arguments come back as the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._types import LMOutput, LMRequest, LMResponse, Message, StreamChunk, ToolCallPart, Usage
from ._errors import error_of
from ._json import dumps
from ._reading import Assembler, read_reply, string
from ._wire import (
    Draft,
    Source,
    WireRequest,
    arguments_dict,
    as_list,
    schema_of,
    split_data_uri,
    text_of,
    tool_call,
    unexpected,
    usage_of,
)

VERSION = "2023-06-01"
MAX_TOKENS = 4096  # the API wants one; this is what it gets when the caller has no opinion
REPLY_TOOL = "structured_reply"
STOP = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
THINKING = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384}
_PASSED = ("temperature", "top_p", "top_k", "metadata", "thinking", "service_tier", "output_config")


class Anthropic:
    """`POST /v1/messages`."""

    name = "anthropic"
    takes_n = False

    def headers(self, api_key: str | None) -> dict[str, str]:
        headers = {"anthropic-version": VERSION}
        if api_key:
            headers["x-api-key"] = api_key
        return headers

    def build(self, request: LMRequest, *, stream: bool = False) -> WireRequest:
        messages = request.messages or [{"role": "user", "content": request.prompt or ""}]
        params = request.params
        limit = params.get("max_tokens") or params.get("max_completion_tokens") or MAX_TOKENS
        body: dict[str, Any] = {"model": request.model, "max_tokens": limit}
        system = "\n\n".join(text_of(m.get("content")) for m in messages if m["role"] in ("system", "developer"))
        if system:
            body["system"] = system
        body["messages"] = _turns(messages)
        for name in _PASSED:
            if params.get(name) is not None:
                body[name] = params[name]
        if params.get("stop") is not None:
            body["stop_sequences"] = as_list(params["stop"])
        if params.get("reasoning_effort") in THINKING:
            budget = THINKING[params["reasoning_effort"]]
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
            body["max_tokens"] = max(limit, budget + 1024)  # the limit includes the thinking
        tools = [_tool(tool) for tool in params.get("tools") or ()]
        choice = _choice(params.get("tool_choice"), params.get("parallel_tool_calls"))
        schema = schema_of(params.get("response_format"))
        if schema is not None and not tools:
            tools = [{"name": REPLY_TOOL, "description": "Gives the reply.", "input_schema": schema[1]}]
            choice = {"type": "tool", "name": REPLY_TOOL}
        if tools:
            body["tools"] = tools
            if choice:
                body["tool_choice"] = choice
        body.update(params.get("extra_body") or {})
        if stream:
            body["stream"] = True
        return WireRequest("/v1/messages", body)

    def parse(self, source: Source, status: int, headers: Mapping[str, str], body: bytes) -> LMResponse:
        return read_reply(source, status, headers, body, _response)

    def assembler(self, source: Source) -> AnthropicStream:
        return AnthropicStream(source)


def _turns(messages: list[Message]) -> list[dict[str, Any]]:
    """User and assistant turns; neighbours of the same role are joined, since roles must alternate."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            continue
        blocks = _blocks(message)
        role = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    if not turns:  # a system message alone is not a conversation here
        turns.append({"role": "user", "content": [{"type": "text", "text": "Go on."}]})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    content = message.get("content")
    if message["role"] == "tool":
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": text_of(content)}]
    if isinstance(content, str):
        blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if content else []
    else:
        blocks = [_block(part) for part in content or ()]
    for call in message.get("tool_calls") or ():
        name = call["function"]["name"]
        blocks.append({"type": "tool_use", "id": call.get("id"), "name": name, "input": arguments_dict(call)})
    return blocks


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "image_url":
        url = part["image_url"]["url"] if isinstance(part["image_url"], dict) else part["image_url"]
        return {"type": "image", "source": _source(url)}
    if kind == "file":
        file = part["file"]
        if file.get("file_id"):
            return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}}
        return {"type": "document", "source": _source(file["file_data"])}
    return dict(part)


def _source(url: str) -> dict[str, Any]:
    data = split_data_uri(url)
    if data is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": data[0], "data": data[1]}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if function is None:
        return dict(tool)
    made: dict[str, Any] = {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if function.get("description"):
        made["description"] = function["description"]
    return made


def _choice(value: Any, parallel: Any) -> dict[str, Any] | None:
    choice: dict[str, Any] | None
    if isinstance(value, dict):
        choice = {"type": "tool", "name": value["function"]["name"]} if "function" in value else dict(value)
    else:
        choice = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}.get(value or "")
    if parallel is False:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _response(source: Source, headers: Mapping[str, str], data: dict[str, Any]) -> LMResponse:
    if data.get("type") == "error":
        raise error_of(source, data.get("error"), None, headers)
    if not isinstance(data.get("content"), list):
        raise unexpected(source, "the reply has no content", "empty_choices")
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCallPart] = []
    for block in data["content"]:
        if block["type"] == "text":
            text.append(block["text"])
        elif block["type"] == "thinking":
            reasoning.append(block["thinking"])
        elif block["type"] == "tool_use":
            calls.append(tool_call(block["name"], block.get("input"), block.get("id")))
    output = _output("".join(text), "".join(reasoning) or None, calls, string(data.get("stop_reason")))
    usage, model = _usage(data.get("usage") or {}), string(data.get("model")) or source.model
    return LMResponse([output], usage, model, string(data.get("id")), None, False, source.provider)


def _output(text: str, reasoning: str | None, calls: list[ToolCallPart], stop: str | None) -> LMOutput:
    reason = STOP.get(stop or "end_turn", stop or "stop")
    replies = [call for call in calls if call.name == REPLY_TOOL]
    if replies:
        text = replies[0].raw if replies[0].raw is not None else dumps(replies[0].arguments).decode()
        calls = [call for call in calls if call.name != REPLY_TOOL]
        reason = "stop" if reason == "tool_calls" and not calls else reason
    return LMOutput(text, calls, reasoning, reason)


def _usage(data: Mapping[str, Any]) -> Usage:
    cached = data.get("cache_read_input_tokens") or 0
    prompt = (data.get("input_tokens") or 0) + cached + (data.get("cache_creation_input_tokens") or 0)
    return usage_of(prompt, data.get("output_tokens"), cached=cached)


class AnthropicStream(Assembler):
    """Assembles message_start, content_block_* and message_* events."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._draft = Draft()
        self._usage: dict[str, Any] = {}
        self._stop: str | None = None
        self._done = False

    def _take(self, event: str, body: Any) -> list[StreamChunk]:
        kind = body.get("type") or event
        if kind == "error":
            raise error_of(self._source, body.get("error"), None, {})
        if kind == "message_start":
            message_body = body["message"]
            self._id, self._model = string(message_body.get("id")), string(message_body.get("model")) or self._model
            self._usage.update(message_body.get("usage") or {})
        elif kind == "content_block_start" and body["content_block"]["type"] == "tool_use":
            block = body["content_block"]
            self._draft.calls[int(body["index"])] = [string(block.get("id")), string(block["name"]), ""]
        elif kind == "content_block_delta":
            return self._delta(body["index"], body["delta"])
        elif kind == "message_delta":
            self._stop = string(body["delta"].get("stop_reason"))
            self._usage.update({k: v for k, v in (body.get("usage") or {}).items() if v is not None})
        elif kind == "message_stop":
            self._done = True
            output = self.response().outputs[0]
            return [
                StreamChunk(
                    stop_reason=output.stop_reason, usage=_usage(self._usage), tool_calls=tuple(output.tool_calls)
                )
            ]
        return []

    def _delta(self, index: int, delta: Mapping[str, Any]) -> list[StreamChunk]:
        kind = delta.get("type")
        if kind == "text_delta":
            text = string(delta["text"]) or ""
            self._draft.text.append(text)
            return [StreamChunk(text=text)]
        if kind == "thinking_delta":
            thought = string(delta["thinking"]) or ""
            self._draft.reasoning.append(thought)
            return [StreamChunk(reasoning=thought)]
        if kind == "input_json_delta" and index in self._draft.calls:
            self._draft.calls[index][2] += delta["partial_json"]
            if self._draft.calls[index][1] == REPLY_TOOL and delta["partial_json"]:
                return [StreamChunk(text=delta["partial_json"])]
        return []

    def _partial(self) -> str:
        return "".join(self._draft.text)

    def response(self) -> LMResponse:
        if not self._done:
            raise self._cut_short()
        draft = self._draft.output()
        output = _output(draft.text, draft.reasoning, draft.tool_calls, self._stop)
        return LMResponse([output], _usage(self._usage), self._model, self._id, None, False, self._source.provider)
