"""What every wire format is: pure functions from our request to theirs, and from their reply to ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dspex._errors import LMTransportError, LMUnexpectedError

from .._types import LMOutput, LMRequest, LMResponse, StreamChunk, ToolCallPart, Usage
from ._json import dumps, loads


@dataclass(frozen=True, slots=True)
class WireRequest:
    """Where a request goes below the endpoint's base URL, and its JSON body."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """Who speaks: goes into every response and every error."""

    provider: str
    model: str


class StreamAssembler(Protocol):
    """Turns a stream's events into chunks, and at its end into the response that the same call without streaming
    would give.
    """

    def feed(self, event: str, data: str) -> list[StreamChunk]:
        """The chunks in one server-sent event. Raises the provider's error when the event is one."""
        ...

    def response(self) -> LMResponse:
        """The whole reply. LMStreamAssemblyError when the stream ended before it was whole."""
        ...


class WireFormat(Protocol):
    """One provider's dialect. Holds no state; knows no network."""

    name: str
    takes_n: bool  # whether one request may ask for several completions

    def headers(self, api_key: str | None) -> dict[str, str]: ...

    def build(self, request: LMRequest, *, stream: bool = False) -> WireRequest: ...

    def parse(self, source: Source, status: int, headers: Mapping[str, str], body: bytes) -> LMResponse:
        """The response in a reply, or the typed error that it means."""
        ...

    def assembler(self, source: Source) -> StreamAssembler: ...


def decode(source: Source, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The JSON object in a 200 reply. A body that is none got garbled on its way:
    LMTransportError(code="malformed").
    """
    try:
        data = loads(body)
    except ValueError as error:
        kind = headers.get("content-type", "no content type")
        start = body[:120].decode("utf-8", "replace")
        message = f"{source.provider} answered with something that is not JSON ({kind}, {len(body)} bytes): {start!r}"
        raise LMTransportError(message, code="malformed", provider=source.provider, model=source.model) from error
    if not isinstance(data, dict):
        raise unexpected(source, f"the reply is a JSON {type(data).__name__}, not an object")
    return data


def unexpected(source: Source, what: str, code: str = "unexpected") -> LMUnexpectedError:
    return LMUnexpectedError(
        f"{source.provider} ({source.model}): {what}", code=code, provider=source.provider, model=source.model
    )


def text_of(content: Any) -> str:
    """The text in a message's content, parts that are not text left out."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(
        part.get("text", "") for part in content if part.get("type") in ("text", "input_text", "output_text")
    )


def tool_call(name: str, arguments: Any, id: str | None) -> ToolCallPart:
    """A tool call from a provider's arguments, which are JSON text or an object already. TypeError when `name` or
    `id` is no text.
    """
    if not isinstance(name, str) or not isinstance(id, str | None):
        raise TypeError(f"a tool call's name and id are {name!r} and {id!r}")
    if isinstance(arguments, dict):
        return ToolCallPart(name=name, arguments=arguments, id=id)
    try:
        decoded = loads(arguments) if arguments else {}
    except ValueError:
        decoded = None
    if isinstance(decoded, dict):
        return ToolCallPart(name=name, arguments=decoded, id=id)
    return ToolCallPart(name=name, id=id, raw=str(arguments))


def schema_of(response_format: Any) -> tuple[str, dict[str, Any]] | None:
    """(name, JSON schema) of an OpenAI-shaped response_format or a pydantic model class; None for anything looser."""
    if isinstance(response_format, type) and hasattr(response_format, "model_json_schema"):
        return response_format.__name__, response_format.model_json_schema()
    if isinstance(response_format, dict) and response_format.get("type") == "json_schema":
        inner = response_format.get("json_schema") or {}
        return inner.get("name", "reply"), inner.get("schema") or response_format.get("schema") or {}
    return None


def split_data_uri(uri: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a base64 data URI, else None."""
    if not uri.startswith("data:"):
        return None
    head, comma, data = uri[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        return None
    return head[: -len(";base64")] or "application/octet-stream", data


def arguments_text(call: Mapping[str, Any]) -> str:
    """The JSON text of the arguments of an OpenAI-shaped tool call."""
    arguments = call["function"].get("arguments") or "{}"
    return arguments if isinstance(arguments, str) else dumps(arguments).decode()


def arguments_dict(call: Mapping[str, Any]) -> dict[str, Any]:
    """The decoded arguments of an OpenAI-shaped tool call; {} when they are not an object."""
    try:
        decoded = loads(arguments_text(call))
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A stop parameter as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def usage_of(prompt: Any, completion: Any, total: Any = None, cached: Any = None, reasoning: Any = None) -> Usage:
    """A `Usage` of one request from a provider's numbers, any of which may be missing."""
    prompt_tokens, completion_tokens = int(prompt or 0), int(completion or 0)
    return Usage(
        prompt_tokens,
        completion_tokens,
        int(total or 0) or prompt_tokens + completion_tokens,
        int(cached or 0),
        int(reasoning or 0),
        1,
    )


@dataclass(slots=True)
class Draft:
    """One output of a stream while it grows. Tool calls are [id, name, JSON text so far] by position."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, list[Any]] = field(default_factory=dict)
    stop_reason: str | None = None
    logprobs: list[Any] = field(default_factory=list)

    def output(self) -> LMOutput:
        return LMOutput(
            text="".join(self.text),
            tool_calls=[tool_call(name, raw, id) for _, (id, name, raw) in sorted(self.calls.items())],
            reasoning="".join(self.reasoning) or None,
            stop_reason=self.stop_reason or "stop",
            logprobs={"content": self.logprobs} if self.logprobs else None,
        )
