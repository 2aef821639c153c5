"""A value as it stands in a prompt: text, or content parts with text around them."""

from __future__ import annotations

import enum
import json
import uuid
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from dspex.types import ContentPart, Type

Content = str | list[ContentPart]

Piece = str | ContentPart


def render(value: Any, numbered: bool = False) -> str | list[Piece]:
    """The value as text; as a list of texts and content parts when there is something in it that is not text.

    Numbers and booleans read as in Python, everything composite as JSON. With `numbered`, a list of texts
    reads as a numbered list (used where a field is declared as one text and is given several).
    """
    if isinstance(value, str):
        return value.value if isinstance(value, enum.Enum) else value
    if value is None or isinstance(value, (bool, int, float)):
        return str(value.value if isinstance(value, enum.Enum) else value)
    if isinstance(value, Type):
        shown = value.format()
        return shown if isinstance(shown, str) else list(shown)
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, Type) for item in value):
            return _sequence(value)
        if numbered and value and all(isinstance(item, str) for item in value):
            return "\n".join(f"[{number}] {item}" for number, item in enumerate(value, 1))
    return _composite(value)


def render_reply(value: Any) -> str:
    """The value as a model would write it in a reply."""
    if isinstance(value, Type):
        return value.format_reply()
    shown = render(value)
    return shown if isinstance(shown, str) else plain_json(value)


def plain_json(value: Any) -> str:
    """JSON, letters of every script as they are."""
    return json.dumps(jsonable(value), ensure_ascii=False)


def jsonable(value: Any) -> Any:
    return to_jsonable_python(value, fallback=str)


def _sequence(items: Iterable[Any]) -> str | list[Piece]:
    pieces: list[Piece] = []
    for number, item in enumerate(items, 1):
        shown = render(item)
        pieces.append(f"[{number}] " if number == 1 else f"\n[{number}] ")
        pieces += [shown] if isinstance(shown, str) else shown
    return _simplified(pieces)


def _composite(value: Any) -> str | list[Piece]:
    found: list[Any] = []
    mark = uuid.uuid4().hex if _holds_types(value) else ""
    if not mark:
        shown = jsonable(value)
        return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)

    def swap(item: Any) -> Any:
        if isinstance(item, Type):
            found.append(item.format())
            return f"{mark}{len(found) - 1};"
        if isinstance(item, BaseModel):
            return {name: swap(getattr(item, name)) for name in type(item).model_fields}
        if isinstance(item, dict):
            return {str(key): swap(inner) for key, inner in item.items()}
        if isinstance(item, (list, tuple, set, frozenset)):
            return [swap(inner) for inner in item]
        return jsonable(item)

    text = json.dumps(swap(value), ensure_ascii=False)
    pieces: list[Piece] = []
    head, *rest = text.split(f'"{mark}')
    pieces.append(head)
    for piece in rest:
        number, _, tail = piece.partition(';"')
        shown = found[int(number)]
        pieces += [json.dumps(shown, ensure_ascii=False)] if isinstance(shown, str) else shown
        pieces.append(tail)
    return _simplified(pieces)


def _holds_types(value: Any) -> bool:
    if isinstance(value, Type):
        return True
    if isinstance(value, BaseModel):
        return any(_holds_types(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, dict):
        return any(_holds_types(item) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_holds_types(item) for item in value)
    return False


def _simplified(pieces: list[Piece]) -> str | list[Piece]:
    texts = [piece for piece in pieces if isinstance(piece, str)]
    return "".join(texts) if len(texts) == len(pieces) else pieces


def content(pieces: list[Piece]) -> Content:
    """A message's content: one text when all is text, else content parts with neighbouring texts joined."""
    shown = _simplified(pieces)
    if isinstance(shown, str):
        return shown
    parts: list[ContentPart] = []
    for piece in pieces:
        part = {"type": "text", "text": piece} if isinstance(piece, str) else piece
        if parts and part.get("type") == "text" and parts[-1].get("type") == "text":
            parts[-1] = {"type": "text", "text": parts[-1]["text"] + part["text"]}
        elif part.get("type") != "text" or part["text"]:
            parts.append(part)
    return parts
