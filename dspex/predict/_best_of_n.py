"""`BestOfN` and `Refine`: several attempts, the best of which counts; with or without advice in between."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from actors import wait
from dspex._settings import context, settings
from dspex.predict._module import Module, given_by_name
from dspex.predict._predict import Predict
from dspex.predict._state import plain
from dspex.signatures import InputField, OutputField, Signature, ensure_signature

__all__ = ["BestOfN", "Refine"]

_log = logging.getLogger("dspex")

Reward = Callable[[dict[str, Any], Any], Any]


class BestOfN(Module):
    """Runs `module` up to `N` times, each time with another rollout at temperature 1, until `reward_fn(inputs,
    prediction)` is at least `threshold`; the prediction with the greatest reward is the result.

    An attempt that raises counts as failed; more than `fail_count` of them (by default `N - 1`: all but one may fail),
    and the error is raised.
    """

    def __init__(
        self, module: Module, N: int, reward_fn: Reward, threshold: float, fail_count: int | None = None
    ) -> None:
        super().__init__()
        if N < 1:
            raise ValueError(f"N must be at least 1, not {N}.")
        self.module = module
        self.reward_fn = reward_fn
        self.threshold = threshold
        self.N = N
        self.fail_count = fail_count if fail_count is not None else N - 1

    def forward(self, *args: Any, **inputs: Any) -> Any:
        """The best prediction."""
        if args:
            raise given_by_name()
        return self._best(inputs)

    def _best(self, inputs: dict[str, Any]) -> Any:
        best: tuple[float, Any, list[Any]] | None = None
        failures = 0
        advice: dict[str, str] = {}
        for attempt in range(self.N):
            candidate = self._candidate(attempt, advice)
            trace: list[Any] = []
            try:
                with context(trace=trace):
                    prediction = candidate(**inputs)
                    reward = _number(self.reward_fn(inputs, prediction))
            except Exception as error:
                failures += 1
                if failures > self.fail_count or (attempt == self.N - 1 and best is None):
                    raise
                _log.warning("attempt %d of %d failed: %s: %s", attempt + 1, self.N, type(error).__name__, error)
                continue
            if best is None or reward > best[0]:
                best = (reward, prediction, trace)
            if reward >= self.threshold:
                break
            if attempt < self.N - 1:
                advice = self._advice(candidate, inputs, prediction, trace, reward)
        assert best is not None
        if settings.trace is not None:
            settings.trace.extend(best[2])
        return best[1]

    def _candidate(self, attempt: int, advice: dict[str, str]) -> Module:
        """A copy of the module whose answers differ from those of the other attempts."""
        candidate = self.module.deepcopy()
        for predictor in candidate.predictors():
            lm = predictor.lm if predictor.lm is not None else settings.lm
            if lm is not None:
                first = lm.kwargs.get("rollout_id") or 0
                predictor.lm = lm.copy(rollout_id=first + attempt, temperature=1.0)
        return candidate

    def _advice(
        self, candidate: Module, inputs: dict[str, Any], prediction: Any, trace: list[Any], reward: float
    ) -> dict[str, str]:
        return {}


class Advise(Signature):
    """A program was run and its result was judged not good enough. Its parts are language-model calls ("modules").
    Find out which of them are to blame, and tell each of these what to do differently next time, for inputs like these.
    """

    program: str = InputField(desc="the code of the program")
    modules: str = InputField(desc="the modules: what each is given, has to produce, and is told")
    inputs: str = InputField(desc="what the program was given")
    calls: str = InputField(desc="what each module was given and produced in this run")
    outputs: str = InputField(desc="what the program produced")
    judge: str = InputField(desc="the code that computed the reward")
    reward: float = InputField(desc="the reward of this run")
    wanted: float = InputField(desc="the reward that would have been good enough")
    discussion: str = OutputField(desc="what went wrong, and in which module")
    advice: dict[str, str] = OutputField(
        desc="for each module by its name: one or two concrete sentences of advice, or N/A if it did well"
    )


class Refine(BestOfN):
    """`BestOfN` with advice: after an attempt that was not good enough, a language model says what each module should
    do differently, and the next attempt is told so, in an additional input `hint_`.
    """

    def __init__(
        self, module: Module, N: int, reward_fn: Reward, threshold: float, fail_count: int | None = None
    ) -> None:
        super().__init__(module, N, reward_fn, threshold, fail_count)
        self.advisor = Predict(Advise)
        self.module_code = _source(type(module))
        self.reward_fn_code = _source(reward_fn)

    def forward(self, *args: Any, **inputs: Any) -> Any:
        """The best prediction."""
        if args:
            raise given_by_name()
        return self._best(inputs)

    def _candidate(self, attempt: int, advice: dict[str, str]) -> Module:
        candidate = super()._candidate(attempt, advice)
        for name, predictor in candidate.named_predictors():
            hint = advice.get(name)
            if hint and hint.strip().upper().rstrip(".") != "N/A":
                field = InputField(default=hint, desc="advice from an earlier attempt")
                predictor.signature = predictor.signature.append("hint_", field, str)
        return candidate

    def _advice(
        self, candidate: Module, inputs: dict[str, Any], prediction: Any, trace: list[Any], reward: float
    ) -> dict[str, str]:
        names = {id(predictor): name for name, predictor in candidate.named_predictors()}
        calls = [
            f"{names[id(predictor)]}: given {plain(given)}, produced {plain(produced)}"
            for predictor, given, produced in trace
            if id(predictor) in names
        ]
        with context(trace=None):
            told = self.advisor(
                program=self.module_code,
                modules="\n\n".join(_described(name, predictor) for name, predictor in self.module.named_predictors()),
                inputs=str(plain(inputs)),
                calls="\n".join(calls),
                outputs=str(plain(prediction)),
                judge=self.reward_fn_code,
                reward=reward,
                wanted=float(self.threshold),
            )
        return {str(name): str(hint) for name, hint in (told.advice or {}).items()}


def _number(reward: Any) -> float:
    return float(wait(reward) if inspect.isawaitable(reward) else reward)


def _source(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):  # made at run time, or not written in Python
        return repr(thing)


def _described(name: str, predictor: Any) -> str:
    signature = ensure_signature(predictor.signature)
    return f"Module {name}: {signature.signature}\n{signature.instructions}"
