"""What a fake model says to a prompt: an answer in the format that the prompt asks for, computed from the prompt
alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_MARKER = re.compile(r"\[\[ ## (\w+) ## \]\]")
_ITEM = re.compile(r"item-(\d+)")


def value_of(number: int) -> str:
    """The answer to a prompt whose last item token is ``item-<number>``, so that any test can check it."""
    return f"value-{(number * 2654435761 + 12345) & 0xFFFFFFFF:08x}"


def text_value(prompt: str) -> str:
    """The value of a text field: by the last ``item-<n>`` in the prompt, else by the prompt's hash."""
    items = _ITEM.findall(prompt)
    return value_of(int(items[-1])) if items else f"value-{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"


def prompt_of(body: dict[str, Any]) -> str:
    """All the text in a chat, completion or Responses request."""
    if "prompt" in body:
        return str(body["prompt"])
    texts = []
    for message in body.get("messages") or body.get("input") or []:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        else:
            texts.extend(part.get("text", "") for part in content or [])
    return "\n".join(texts)


def answer_to(body: dict[str, Any]) -> str:
    """The text of the reply: by `response_format`, by field markers in the last instruction, else the bare value."""
    prompt = prompt_of(body)
    value = text_value(prompt)
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if schema:
        return json.dumps(fitting(schema, value))
    asked = prompt.rfind("starting with the field")
    names = [name for name in dict.fromkeys(_MARKER.findall(prompt[asked:])) if name != "completed"]
    if asked >= 0 and names:
        return "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name in names) + "[[ ## completed ## ]]"
    return value


def fitting(schema: dict[str, Any], value: str, root: dict[str, Any] | None = None) -> Any:
    """The smallest value that fits a JSON schema; strings are `value`."""
    root = schema if root is None else root
    if "$ref" in schema:
        node: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        return fitting(node, value, root)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return fitting(schema[key][0], value, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object" or "properties" in schema:
        return {name: fitting(inner, value, root) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [fitting(schema.get("items", {}), value, root)]
    number = int(hashlib.sha256(value.encode()).hexdigest()[:4], 16)
    return {"integer": number, "number": number / 1000, "boolean": True, "null": None}.get(kind, value)
