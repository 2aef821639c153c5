"""Keys: equal for equal values, whatever process made them and whatever JSON library is installed there."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def hash_of(described: Any) -> str | None:
    """A hash of plain data, the order of dict keys left out of account. None when it has no JSON form."""
    try:
        text = json.dumps(described, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()
