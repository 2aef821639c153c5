"""OpenAI Responses: the same models through typed input and output items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._types import LMOutput, LMRequest, LMResponse, Message, StreamChunk, ToolCallPart, Usage
from ._errors import error_of
from ._reading import Assembler, read_reply, string
from ._wire import Source, WireRequest, arguments_text, schema_of, text_of, tool_call, unexpected, usage_of


class OpenAIResponses:
    """`POST /responses`, stateless: the whole conversation goes with each request."""

    name = "responses"
    takes_n = False

    def headers(self, api_key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def build(self, request: LMRequest, *, stream: bool = False) -> WireRequest:
        if request.messages is None:
            items: list[dict[str, Any]] = [{"role": "user", "content": request.prompt or ""}]
        else:
            items = [item for message in request.messages for item in _items(message)]
        body: dict[str, Any] = {"model": request.model, "input": items}
        text: dict[str, Any] = {}
        for name, value in request.params.items():
            if value is None or name == "n":
                continue
            if name in ("max_tokens", "max_completion_tokens"):
                body["max_output_tokens"] = value
            elif name == "response_format":
                text["format"] = _format(value)
            elif name == "reasoning_effort":
                body["reasoning"] = {"effort": value, "summary": "auto"}
            elif name == "tools":
                body["tools"] = [_tool(tool) for tool in value]
            elif name == "tool_choice" and isinstance(value, dict) and "function" in value:
                body["tool_choice"] = {"type": "function", "name": value["function"]["name"]}
            elif name == "extra_body":
                body.update(value)
            else:
                body[name] = value
        if text:
            body["text"] = {**body.get("text", {}), **text}
        if stream:
            body["stream"] = True
        return WireRequest("/responses", body)

    def parse(self, source: Source, status: int, headers: Mapping[str, str], body: bytes) -> LMResponse:
        return read_reply(source, status, headers, body, _response)

    def assembler(self, source: Source) -> OpenAIResponsesStream:
        return OpenAIResponsesStream(source)


def _items(message: Message) -> list[dict[str, Any]]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": text_of(content)}]
    items: list[dict[str, Any]] = []
    if content:
        items.append({"role": role, "content": content if isinstance(content, str) else _parts(role, content)})
    for call in message.get("tool_calls") or ():
        function = {"name": call["function"]["name"], "arguments": arguments_text(call)}
        items.append({"type": "function_call", "call_id": call.get("id"), **function})
    return items or [{"role": role, "content": ""}]


def _parts(role: str, content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    parts = []
    for part in content:
        kind = part.get("type")
        if kind == "text":
            parts.append({"type": "output_text" if role == "assistant" else "input_text", "text": part["text"]})
        elif kind == "image_url":
            image = part["image_url"]
            image = {"url": image} if isinstance(image, str) else image
            parts.append({"type": "input_image", "image_url": image["url"], "detail": image.get("detail", "auto")})
        elif kind == "file":
            parts.append({"type": "input_file", **part["file"]})
        else:
            parts.append(part)
    return parts


def _format(value: Any) -> dict[str, Any]:
    schema = schema_of(value)
    if schema is None:
        return dict(value)
    strict = value.get("json_schema", {}).get("strict", True) if isinstance(value, dict) else True
    return {"type": "json_schema", "name": schema[0], "schema": schema[1], "strict": strict}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", **tool["function"]} if "function" in tool else dict(tool)


def _response(source: Source, headers: Mapping[str, str], data: dict[str, Any]) -> LMResponse:
    if data.get("status") == "failed" or data.get("error"):
        raise error_of(source, data.get("error"), None, headers)
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCallPart] = []
    logprobs: list[Any] = []
    refused = False
    for item in data.get("output") or ():
        if item["type"] == "message":
            for part in item.get("content") or ():
                refused = refused or part["type"] == "refusal"
                text.append(part.get("text") or part.get("refusal") or "")
                logprobs.extend(part.get("logprobs") or ())
        elif item["type"] == "function_call":
            calls.append(tool_call(item["name"], item.get("arguments"), item.get("call_id")))
        elif item["type"] == "reasoning":
            reasoning.extend(part.get("text", "") for part in item.get("summary") or item.get("content") or ())
    if not data.get("output"):
        raise unexpected(source, "the reply has no output", "empty_choices")
    stop = "tool_calls" if calls else "content_filter" if refused else "stop"
    if data.get("status") == "incomplete":
        why = string((data.get("incomplete_details") or {}).get("reason")) or "incomplete"
        stop = "length" if why == "max_output_tokens" else why
    output = LMOutput(
        "".join(text), calls, "\n".join(reasoning) or None, stop, {"content": logprobs} if logprobs else None
    )
    return LMResponse(
        [output],
        _usage(data.get("usage")),
        string(data.get("model")) or source.model,
        string(data.get("id")),
        None,
        False,
        source.provider,
    )


def _usage(data: Mapping[str, Any] | None) -> Usage:
    if not data:
        return Usage(requests=1)
    return usage_of(
        data.get("input_tokens"),
        data.get("output_tokens"),
        data.get("total_tokens"),
        (data.get("input_tokens_details") or {}).get("cached_tokens"),
        (data.get("output_tokens_details") or {}).get("reasoning_tokens"),
    )


class OpenAIResponsesStream(Assembler):
    """Assembles response.* events. The last one carries the whole response."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._text: list[str] = []
        self._response: LMResponse | None = None

    def _take(self, event: str, body: Any) -> list[StreamChunk]:
        kind = body.get("type") or event
        if kind == "response.output_text.delta":
            text = string(body.get("delta")) or ""
            self._text.append(text)
            return [StreamChunk(text=text)]
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            return [StreamChunk(reasoning=string(body.get("delta")) or "")]
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self._response = _response(self._source, {}, body.get("response") or {})
            output = self._response.outputs[0]
            calls = tuple(output.tool_calls)
            return [StreamChunk(usage=self._response.usage, stop_reason=output.stop_reason, tool_calls=calls)]
        if kind == "error":
            raise error_of(self._source, body.get("error") or body, None, {})
        return []

    def response(self) -> LMResponse:
        if self._response is None:
            raise self._cut_short()
        return self._response

    def _partial(self) -> str:
        return "".join(self._text)
