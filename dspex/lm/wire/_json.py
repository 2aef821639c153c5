"""JSON for the wire: orjson when it is installed, the standard library otherwise. Same results, other speed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

try:
    import orjson
except ImportError:
    _fast_dumps: Callable[[Any], bytes] | None = None
    _fast_loads: Callable[[bytes], Any] = json.loads
else:
    _fast_dumps = orjson.dumps
    _fast_loads = orjson.loads


def dumps(value: Any) -> bytes:
    """`value` as compact UTF-8 JSON. TypeError when it holds something that JSON cannot."""
    if _fast_dumps is not None:
        try:
            # A copy: orjson's own bytes keep its whole buffer, some 8 kB, for as long as the request is under way.
            return bytes(memoryview(_fast_dumps(value)))
        except TypeError:
            pass  # big integers, lone surrogates, keys that are not strings: the slow one takes more
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def loads(data: bytes | str) -> Any:
    """ValueError when `data` is not JSON."""
    return _fast_loads(data)  # type: ignore[arg-type]
