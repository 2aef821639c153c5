"""`ChatAdapter`: every field under a marker line ``[[ ## name ## ]]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dspex.adapters._base import Adapter
from dspex.adapters._partial import FieldReader, SpanField, before_line
from dspex.adapters._render import render_reply
from dspex.adapters._wording import placeholder, reply_instruction
from dspex.callbacks import BaseCallback
from dspex.signatures import Signature

_MARKER = re.compile(r"^[ \t]*\[\[ ## (\w+) ## \]\]", re.MULTILINE)


class ChatAdapter(Adapter):
    """The default. When a reply cannot be read, the model is asked again in JSON (`use_json_adapter_fallback`)."""

    def __init__(
        self,
        callbacks: Sequence[BaseCallback] | None = None,
        use_native_function_calling: bool = False,
        native_response_types: Sequence[type] | None = None,
        use_json_adapter_fallback: bool = True,
        parallel_tool_calls: bool | None = None,
    ) -> None:
        super().__init__(callbacks, use_native_function_calling, native_response_types, parallel_tool_calls)
        self.use_json_adapter_fallback = use_json_adapter_fallback

    def _corrector(self) -> Adapter:
        if not self.use_json_adapter_fallback:
            return self
        from dspex.adapters._json import JSONAdapter

        return JSONAdapter(self.callbacks, self.use_native_function_calling, self.parallel_tool_calls)

    def format_field_structure(self, signature: type[Signature]) -> str:
        parts = ["Every exchange has this form, with the value of each field in place of its braces:"]
        parts += [f"[[ ## {name} ## ]]\n{{{name}}}" for name in signature.__dspex_inputs__]
        parts += [
            f"[[ ## {name} ## ]]\n{placeholder(name, field)}" for name, field in signature.__dspex_outputs__.items()
        ]
        parts.append("[[ ## completed ## ]]")
        return "\n\n".join(parts)

    def user_message_output_requirements(self, signature: type[Signature]) -> str:
        outputs = signature.__dspex_outputs__
        if not outputs:
            return ""
        fields = reply_instruction(outputs, "`[[ ## {} ## ]]`")
        return (
            f"Reply with the output fields only, starting with the field {fields}, "
            "and close with the marker `[[ ## completed ## ]]`."
        )

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        parts = []
        for name in signature.__dspex_outputs__:
            if name in outputs:
                parts.append(f"[[ ## {name} ## ]]\n{render_reply(outputs[name])}")
            elif missing_field_message is not None:
                parts.append(f"[[ ## {name} ## ]]\n{missing_field_message}")
        return "\n\n".join([*parts, "[[ ## completed ## ]]"])

    def field_reader(self, signature: type[Signature], name: str) -> FieldReader | None:
        start = re.compile(rf"^[ \t]*\[\[ ## {re.escape(name)} ## \]\]", re.MULTILINE)
        return SpanField(start, _MARKER, before_line(_may_be_marker))

    def parse(self, signature: type[Signature], completion: str) -> dict[str, Any]:
        pieces = _MARKER.split(completion)
        found: dict[str, str] = {}
        outputs = signature.__dspex_outputs__
        for index in range(1, len(pieces), 2):
            name = pieces[index]
            if name in outputs and name not in found:
                found[name] = pieces[index + 1].strip()
        return self._collect(signature, completion, found)


def _may_be_marker(line: str) -> bool:
    """Whether a line that may go on can become a marker."""
    begun = line.lstrip(" \t")
    opening = "[[ ## "
    return opening.startswith(begun) or (begun.startswith(opening) and "]]" not in begun)
