"""What an optimization is given, checked before anything is kept of it or paid for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dspex.predict import Module

from ._errors import TeleprompterError

if TYPE_CHECKING:
    from ._task import Task


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


def is_writable(log_dir: str | Path) -> None:
    """Raises `TeleprompterError` if nothing can be written to the directory, which is made if need be."""
    try:
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=log_dir):
            pass
    except OSError as error:
        raise TeleprompterError(f"nothing can be written to log_dir {str(log_dir)!r}: {error}") from error


def are_alike(task: Task) -> None:
    """Raises `TeleprompterError` if there is nothing to optimize, or the teacher is not built as the student is."""
    if not task.student.predictors:
        raise TeleprompterError("the program has no predictors: there is nothing to optimize")
    if task.teacher is not None and task.teacher.candidate.names != task.student.candidate.names:
        raise TeleprompterError(
            f"the teacher's predictors ({', '.join(task.teacher.candidate.names)}) are not the student's "
            f"({', '.join(task.student.candidate.names)}): what one does must be a demonstration for the other"
        )


def at_least(least: float, **values: float | None) -> None:
    """Raises `ValueError` if one of them is less. None is always fine."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be {least} or more, not {value!r}")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
