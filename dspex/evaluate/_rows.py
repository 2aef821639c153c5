"""An evaluation's outcomes as flat rows, and their values as JSON and as cells of a table. Pure.

Every column has one meaning in all rows, and no value covers another one: a name that examples and predictions both
have, or that is one of the verdict's own columns, gets the prefix ``example_`` or ``pred_``, as often as it takes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._outcomes import Failed, Outcome

_DEPTH = 50  # levels of a value that are opened: one that holds itself ends there

_VERDICT = ("failure", "error", "attempts")


def rows_of(outcomes: Sequence[Outcome], metric_name: str, failure_score: float | None) -> list[dict[str, Any]]:
    """One dict per outcome: the example's fields, the prediction's, and the verdict.

    The score has the metric's name (``metric_NAME`` if it is called as one of the other three), then ``failure``, the
    kind, and ``error`` (both None if there is a score), and ``attempts``.
    """
    examples = [_fields(outcome.example, "example") for outcome in outcomes]
    answers = [_fields(outcome.prediction, "output") for outcome in outcomes]
    score = f"metric_{metric_name}" if metric_name in _VERDICT else metric_name
    taken = {score, *_VERDICT}
    of_examples, of_answers = _names(examples), _names(answers)
    shared = taken | (of_examples.keys() & of_answers.keys())
    taken |= (of_examples.keys() | of_answers.keys()) - shared
    _rename(of_examples, "example_", shared, taken)
    _rename(of_answers, "pred_", shared, taken)
    rows = []
    for outcome, example, answer in zip(outcomes, examples, answers, strict=True):
        row = {of_examples[name]: value for name, value in example.items()}
        row |= {of_answers[name]: value for name, value in answer.items()}
        if isinstance(outcome, Failed):
            row |= {score: failure_score, "failure": str(outcome.kind), "error": outcome.message}
        else:
            row |= {score: outcome.score, "failure": None, "error": None}
        row["attempts"] = outcome.attempts
        rows.append(row)
    return rows


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all rows, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def as_json(value: Any, depth: int = _DEPTH) -> Any:
    """The value as JSON has it. What JSON does not have is text: a key that is none, NaN, an object."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth:
        if isinstance(value, Mapping):
            return {key if isinstance(key, str) else str(key): as_json(one, depth - 1) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [as_json(one, depth - 1) for one in value]
        if hasattr(value, "toDict"):
            return as_json(value.toDict(), depth - 1)
        if hasattr(value, "model_dump"):
            return as_json(value.model_dump(mode="json"), depth - 1)
    return str(value)


def as_cell(value: Any) -> Any:
    """The value as a cell: lists and dicts as JSON, anything else as it is."""
    return json.dumps(as_json(value), ensure_ascii=False) if isinstance(value, list | dict) else value


def _fields(value: Any, alone: str) -> dict[str, Any]:
    """What it holds by name; ``alone`` is the name of a value that holds nothing by name."""
    if value is None:
        return {}
    held = value.toDict() if hasattr(value, "toDict") else value
    if not hasattr(held, "keys"):
        return {alone: value}
    return {str(name): held[name] for name in held.keys()}  # noqa: SIM118  of no type in particular


def _names(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {name: name for row in rows for name in row}


def _rename(names: dict[str, str], prefix: str, shared: set[str], taken: set[str]) -> None:
    for name in names:
        if name in shared:
            column = prefix + name
            while column in taken:
                column = prefix + column
            taken.add(column)
            names[name] = column
