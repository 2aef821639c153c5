"""`JSONAdapter`: the outputs as one JSON object, enforced by the endpoint where it can."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dspex._errors import AdapterParseError
from dspex.adapters._base import Adapter
from dspex.adapters._describe import response_schema
from dspex.adapters._partial import FieldReader, ObjectField
from dspex.adapters._plan import Plan
from dspex.adapters._read import decode_object
from dspex.adapters._render import jsonable
from dspex.adapters._wording import placeholder, reply_instruction
from dspex.callbacks import BaseCallback
from dspex.signatures import Signature
from dspex.types import Code, Reasoning, ToolCalls, Type


class JSONAdapter(Adapter):
    """Structured output: a JSON schema where the LM says it obeys one, else "any JSON object"; repaired if need be."""

    def __init__(
        self,
        callbacks: Sequence[BaseCallback] | None = None,
        use_native_function_calling: bool = True,
        parallel_tool_calls: bool | None = None,
        native_response_types: Sequence[type] | None = None,
    ) -> None:
        super().__init__(callbacks, use_native_function_calling, native_response_types, parallel_tool_calls)

    def _enforce(self, lm: Any, params: dict[str, Any], signature: type[Signature]) -> None:
        if "response_format" in params or "grammar" in params or params.get("tools"):
            return
        if getattr(lm, "model_type", "chat") == "text" or not signature.__dspex_outputs__:
            return
        form = None
        if getattr(lm, "supports_response_schema", False):
            form = schema_for(self.plan(signature))
        if form is None and getattr(lm, "supports_json_object", True):
            form = {"type": "json_object"}
        if form is not None:
            params["response_format"] = form

    def format_field_structure(self, signature: type[Signature]) -> str:
        given = [f"[[ ## {name} ## ]]\n{{{name}}}" for name in signature.__dspex_inputs__]
        outputs = ",\n".join(
            f"  {json.dumps(name)}: {placeholder(name, field)}" for name, field in signature.__dspex_outputs__.items()
        )
        return "\n\n".join(
            [
                "The inputs come in this form, with the value of each field in place of its braces:",
                *given,
                "The reply is a JSON object with these keys:",
                f"{{\n{outputs}\n}}",
            ]
        )

    def user_message_output_requirements(self, signature: type[Signature]) -> str:
        outputs = signature.__dspex_outputs__
        if not outputs:
            return ""
        return f"Respond with a JSON object that has these keys, in this order: {reply_instruction(outputs, '`{}`')}."

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        return object_text(signature, outputs, missing_field_message)

    def field_reader(self, signature: type[Signature], name: str) -> FieldReader | None:
        return ObjectField(name)

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        return parse_object(self, signature, completion)


def object_text(
    signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
) -> str:
    """The outputs as a JSON object."""
    values: dict[str, Any] = {}
    for name in signature.__dspex_outputs__:
        if name in outputs:
            value = outputs[name]
            if isinstance(value, (Code, Reasoning)):
                value = str(value)
            elif isinstance(value, Type):
                value = json.loads(value.format_reply()) if isinstance(value, ToolCalls) else value.model_dump()
            values[name] = jsonable(value)
        elif missing_field_message is not None:
            values[name] = missing_field_message
    return json.dumps(values, ensure_ascii=False, indent=2)


def parse_object(adapter: Adapter, signature: type[Signature], completion: str) -> dict[str, Any]:
    """The outputs in a reply that is, or holds, a JSON object."""
    found = decode_object(completion)
    if found is None:
        raise AdapterParseError(type(adapter).__name__, signature, completion, "there is no JSON object in it", {})
    plan = adapter.plan(signature)
    values: dict[str, Any] = {}
    for name in plan.outputs:
        if name not in found:
            raise adapter._missing(signature, completion, found, values)
        try:
            values[name] = plan.json_reader(name)(found[name])
        except ValueError as error:
            raise adapter._unreadable(signature, completion, name, error, values) from error
    return values


def schema_for(plan: Plan) -> dict[str, Any] | None:
    """The `response_format` of the plan's signature, made at the first use."""
    key = "response_schema"
    cached: dict[str, Any] = plan.signature.__dspex_plans__
    if key not in cached:
        cached[key] = response_schema(plan.signature.__name__, plan.signature.__dspex_outputs__)
    form: dict[str, Any] | None = cached[key]
    return form
