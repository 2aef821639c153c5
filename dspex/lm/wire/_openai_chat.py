"""OpenAI chat completions, as OpenAI and every compatible server (vLLM, llama.cpp, Ollama, gateways) speak them."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from .._types import LMOutput, LMRequest, LMResponse, StreamChunk, Usage
from ._errors import error_of
from ._reading import Assembler, read_reply, string
from ._wire import Draft, Source, WireRequest, schema_of, text_of, tool_call, unexpected, usage_of

STOP = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}
_REASONING_MODEL = re.compile(r"^(o\d|gpt-5)")


class OpenAIChat:
    """`POST /chat/completions`."""

    name = "chat"
    takes_n = True

    def headers(self, api_key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def build(self, request: LMRequest, *, stream: bool = False) -> WireRequest:
        messages = request.messages
        if messages is None:
            messages = [{"role": "user", "content": request.prompt or ""}]
        body: dict[str, Any] = {"model": request.model, "messages": messages}
        add_params(body, request.params)
        if _REASONING_MODEL.match(request.model) and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        if stream:
            body["stream"] = True
            body.setdefault("stream_options", {"include_usage": True})
        return WireRequest("/chat/completions", body)

    def parse(self, source: Source, status: int, headers: Mapping[str, str], body: bytes) -> LMResponse:
        return read_reply(source, status, headers, body, _response)

    def assembler(self, source: Source) -> OpenAIChatStream:
        return OpenAIChatStream(source)


def choices_of(source: Source, headers: Mapping[str, str], data: Mapping[str, Any]) -> Any:
    """The choices in a reply, of which there is at least one. Some gateways answer 200 with an error instead."""
    choices = data.get("choices")
    if not choices:
        if data.get("error"):
            raise error_of(source, data["error"], None, headers)
        raise unexpected(source, "the reply has no choices", "empty_choices")
    return choices


def _response(source: Source, headers: Mapping[str, str], data: dict[str, Any]) -> LMResponse:
    return LMResponse(
        outputs=[_output(choice) for choice in choices_of(source, headers, data)],
        usage=usage(data.get("usage")),
        model=string(data.get("model")) or source.model,
        id=string(data.get("id")),
        provider=source.provider,
    )


def add_params(body: dict[str, Any], params: Mapping[str, Any]) -> None:
    """Parameters as they are; None means "not given", and a pydantic class as response_format becomes its schema."""
    for name, value in params.items():
        if value is None:
            continue
        if name == "response_format" and isinstance(value, type):
            schema = schema_of(value)
            if schema is not None:
                value = {"type": "json_schema", "json_schema": {"name": schema[0], "schema": schema[1], "strict": True}}
        if name == "extra_body":
            body.update(value)
        else:
            body[name] = value


def usage(data: Mapping[str, Any] | None) -> Usage:
    """Usage as OpenAI counts it; one request and no tokens when the server does not say."""
    if not data:
        return Usage(requests=1)
    prompt_details = data.get("prompt_tokens_details") or {}
    completion_details = data.get("completion_tokens_details") or {}
    return usage_of(
        data.get("prompt_tokens"),
        data.get("completion_tokens"),
        data.get("total_tokens"),
        prompt_details.get("cached_tokens"),
        completion_details.get("reasoning_tokens"),
    )


def _output(choice: Mapping[str, Any]) -> LMOutput:
    message = choice["message"]
    calls = message.get("tool_calls")
    reason = string(choice.get("finish_reason")) or "stop"
    content = message.get("content")
    return LMOutput(
        text=content if isinstance(content, str) else text_of(content) or string(message.get("refusal")) or "",
        tool_calls=[
            tool_call(call["function"]["name"], call["function"].get("arguments"), call.get("id")) for call in calls
        ]
        if calls
        else [],
        reasoning=string(message.get("reasoning_content")) or string(message.get("reasoning")) or None,
        stop_reason=STOP.get(reason, reason),
        logprobs=choice.get("logprobs"),
    )


class ChoicesAssembler(Assembler):
    """What streams of chat and of text completions share: choices by index, usage at the end, [DONE]."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._drafts: dict[int, Draft] = {}
        self._usage: Usage | None = None
        self._done = False

    def feed(self, event: str, data: str) -> list[StreamChunk]:
        if data == "[DONE]":
            self._done = True
            return []
        return super().feed(event, data)

    def _take(self, event: str, body: Any) -> list[StreamChunk]:
        if body.get("error"):
            raise error_of(self._source, body["error"], None, {})
        self._id = self._id or string(body.get("id"))
        self._model = string(body.get("model")) or self._model
        if body.get("usage"):
            self._usage = usage(body["usage"])
        found = [self._delta(choice) for choice in body.get("choices") or ()]
        if body.get("usage"):
            found.append(StreamChunk(usage=self._usage))
        return [piece for piece in found if piece is not None]

    def _draft(self, choice: Mapping[str, Any]) -> tuple[int, Draft]:
        index = choice.get("index") or 0
        if not isinstance(index, int):
            raise TypeError(f"the index of a choice is {index!r}")
        return index, self._drafts.setdefault(index, Draft())

    @abstractmethod
    def _delta(self, choice: Mapping[str, Any]) -> StreamChunk | None:
        """What a choice of one event adds; None if that is nothing to show."""

    def response(self) -> LMResponse:
        if not self._drafts or not (self._done or all(d.stop_reason for d in self._drafts.values())):
            raise self._cut_short()
        return LMResponse(
            outputs=[draft.output() for _, draft in sorted(self._drafts.items())],
            usage=self._usage or Usage(requests=1),
            model=self._model,
            id=self._id,
            provider=self._source.provider,
        )

    def _partial(self) -> str:
        return "".join(self._drafts[0].text) if 0 in self._drafts else ""


class OpenAIChatStream(ChoicesAssembler):
    """Assembles chat.completion.chunk events."""

    def _delta(self, choice: Mapping[str, Any]) -> StreamChunk | None:
        index, draft = self._draft(choice)
        delta = choice.get("delta") or {}
        text = string(delta.get("content")) or ""
        reasoning = string(delta.get("reasoning_content")) or string(delta.get("reasoning")) or None
        if text:
            draft.text.append(text)
        if reasoning:
            draft.reasoning.append(reasoning)
        for call in delta.get("tool_calls") or ():
            entry = draft.calls.setdefault(int(call.get("index") or 0), [None, "", ""])
            function = call.get("function") or {}
            entry[0] = entry[0] or string(call.get("id"))
            entry[1] += function.get("name") or ""
            entry[2] += function.get("arguments") or ""
        if choice.get("logprobs") and choice["logprobs"].get("content"):
            draft.logprobs.extend(choice["logprobs"]["content"])
        reason = string(choice.get("finish_reason"))
        if reason:
            draft.stop_reason = STOP.get(reason, reason)
        if not (text or reasoning or reason):
            return None
        calls = tuple(draft.output().tool_calls) if reason and draft.calls else ()
        return StreamChunk(text=text, reasoning=reasoning, index=index, stop_reason=draft.stop_reason, tool_calls=calls)
