"""Pieces of prompts that several adapters use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dspex.adapters._describe import requirement, schema_text
from dspex.lm._types import Message

NOT_GIVEN = "(left out of this example)"
INCOMPLETE = "In this example of the task some of the fields are left out."


def as_prompt(messages: Sequence[Message]) -> str:
    """A conversation as one text, for an endpoint that only completes text."""
    parts = []
    for message in messages:
        said = message["content"]
        if not isinstance(said, str):
            texts = [part["text"] for part in said if part.get("type") == "text"]
            if len(texts) != len(said):
                raise ValueError("A text-completion endpoint takes no images, sound or files.")
            said = "".join(texts)
        parts.append(said if message["role"] == "system" else f"{message['role'].title()}: {said}")
    return "\n\n".join([*parts, "Assistant:"])


def reply_instruction(fields: Mapping[str, Any], mark: str) -> str:
    """The output fields in a row: "`a`, then `b` (must be ...)"; `mark` has the place for the name."""
    return ", then ".join(f"{mark.format(name)}{requirement(own)}" for name, own in fields.items())


def placeholder(name: str, field: Any) -> str:
    """The output's place in the form of an exchange."""
    schema = schema_text(field)
    note = requirement(field)
    if schema:
        note = f" (must be JSON that fits this JSON schema: {schema})"
    return f"{{{name}}}{note}"
