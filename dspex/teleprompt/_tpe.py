"""Search over a grid of choices, one proposal at a time: ask for parameters, tell their score.

`TreeParzen` is a small Tree-structured Parzen Estimator for categorical parameters (Bergstra et al., "Algorithms for
Hyper-Parameter Optimization", NeurIPS 2011; the multivariate form of Falkner et al., "BOHB", ICML 2018): observations
are split into good and bad; a proposal maximizes the ratio of their smoothed densities. `OptunaSearch` has the same
interface on optuna's sampler.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from dspex._errors import MissingExtraError
from dspex._extras import how_to_install

Point = dict[str, int]


class Search(Protocol):
    """Ask for a point, tell the score of any point. Deterministic: the same calls give the same points."""

    def ask(self) -> Point: ...

    def tell(self, point: Mapping[str, int], score: float) -> None: ...


class TreeParzen:
    """``sizes``: the number of choices of each parameter. Higher scores are better.

    The first ``startup`` proposals are random. Then each of ``candidates`` draws from the density of the good
    observations (the best ``gamma`` of all, at most 25) is weighed against that of the bad ones.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        seed: int,
        *,
        startup: int = 10,
        candidates: int = 24,
        gamma: float = 0.1,
    ) -> None:
        if not sizes or min(sizes.values()) < 1:
            raise ValueError("every parameter needs at least one choice")
        self._sizes = dict(sizes)
        self._rng = random.Random(seed)
        self._startup = startup
        self._candidates = candidates
        self._gamma = gamma
        self._seen: list[tuple[float, Point]] = []

    def ask(self) -> Point:
        if len(self._seen) < self._startup:
            return {name: self._rng.randrange(size) for name, size in self._sizes.items()}
        good, bad = self._split()
        drawn = [self._draw(good) for _ in range(self._candidates)]
        return max(drawn, key=lambda point: self._density(point, good) - self._density(point, bad))

    def tell(self, point: Mapping[str, int], score: float) -> None:
        self._seen.append((score, dict(point)))

    def _split(self) -> tuple[list[Point], list[Point]]:
        ordered = [point for _, point in sorted(self._seen, key=lambda seen: -seen[0])]
        count = min(25, max(1, math.ceil(self._gamma * len(ordered))))
        return ordered[:count], ordered[count:]

    def _draw(self, observed: Sequence[Point]) -> Point:
        """From the mixture of one kernel around each observation and a uniform one."""
        around = self._rng.randrange(len(observed) + 1)
        if around == len(observed):
            return {name: self._rng.randrange(size) for name, size in self._sizes.items()}
        centre = observed[around]
        keep = self._weight(len(observed))
        return {
            name: centre[name] if self._rng.random() < keep else self._rng.randrange(size)
            for name, size in self._sizes.items()
        }

    def _density(self, point: Point, observed: Sequence[Point]) -> float:
        """The logarithm of the mixture's density."""
        keep = self._weight(len(observed))
        uniform = math.prod(1.0 / size for size in self._sizes.values())
        total = uniform + sum(
            math.prod(
                (1.0 - keep) / size + (keep if point[name] == centre[name] else 0.0)
                for name, size in self._sizes.items()
            )
            for centre in observed
        )
        return math.log(total / (len(observed) + 1))

    @staticmethod
    def _weight(count: int) -> float:
        """How narrow a kernel is: the more observations, the less is left to chance."""
        return count / (count + 1.0)


def import_optuna() -> Any:
    """The module. Raises `MissingExtraError` where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            f"search='optuna' needs optuna ({how_to_install('optuna')}); search='tpe' needs nothing", extra="optuna"
        ) from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without optuna's word about every study that is made, which it has a handler of its own for."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


class OptunaSearch:
    """The same on optuna's multivariate TPE. Needs the extra `optuna`."""

    def __init__(self, sizes: Mapping[str, int], seed: int) -> None:
        optuna = import_optuna()
        self._optuna: Any = optuna
        self._distributions = {
            name: optuna.distributions.CategoricalDistribution(tuple(range(size))) for name, size in sizes.items()
        }
        with warnings.catch_warnings():
            # "multivariate" is marked experimental; it is what MIPROv2 was published with.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
        with _quiet(optuna):
            self._study: Any = optuna.study.create_study(direction="maximize", sampler=sampler)
        self._asked: list[tuple[Point, Any]] = []

    def ask(self) -> Point:
        trial = self._study.ask(self._distributions)
        point = {name: int(trial.params[name]) for name in self._distributions}
        self._asked.append((point, trial))
        return point

    def tell(self, point: Mapping[str, int], score: float) -> None:
        for place, (asked, trial) in enumerate(self._asked):
            if asked == point:
                del self._asked[place]
                self._study.tell(trial, score)
                return
        self._study.add_trial(
            self._optuna.trial.create_trial(params=dict(point), distributions=self._distributions, value=score)
        )
