"""Inputs as JSON. What has no JSON form is kept as text: it can be looked at, but not replayed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

UNPORTABLE = "$unportable"
_TEXT_AT_MOST = 2000
_DEPTH_AT_MOST = 50


def portable(value: Any) -> Any:
    """`value` as a JSON value. Mappings, sequences, dataclasses, pydantic models, enums and whatever has `toDict()`
    (examples, predictions) are converted; anything else becomes `{"$unportable": its repr}`."""
    return _portable(value, 0)


def replayable(payload: Any) -> bool:
    """True when nothing in a payload made by `portable` was left as text."""
    if isinstance(payload, dict):
        return UNPORTABLE not in payload and all(map(replayable, payload.values()))
    return all(map(replayable, payload)) if isinstance(payload, list) else True


def input_key(inputs: Any) -> str:
    """A hash that is equal for equal inputs, in any process, whatever the order of their names."""
    text = json.dumps(portable(inputs), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _portable(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | str | int | float):
        return value.value if isinstance(value, Enum) else value
    if depth > _DEPTH_AT_MOST:
        return _unportable(value)
    match value:
        case Enum():
            return _portable(value.value, depth + 1)
        case BaseModel():
            return value.model_dump(mode="json")
        case Mapping() if all(isinstance(key, str) for key in value):
            return {key: _portable(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_portable(item, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _portable(getattr(value, field.name), depth + 1) for field in fields}
    if callable(to_dict := getattr(value, "toDict", None)):
        return _portable(to_dict(), depth + 1)
    return _unportable(value)


def _unportable(value: Any) -> dict[str, str]:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - somebody's __repr__ must not cost us the rest of the letter
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    # Without the address: the same input must have the same key in another process.
    return {UNPORTABLE: text[:_TEXT_AT_MOST] if " at 0x" not in text else f"<{type(value).__qualname__} object>"}
