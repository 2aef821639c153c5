"""What goes to a language model and what comes back: plain frozen values.

The lingua franca is OpenAI's chat shape (messages with a role and a content that is a string or a list of
content parts); each wire format translates it. Values compare by content and turn into JSON and back
without loss, which is how the cache stores them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Message = dict[str, Any]
"""A role and a content (a string or a list of content parts), perhaps ``tool_calls`` or ``tool_call_id``."""


@dataclass(frozen=True, slots=True)
class LMRequest:
    """One request. Exactly one of `messages` (chat) and `prompt` (text completion) is set.

    `params` are what the call adds to or overrides in the LM's own defaults (temperature, max_tokens, n,
    response_format, tools, grammar, stop...). `rollout_id` tells otherwise equal requests apart in the cache
    and is never sent.
    """

    model: str
    messages: list[Message] | None = None
    prompt: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    rollout_id: int | str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": self.messages,
            "prompt": self.prompt,
            "params": self.params,
            "rollout_id": self.rollout_id,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LMRequest:
        return cls(
            model=data["model"],
            messages=data.get("messages"),
            prompt=data.get("prompt"),
            params=data.get("params") or {},
            rollout_id=data.get("rollout_id"),
        )


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """One tool call that the model asks for.

    `arguments` are the decoded arguments. When the model wrote something that is not a JSON object,
    `arguments` is empty and `raw` keeps what it wrote.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    raw: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "arguments": self.arguments, "id": self.id, "raw": self.raw}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ToolCallPart:
        return cls(data["name"], data.get("arguments") or {}, data.get("id"), data.get("raw"))


@dataclass(frozen=True, slots=True)
class LMOutput:
    """One completion.

    `stop_reason` is "stop", "length", "tool_calls", "content_filter" or else the provider's own word.
    """

    text: str = ""
    tool_calls: list[ToolCallPart] = field(default_factory=list)
    reasoning: str | None = None
    stop_reason: str = "stop"
    logprobs: Any = None

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "tool_calls": [call.to_json() for call in self.tool_calls],
            "reasoning": self.reasoning,
            "stop_reason": self.stop_reason,
            "logprobs": self.logprobs,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LMOutput:
        return cls(
            text=data["text"],
            tool_calls=[ToolCallPart.from_json(call) for call in data.get("tool_calls") or ()],
            reasoning=data.get("reasoning"),
            stop_reason=data.get("stop_reason", "stop"),
            logprobs=data.get("logprobs"),
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them. `requests` counts HTTP requests, retries included. Addable."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 0

    def __add__(self, other: Usage) -> Usage:
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.requests + other.requests,
        )

    def __radd__(self, other: object) -> Usage:
        # sum() starts with 0.
        return self if other == 0 else NotImplemented

    def to_json(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "requests": self.requests,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Usage:
        return cls(**{name: int(data.get(name) or 0) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class LMResponse:
    """The answer to one `LMRequest`: `n` outputs, what they took, and where they came from.

    `cost` is in USD and None when the price is not known. `cached` is True when no request was sent.
    """

    outputs: list[LMOutput]
    usage: Usage = Usage()
    model: str = ""
    id: str | None = None
    cost: float | None = None
    cached: bool = False
    provider: str | None = None

    def as_cached(self) -> LMResponse:
        """The same answer, marked as read from the cache."""
        return self if self.cached else replace(self, cached=True)

    def to_json(self) -> dict[str, Any]:
        return {
            "outputs": [output.to_json() for output in self.outputs],
            "usage": self.usage.to_json(),
            "model": self.model,
            "id": self.id,
            "cost": self.cost,
            "cached": self.cached,
            "provider": self.provider,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LMResponse:
        return cls(
            outputs=[LMOutput.from_json(output) for output in data["outputs"]],
            usage=Usage.from_json(data.get("usage") or {}),
            model=data.get("model", ""),
            id=data.get("id"),
            cost=data.get("cost"),
            cached=bool(data.get("cached", False)),
            provider=data.get("provider"),
        )


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """A piece of a streamed answer: `index` says of which output; `usage` comes with the last, if at all."""

    text: str = ""
    reasoning: str | None = None
    index: int = 0
    usage: Usage | None = None
    stop_reason: str | None = None
    tool_calls: tuple[ToolCallPart, ...] = ()
