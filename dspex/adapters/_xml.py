"""`XMLAdapter`: every field between tags of its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dspex.adapters._chat import ChatAdapter
from dspex.adapters._describe import requirement
from dspex.adapters._partial import FieldReader, SpanField, before_word
from dspex.adapters._plan import InputSlot, Plan, input_slot
from dspex.adapters._render import render_reply
from dspex.adapters._wording import placeholder
from dspex.signatures import Signature


class XMLAdapter(ChatAdapter):
    """``<name>value</name>``. Values are written as they are, without escapes, so `</name>` ends one."""

    def _input_slot(self, name: str, field: Any) -> InputSlot:
        return input_slot(name, field, f"<{name}>\n", f"\n</{name}>")

    def _compile(self, signature: type[Signature]) -> Plan:
        plan = super()._compile(signature)
        # Only the tags of our fields: they may stand inside others.
        names = "|".join(map(re.escape, signature.__dspex_outputs__)) or r"(?!)"
        plan.extra = re.compile(rf"<({names})>(.*?)</\1>", re.DOTALL)
        return plan

    def format_field_structure(self, signature: type[Signature]) -> str:
        parts = ["Every exchange has this form, with the value of each field in place of its braces:"]
        parts += [f"<{name}>\n{{{name}}}\n</{name}>" for name in signature.__dspex_inputs__]
        parts += [
            f"<{name}>\n{placeholder(name, field)}\n</{name}>" for name, field in signature.__dspex_outputs__.items()
        ]
        return "\n\n".join(parts)

    def user_message_output_requirements(self, signature: type[Signature]) -> str:
        outputs = signature.__dspex_outputs__
        if not outputs:
            return ""
        fields = ", then ".join(f"`<{name}>`{requirement(field)}" for name, field in outputs.items())
        return f"Reply with the output fields between their tags only: first {fields}."

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        parts = []
        for name in signature.__dspex_outputs__:
            if name in outputs:
                parts.append(f"<{name}>\n{render_reply(outputs[name])}\n</{name}>")
            elif missing_field_message is not None:
                parts.append(f"<{name}>\n{missing_field_message}\n</{name}>")
        return "\n\n".join(parts)

    def field_reader(self, signature: type[Signature], name: str) -> FieldReader | None:
        closing = f"</{name}>"
        return SpanField(re.compile(f"<{re.escape(name)}>"), re.compile(re.escape(closing)), before_word(closing))

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        found: dict[str, str] = {}
        for name, value in self.plan(signature).extra.findall(completion):
            if name not in found:
                found[name] = value.strip()
        return self._collect(signature, completion, found)
