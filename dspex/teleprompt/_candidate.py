"""A candidate program as data: for each predictor its instructions and its demonstrations.

That is all an optimizer may change, so a candidate can be journaled, hashed, compared and put into any copy of the
program. Everything here is JSON: what a run journals and what it computes on are the same values, hence a resumed
run cannot differ from an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Demo = Mapping[str, Any]
"""The fields of one demonstration, JSON values; ``augmented`` is True if a program (not a person) answered."""


def content_key(*parts: Any) -> str:
    """Twenty hex digits that depend on the JSON values only: equal in every process and on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class PredictorState:
    """What a candidate says about one predictor."""

    name: str
    instructions: str
    demos: tuple[Demo, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "instructions": self.instructions, "demos": [dict(demo) for demo in self.demos]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PredictorState:
        return cls(data["name"], data["instructions"], tuple(data["demos"]))


@dataclass(frozen=True, slots=True)
class Candidate:
    """The states of all predictors of a program, in the program's order. ``key`` is a hash of the content."""

    predictors: tuple[PredictorState, ...]
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", content_key([state.to_json() for state in self.predictors]))

    def __getitem__(self, name: str) -> PredictorState:
        for state in self.predictors:
            if state.name == name:
                return state
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(state.name for state in self.predictors)

    def map(self, change: Callable[[PredictorState], PredictorState]) -> Candidate:
        return Candidate(tuple(change(state) for state in self.predictors))

    def with_instructions(self, instructions: Mapping[str, str]) -> Candidate:
        return self.map(lambda s: replace(s, instructions=instructions.get(s.name, s.instructions)))

    def with_demos(self, demos: Mapping[str, Iterable[Demo]]) -> Candidate:
        return self.map(lambda s: replace(s, demos=tuple(demos[s.name])) if s.name in demos else s)

    def without_demos(self) -> Candidate:
        return self.map(lambda s: replace(s, demos=()))

    def without_demo(self, fields: Demo) -> Candidate:
        """Without the demonstrations that equal these fields: nobody is shown the answer to its own question."""
        if not any(demo == fields for state in self.predictors for demo in state.demos):
            return self
        return self.map(lambda s: replace(s, demos=tuple(demo for demo in s.demos if demo != fields)))

    def to_json(self) -> dict[str, Any]:
        return {"predictors": [state.to_json() for state in self.predictors]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Candidate:
        return cls(tuple(PredictorState.from_json(state) for state in data["predictors"]))
