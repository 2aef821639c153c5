"""`majority`: the answer that most completions give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from dspex.primitives import Completions, Prediction, normalize_text

__all__ = ["default_normalize", "majority"]


def default_normalize(text: Any) -> Any:
    """Text without case, punctuation, articles and superfluous spaces; None when nothing is left."""
    return normalize_text(str(text)) or None


def majority(
    prediction_or_completions: Prediction | Completions | Sequence[Any],
    normalize: Callable[[Any], Any] | None = default_normalize,
    field: str | None = None,
) -> Prediction:
    """The first completion whose value of `field` is the most common one, compared after `normalize`.

    By default the last output field.  Values that normalize to None count only if there are no others; of equally
    common ones, the one that came first wins.
    """
    completions = prediction_or_completions
    if isinstance(completions, Prediction):
        completions = completions.completions
    rows = [dict(row.items()) for row in completions]
    if not rows:
        raise ValueError("There are no completions to take the majority of.")
    if field is None:
        signature = getattr(completions, "signature", None)
        field = next(reversed(signature.output_fields)) if signature is not None else next(reversed(rows[0]))
    keys = [normalize(row[field]) if normalize is not None else row[field] for row in rows]
    meant = [key for key in keys if key is not None] or keys
    winner = Counter(map(_hashable, meant)).most_common(1)[0][0]
    chosen = next(row for row, key in zip(rows, keys, strict=True) if _hashable(key) == winner)
    return Prediction.from_completions([chosen])


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value
