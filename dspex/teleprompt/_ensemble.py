"""`Ensemble`: several programs answer, one answer is made of theirs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from dspex.predict import Module

from ._candidate import content_key
from ._teleprompter import parameters_of
from ._values import to_json_value


class Ensemble:
    """``compile(programs)`` gives a program that asks all of them, or ``size`` of them, and returns ``reduce_fn`` of
    their answers (the list itself, without one).

    Which ones a call asks is random, or with ``deterministic=True`` decided by its inputs: the same inputs ask the
    same programs, in every process.
    """

    def __init__(
        self,
        *,
        reduce_fn: Callable[[list[Any]], Any] | None = None,
        size: int | None = None,
        deterministic: bool = False,
    ) -> None:
        if size is not None and size < 1:
            raise ValueError("size must be 1 or more")
        self.reduce_fn = reduce_fn
        self.size = size
        self.deterministic = deterministic

    def compile(self, programs: Sequence[Module]) -> Module:
        """The combined program. It holds the programs themselves, not copies."""
        if not programs:
            raise ValueError("an ensemble needs at least one program")
        if self.size is not None and self.size > len(programs):
            raise ValueError(f"size is {self.size}, but there are only {len(programs)} programs")
        return EnsembledProgram(programs, self.reduce_fn, self.size, self.deterministic)

    def get_params(self) -> dict[str, Any]:
        """The constructor's arguments: the class called with them gives an equal optimizer."""
        return parameters_of(self)


class EnsembledProgram(Module):
    """What `Ensemble` compiles."""

    def __init__(
        self,
        programs: Sequence[Module],
        reduce_fn: Callable[[list[Any]], Any] | None,
        size: int | None,
        deterministic: bool,
    ) -> None:
        super().__init__()
        self.programs = list(programs)
        self.reduce_fn = reduce_fn
        self.size = size
        self.deterministic = deterministic

    def forward(self, *args: Any, **inputs: Any) -> Any:
        answers = [program(*args, **inputs) for program in self._chosen(args, inputs)]
        return answers if self.reduce_fn is None else self.reduce_fn(answers)

    def _chosen(self, args: tuple[Any, ...], inputs: dict[str, Any]) -> list[Module]:
        if self.size is None:
            return self.programs
        seed = content_key(to_json_value(args), to_json_value(inputs)) if self.deterministic else None
        return random.Random(seed).sample(self.programs, self.size)
