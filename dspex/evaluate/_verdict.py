"""What a metric returned, as a number."""

from __future__ import annotations

import math
from typing import Any

from ._metric_errors import MetricError


def as_score(verdict: Any) -> float:
    """A bool, a number, or anything with a ``score`` (a `Prediction`), as a float."""
    if isinstance(verdict, bool | int | float):
        score = float(verdict)
    elif verdict is None:
        raise MetricError("the metric returned None: it must return a number or a bool")
    else:
        own = getattr(verdict, "score", None) if not hasattr(type(verdict), "__float__") else None
        try:
            score = float(verdict if own is None else own)
        except (TypeError, ValueError) as error:
            message = f"the metric returned {type(verdict).__name__}, which is no number and has no score"
            raise MetricError(message) from error
    if math.isnan(score):
        raise MetricError("the metric returned NaN")
    return score
