"""What a model gives beside its text: native tool calls and native reasoning."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dspex.adapters._read import split_annotated, without_none
from dspex.lm._types import LMOutput
from dspex.signatures import Signature
from dspex.types import Reasoning, Tool, ToolCalls

if TYPE_CHECKING:
    from dspex.adapters._base import Adapter


def native_outputs(adapter: Adapter, lm: Any, params: Mapping[str, Any], signature: type[Signature]) -> Native | None:
    """The outputs that this model gives natively, under this adapter's options; None when there are none."""
    special = signature.__dspex_plans__.get(_SPECIAL)
    if special is None:
        special = signature.__dspex_plans__[_SPECIAL] = _special_outputs(signature)
    calls, thoughts = special
    tools = None
    if calls is None and thoughts is None:
        return None
    if calls is not None:
        if adapter.use_native_function_calling and getattr(lm, "supports_function_calling", False):
            tools = _tools_field(signature)
        if tools is None:
            calls = None
    if thoughts is not None and not (
        Reasoning in adapter.native_response_types
        and getattr(lm, "supports_reasoning", False)
        and (params.get("reasoning_effort") or getattr(lm, "kwargs", {}).get("reasoning_effort"))
    ):
        thoughts = None
    if calls is None and thoughts is None:
        return None
    return Native(signature, calls, tools, thoughts)


class Native:
    """The outputs that come beside the text, and the signature of what is left to the text."""

    __slots__ = ("calls", "signature", "thoughts", "tools")

    def __init__(self, signature: type[Signature], calls: str | None, tools: str | None, thoughts: str | None) -> None:
        self.calls, self.tools, self.thoughts = calls, tools, thoughts
        key = ("native", calls, tools, thoughts)
        rest = signature.__dspex_plans__.get(key)
        if rest is None:
            rest = signature
            for name in (calls, tools, thoughts):
                if name is not None:
                    rest = rest.delete(name)
            signature.__dspex_plans__[key] = rest
        self.signature: type[Signature] = rest

    def ask(self, params: dict[str, Any], inputs: Mapping[str, Any], parallel: bool | None) -> None:
        if self.tools is None:
            return
        given = inputs.get(self.tools) or ()
        tools = [given] if isinstance(given, Tool) or callable(given) else list(given)
        params["tools"] = [(tool if isinstance(tool, Tool) else Tool(tool)).to_openai() for tool in tools]
        if parallel is not None:
            params["parallel_tool_calls"] = parallel

    def fill(self, values: dict[str, Any], output: LMOutput) -> None:
        if self.calls is not None:
            values[self.calls] = ToolCalls.model_validate(list(output.tool_calls))
        if self.thoughts is not None:
            values[self.thoughts] = Reasoning(output.reasoning or "")


_SPECIAL = "special outputs"


def _special_outputs(signature: type[Signature]) -> tuple[str | None, str | None]:
    """The outputs that a model may give beside its text: (tool calls, reasoning)."""
    calls = thoughts = None
    for name, field in signature.__dspex_outputs__.items():
        kind, _ = without_none(split_annotated(field.annotation)[0])
        if kind is ToolCalls:
            calls = name
        elif kind is Reasoning:
            thoughts = name
    return calls, thoughts


def _tools_field(signature: type[Signature]) -> str | None:
    for name, field in signature.__dspex_inputs__.items():
        annotation, _ = without_none(split_annotated(field.annotation)[0])
        if annotation is Tool or Tool in typing.get_args(annotation):
            return name
    return None
