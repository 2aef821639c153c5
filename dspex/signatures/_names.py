"""How a field's name reads as a label, and its type as one writes it."""

from __future__ import annotations

import re
import types
import typing
from typing import Any

_BOUNDARY = re.compile(
    r"(?<=[a-z])(?=[A-Z])"  # someName
    r"|(?<=[A-Z])(?=[A-Z][a-z])"  # HTMLPage
    r"|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"  # step2, 2nd
)


def infer_prefix(attribute_name: str) -> str:
    """`snake_case` and `camelCase` as words with capitals: "Snake Case", "Camel Case". Acronyms stay."""
    words = _BOUNDARY.sub("_", attribute_name).split("_")
    return " ".join(word if word.isupper() else word.capitalize() for word in words if word)


def type_name(annotation: Any) -> str:
    """A type as one writes it: ``list[str]``, ``int | None``."""
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        return " | ".join(type_name(argument) for argument in typing.get_args(annotation))
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(value) for value in typing.get_args(annotation))}]"
    if origin is typing.Annotated:
        return type_name(typing.get_args(annotation)[0])
    if origin is not None:
        name = getattr(origin, "__name__", str(origin))
        parts = ["..." if a is Ellipsis else type_name(a) for a in typing.get_args(annotation)]
        return f"{name}[{', '.join(parts)}]" if parts else name
    return str(annotation).replace("typing.", "")
