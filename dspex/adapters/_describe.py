"""A field in words: what prompts say of types, constraints and schemas."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from typing import Any

from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo

from dspex.adapters._read import labels_of, split_annotated, validator, without_none
from dspex.signatures._field import constraint_text, extra_of
from dspex.signatures._names import type_name
from dspex.types import Type, types_in
from dspex.types._arguments import inlined


def label_of(name: str, field: FieldInfo) -> str:
    """The field's label in plain prompts: "Some Name:"."""
    return str(extra_of(field).get("prefix") or f"{name}:")


def description_of(name: str, field: FieldInfo) -> str:
    """What its author says of the field; empty when nothing."""
    said = extra_of(field).get("desc") or ""
    return "" if said == f"${{{name}}}" else str(said)


def field_line(number: int, name: str, field: FieldInfo) -> str:
    """The field in the list of fields."""
    line = f"{number}. `{name}` ({type_name(field.annotation)})"
    said = description_of(name, field)
    if said:
        line += f": {said}"
    limits = constraint_text(field)
    if limits:
        line += f"{'' if said.endswith('.') or not said else '.'} Must be: {limits}."
    for kind in types_in(field.annotation):
        words = kind.description()
        if words:
            line += f"\n    {type_name(kind)}: {words}"
    return line


def requirement(field: FieldInfo) -> str:
    """ " (must be ...)", what the form of the output field's value is; empty for plain text."""
    words = _form(field.annotation)
    limits = constraint_text(field)
    if not words and limits:
        words = "text"
    if not words:
        return ""
    return f" (must be {words}{', ' + limits if limits else ''})"


def _form(annotation: Any) -> str:
    annotation, _ = split_annotated(annotation)
    inner, optional = without_none(annotation)
    if optional:
        words = _form(inner)
        return f"{words}, or None" if words else "text, or None"
    if annotation is str or annotation is Any:
        return ""
    if annotation is bool:
        return "True or False"
    if annotation is int:
        return "a single int value"
    if annotation is float:
        return "a single float value"
    labels = labels_of(annotation)
    if labels is not None:
        return f"exactly one of: {'; '.join(labels)}"
    if isinstance(annotation, type) and issubclass(annotation, Type):
        return annotation.description() or "a JSON object that fits its JSON schema"
    origin = typing.get_origin(annotation) or annotation
    if origin in (list, set, frozenset, tuple):
        return f"a JSON array, as for Python's {type_name(annotation)}"
    if origin is dict:
        return f"a JSON object, as for Python's {type_name(annotation)}"
    if hasattr(annotation, "model_fields") or hasattr(annotation, "__dataclass_fields__"):
        return "a JSON object that fits its JSON schema"
    return f"formatted as a valid Python {type_name(annotation)}"


def schema_text(field: FieldInfo) -> str:
    """The JSON schema of a composite output, for the model to follow; empty for simple types."""
    annotation, _ = without_none(split_annotated(field.annotation)[0])
    if labels_of(annotation) is not None or annotation in (str, int, float, Any, type(None)):
        return ""
    if isinstance(annotation, type) and issubclass(annotation, Type) and annotation.description():
        return ""
    origin = typing.get_origin(annotation)
    if origin in (list, dict, set, frozenset, tuple) and all(
        item in (str, int, float, bool, Any, ...) for item in typing.get_args(annotation)
    ):
        return ""
    schema = schema_of(field)
    return "" if schema is None else json.dumps(schema, ensure_ascii=False)


def schema_of(field: FieldInfo) -> dict[str, Any] | None:
    """The JSON schema of the field's type, without references; None when JSON cannot express the type."""
    try:
        schema = validator(field.annotation, field.metadata).json_schema()
    except PydanticInvalidForJsonSchema:
        return None
    return dict(_untitled(inlined(schema, schema.get("$defs", {}))))


def _untitled(schema: Any) -> Any:
    """Without the titles, which pydantic makes of the names and which tell a model nothing."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: _untitled(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}


def response_schema(name: str, outputs: Mapping[str, FieldInfo]) -> dict[str, Any] | None:
    """OpenAI's `response_format` for an object of these fields; None when JSON cannot express one of them.

    Strict where every object in it has a fixed set of keys, as providers demand of strict schemas.
    """
    properties: dict[str, Any] = {}
    for key, field in outputs.items():
        schema = schema_of(field)
        if schema is None:
            return None
        said = description_of(key, field)
        properties[key] = {**schema, **({"description": said} if said else {})}
    whole: dict[str, Any] = {"type": "object", "properties": properties}
    strict = _close(whole)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)[:64]
    return {
        "type": "json_schema",
        "json_schema": {"name": safe or "outputs", "strict": strict, "schema": whole},
    }


_NOT_STRICT = ("oneOf", "prefixItems", "uniqueItems", "patternProperties")
"""What providers refuse in a strict schema."""


def _close(schema: Any) -> bool:
    """Forbid further keys and require all, in place and all the way down. False when some object is open."""
    if isinstance(schema, list):
        found = [_close(item) for item in schema]  # each of them, also after the first open one
        return all(found)
    if not isinstance(schema, dict):
        return True
    closed = True
    if "properties" in schema:
        schema["additionalProperties"] = False
        schema["required"] = list(schema["properties"])
        for item in schema["properties"].values():
            item.pop("default", None)
            closed = _close(item) and closed
    elif schema.get("type") == "object":
        closed = False
    if not schema or any(key in schema for key in _NOT_STRICT):
        closed = False
    rest = [value for key, value in schema.items() if key in ("items", "anyOf", "oneOf", "allOf", "prefixItems")]
    return _close(rest) and closed
