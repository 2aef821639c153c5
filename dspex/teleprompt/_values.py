"""Values of examples, demonstrations and settings in JSON's types, the same in every process.

Sets are sorted, since their order is another one in each process; nothing is ever known by its address.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import pydantic
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ._errors import TeleprompterError

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_Path = tuple[int, ...]  # the values that a value lies in


class _NoContentError(Exception):
    """There is nothing about this value that another process would find the same."""


def to_json_value(value: Any) -> Any:
    """The value in JSON's types, as a model is to see it. Examples become dicts, models and data classes are dumped,
    bytes that are no text are base64; another object is its text, or its fields if its text is only its address."""
    return _form(value, _shown, ())


def content_of(value: Any) -> Any:
    """The value in JSON's types, as it is to be recognised: another object is its type and its fields.

    Raises `TeleprompterError` if it has neither these nor a text that is more than its address.
    """
    try:
        return _form(value, _known_by, ())
    except _NoContentError as error:
        raise TeleprompterError(
            f"a {error} has no content that is the same in every process, so a run could not be resumed: give plain "
            "values, a pydantic model, or an object with fields"
        ) from None


def _form(value: Any, other: Callable[[Any, _Path], Any], path: _Path) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if id(value) in path:
        return other(value, path)
    outer, path = path, (*path, id(value))
    match value:
        case enum.Enum():
            return _form(value.value, other, path)
        case Mapping():
            return {_key(key): _form(item, other, path) for key, item in value.items()}
        case list() | tuple() | deque():
            return [_form(item, other, path) for item in value]
        case set() | frozenset():
            return sorted((_form(item, other, path) for item in value), key=_canonical)
        case bytes() | bytearray():
            return _text(bytes(value))
        case pydantic.BaseModel():
            return _form(value.model_dump(by_alias=True), other, path)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _form(named, other, path)
    for method in ("toDict", "tolist"):  # an Example; an array
        if hasattr(value, method) and not isinstance(value, type):
            return _form(getattr(value, method)(), other, path)
    try:
        return to_jsonable_python(value)  # dates, numbers of other kinds, paths and the like
    except (PydanticSerializationError, UnicodeDecodeError):
        return other(value, outer)


def _shown(value: Any, path: _Path) -> Any:
    fields = None if callable(value) or id(value) in path else _fields(value)
    if fields is None or _own_text(value) is not None:
        return _named(value, path)
    return _form(fields, _named, (*path, id(value)))


def _named(value: Any, path: _Path) -> str:
    """An object in few words: those within another one are not opened, there may be any number of them."""
    text = _own_text(value) if id(value) not in path else None
    return getattr(value, "__qualname__", type(value).__qualname__) if text is None else text


def _known_by(value: Any, path: _Path) -> Any:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if id(value) in path:
        raise _NoContentError(f"{name} that holds itself")
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    fields = _fields(value)
    if fields is not None:
        try:
            return [name, _form(fields, _known_by, (*path, id(value)))]
        except _NoContentError:
            if _own_text(value) is None:
                raise
    text = _own_text(value)
    if text is None:
        raise _NoContentError(name)
    return [name, text]


def _fields(value: Any) -> dict[str, Any] | None:
    """What the object holds under names; None if it cannot hold anything there."""
    slots = {name for kind in type(value).__mro__ for name in _slots(kind)}
    if not hasattr(value, "__dict__") and not slots:
        return None
    held = {name: getattr(value, name) for name in sorted(slots) if hasattr(value, name)}
    return held | getattr(value, "__dict__", {})


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _own_text(value: Any) -> str | None:
    """What the object says of itself; None if that is its address."""
    text = str(value)
    return None if _ADDRESS.search(text) else text


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    try:
        (name,) = to_jsonable_python({key: None})
    except PydanticSerializationError:
        return _canonical(content_of(key))
    return str(name)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(data).decode("ascii")


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
