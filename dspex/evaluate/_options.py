"""What may be given to an `Evaluate`: one clear error for what cannot work, before anything is paid for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any


def as_devset(devset: Any) -> Sequence[Any] | None:
    """The devset as a sequence: what only can be gone through once, a generator, becomes a list. None stays None.

    Raises `TypeError` for what holds no examples one after the other.
    """
    if devset is None:
        return None
    indexed = hasattr(devset, "__len__") and hasattr(devset, "__getitem__")
    if isinstance(devset, str | bytes | Mapping) or not (indexed or isinstance(devset, Iterable)):
        raise TypeError(f"devset must be a list of examples, not {type(devset).__name__}")
    rows: Sequence[Any] = devset if indexed else list(devset)
    return rows


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raises if it is neither None nor a whole number of at least so much."""
    if value is None:
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value}")


def check_score(name: str, value: Any) -> None:
    """Raises if it is neither None nor a finite number."""
    if value is None:
        return
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number or None, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value}")


def check_seconds(name: str, value: Any) -> None:
    """Raises if it is neither None, for no limit, nor more than 0."""
    if value is None:
        return
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not float(value) > 0:
        raise ValueError(f"{name} must be more than 0 seconds, or None for no limit, not {value}")
