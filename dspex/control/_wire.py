"""The control protocol: one JSON object a line, both ways.  Pure: bytes in, values out.

-> {"v": 1, "id": 7, "op": "tree", "args": {"depth": 2}}
<- {"v": 1, "id": 7, "ok": true, "result": {...}}
<- {"v": 1, "id": 7, "ok": false, "error": {"kind": "unknown_path", "message": "..."}}
<- {"v": 1, "id": 7, "item": {...}}          of a stream, any number of times before the last line
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dspex.control._errors import OperationError, WireError

__all__ = ["MAX_REQUEST", "VERSION", "Request", "answer", "failure", "item", "read_answer", "read_request", "request"]

VERSION = 1
MAX_REQUEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks."""

    id: int
    op: str
    args: Mapping[str, Any] = field(default_factory=dict)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, default=str, separators=(",", ":")).encode() + b"\n"


def request(asked: Request) -> bytes:
    """The line that asks it."""
    return _line({"v": VERSION, "id": asked.id, "op": asked.op, "args": dict(asked.args)})


def read_request(line: bytes) -> Request:
    """What the line asks.

    Raises:
        WireError: it is no request of this protocol and version; the message is fit to be sent back.
    """
    if len(line) > MAX_REQUEST:
        raise WireError(f"a request may have {MAX_REQUEST} bytes, this one has {len(line)}")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise WireError("a request is one JSON object a line") from None
    if not isinstance(value, dict):
        raise WireError("a request is a JSON object")
    if value.get("v") != VERSION:
        raise WireError(f"this system speaks version {VERSION} of the control protocol, not {value.get('v')!r}")
    number, op, args = value.get("id"), value.get("op"), value.get("args", {})
    if not isinstance(number, int) or not isinstance(op, str) or not isinstance(args, dict):
        raise WireError('a request has an integer "id", a string "op" and an object "args"')
    return Request(number, op, args)


def answer(number: int, result: Any) -> bytes:
    """The line that answers."""
    return _line({"v": VERSION, "id": number, "ok": True, "result": result})


def failure(number: int | None, kind: str, message: str) -> bytes:
    """The line that says why not."""
    return _line({"v": VERSION, "id": number, "ok": False, "error": {"kind": kind, "message": message}})


def item(number: int, value: Any) -> bytes:
    """One line of a stream."""
    return _line({"v": VERSION, "id": number, "item": value})


def read_answer(line: bytes) -> tuple[bool, Any]:
    """(True, item of a stream) or (False, the result).

    Raises:
        OperationError: the system says that it could not.
        WireError: it is no answer of this protocol.
    """
    try:
        value = json.loads(line)
    except ValueError:
        raise WireError("the system sent something that is not JSON") from None
    if not isinstance(value, dict) or value.get("v") != VERSION:
        raise WireError(
            f"the system does not speak version {VERSION} of the control protocol: update dspex on one side"
        )
    if "item" in value:
        return True, value["item"]
    if value.get("ok") is True:
        return False, value.get("result")
    error = value.get("error") or {}
    raise OperationError(str(error.get("kind", "error")), str(error.get("message", "the system gave no reason")))
