"""What an optimization is given, checked before anything is kept of it or paid for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dspex.predict import Module


def the_program(value: Any, role: str) -> Module:
    """The program that was given as the student or the teacher. Raises `TypeError` if it is none."""
    if isinstance(value, Module):
        return value
    hint = ": give the module that was spawned, an optimizer works on copies of it" if hasattr(value, "call") else ""
    raise TypeError(f"the {role} must be a program, a Module, not {_kind(value)}{hint}")


def the_examples(value: Any, role: str) -> list[Any]:
    """The examples of a data set, which may be anything that can be iterated. Raises `TypeError` if one is none."""
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"the {role} must be a list of examples, not {_kind(value)}")
    rows = list(value)
    for place, row in enumerate(rows):
        if not (isinstance(row, Mapping) or hasattr(row, "toDict")):
            raise TypeError(f"the {role} must hold examples, but number {place} is {_kind(row)}")
    return rows


def inputs_are_marked(rows: Iterable[Any], role: str) -> None:
    """Raises `ValueError` if a program cannot be run on one of them: it does not say what its inputs are."""
    for place, row in enumerate(rows):
        if getattr(row, "_input_keys", ()) is None:
            raise ValueError(
                f"number {place} of the {role} does not say which of its fields are inputs: use "
                "example.with_inputs('question', ...)"
            )


def at_least(least: float, **values: float | None) -> None:
    """Raises `ValueError` if one of them is less. None is always fine."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be {least} or more, not {value!r}")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
