"""What an optimizer changes about a program, as an immutable value: the parameters of its predictors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Parameters", "changed"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one predictor.  Read-only: `demos` and `config` are not to be changed in place."""

    signature: Any
    demos: list[Any]
    config: dict[str, Any]
    lm: Any = None

    @classmethod
    def of(cls, predictor: Any) -> Parameters:
        """Those that a predictor has now."""
        return cls(predictor.signature, list(predictor.demos), dict(predictor.config), predictor.lm)

    def put(self, predictor: Any) -> None:
        """Give them to a predictor."""
        predictor.signature = self.signature
        predictor.demos = list(self.demos)
        predictor.config = dict(self.config)
        predictor.lm = self.lm


def changed(before: Mapping[str, Parameters], changes: Mapping[str, Any]) -> dict[str, Parameters]:
    """The parameters of a program's predictors, by name, with `changes` made.

    `changes` are `lm`, `config`, `instructions`, `demos`, `signature`.  The value of each is either for every
    predictor, or a dict from predictor names to values (`config` alone is a dict by nature: it is by name when all
    its keys are names of predictors).

    Raises:
        KeyError: there is no predictor of that name.
        ValueError: `demos` or a signature without names, for a program that has several predictors.
    """
    after = dict(before)
    for what, value in changes.items():
        if what not in ("lm", "config", "instructions", "demos", "signature"):
            raise TypeError(f"A program is updated in lm, config, instructions, demos or signature, not in {what!r}.")
        for name, one in _by_name(before, what, value).items():
            after[name] = _with(after[name], what, one)
    return after


def _by_name(before: Mapping[str, Parameters], what: str, value: Any) -> Mapping[str, Any]:
    named = isinstance(value, Mapping) and (what != "config" or (bool(value) and value.keys() <= before.keys()))
    if named:
        for name in value:
            if name not in before:
                raise KeyError(f"The program has no predictor {name!r}; it has: {', '.join(before)}.")
        return dict(value)
    if what in ("demos", "signature") and len(before) > 1:
        raise ValueError(f"Say whose {what} they are: {{name: {what}}}, with the names {', '.join(before)}.")
    return dict.fromkeys(before, value)


def _with(parameters: Parameters, what: str, value: Any) -> Parameters:
    if what == "instructions":
        return replace(parameters, signature=parameters.signature.with_instructions(value))
    if what == "config":
        return replace(parameters, config={**parameters.config, **value})
    if what == "demos":
        return replace(parameters, demos=list(value))
    if what == "signature":
        from dspex.signatures import ensure_signature

        return replace(parameters, signature=ensure_signature(value))
    return replace(parameters, lm=value)
