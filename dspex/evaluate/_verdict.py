"""What a metric returned, as a number."""

from __future__ import annotations

import math
from typing import Any

from ._metric_errors import MetricError

_NOTHING: Any = object()


def as_score(verdict: Any) -> float:
    """A bool, a number, or the ``score`` of anything that has one (a `Prediction`), as a finite float.

    A number is what can be one (`__float__`); text that could be read as one is none. Raises `MetricError`.
    """
    if verdict is None:
        raise MetricError("the metric returned None: it must return a number or a bool")
    try:
        number = verdict if isinstance(verdict, bool | int | float) else getattr(verdict, "score", _NOTHING)
        if number is _NOTHING:
            number = verdict
        if not hasattr(type(number), "__float__"):
            raise TypeError(f"{type(number).__name__} is not a number")
        score = float(number)
    except OverflowError as error:
        raise MetricError("the metric returned a number too large for a score, not a finite number") from error
    except Exception as error:
        message = f"the metric returned {type(verdict).__name__}, which is no number and has no score that is one"
        raise MetricError(message) from error
    if not math.isfinite(score):
        raise MetricError(f"the metric returned {score}, which is not a finite number")
    return score
