"""The questions a search asks, and the answers it gets.

A *search* is a generator: it yields a request, is sent the answer, and returns what it found. It computes; whoever
drives it acts. The small functions below (``yield from evaluate(...)``) are the requests with their answers' types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, cast

from ._candidate import Candidate, Demo

Split = Literal["train", "val"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Score a candidate on examples. Answer: `Evaluation`. A pair that was scored before is not scored again;
    another ``rollout`` makes it another pair."""

    candidate: Candidate
    split: Split
    indices: tuple[int, ...]
    rollout: int = 0


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Run the teacher on examples of the trainset and keep what each predictor did. Answer: a tuple of `Traced`.
    A ``rollout`` above 0 asks for a fresh sample at temperature 1."""

    candidate: Candidate
    indices: tuple[int, ...]
    rollout: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question to the prompt model: a signature as data. ``inputs`` and ``outputs`` are (name, description)."""

    name: str
    instructions: str
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask the prompt model. Answer: a dict of output texts, or None if it did not answer in form.
    Requests that differ in ``rollout`` only get answers of their own."""

    prompt: Prompt
    values: Mapping[str, str]
    temperature: float = 1.0
    rollout: int = 0


@dataclass(frozen=True, slots=True)
class Fork:
    """Several searches at the same time, sharing the workers. Answer: a tuple of their results, in their order."""

    searches: tuple[Generator[Any, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Rank:
    """A candidate has its score on the whole of what it is judged by. The best so far is what an early end returns."""

    candidate: Candidate
    score: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Decide:
    """A step of the search, for the record. A resumed run must come to the same."""

    kind: str
    payload: Mapping[str, Any]


Request: TypeAlias = Evaluate | Bootstrap | Propose | Fork | Rank | Decide
Search: TypeAlias = Generator[Request, Any, T]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores in the order of the request; None where the program failed, ``failures`` counts why."""

    scores: tuple[float | None, ...]
    failures: Mapping[str, int]

    @property
    def percent(self) -> float:
        """The mean in percent. A failure that is the program's own (an outage never comes here) counts as 0: a
        candidate must not win by answering only the easy questions."""
        return 100.0 * sum(score or 0.0 for score in self.scores) / len(self.scores) if self.scores else 0.0

    @classmethod
    def of(cls, values: Sequence[Mapping[str, Any]]) -> Evaluation:
        failures = Counter(str(value["failed"]) for value in values if value.get("failed"))
        return cls(tuple(value.get("score") for value in values), failures)


@dataclass(frozen=True, slots=True)
class Traced:
    """The teacher's run on one example: the metric's score, and each predictor's inputs and outputs in call order."""

    index: int
    score: float | None
    steps: tuple[tuple[str, Demo], ...] = ()
    failed: str | None = None
    error: str = ""

    @classmethod
    def of(cls, index: int, value: Mapping[str, Any]) -> Traced:
        steps = tuple((name, demo) for name, demo in value.get("steps", ()))
        return cls(index, value.get("score"), steps, value.get("failed"), value.get("error", ""))


@dataclass(frozen=True, slots=True)
class Ranked:
    """A judged candidate in a result; ``score`` in percent."""

    candidate: Candidate
    score: float
    label: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"candidate": self.candidate.to_json(), "score": self.score, "label": self.label}


@dataclass(frozen=True, slots=True)
class Found:
    """What a search returns: the best candidate, its score (None if it was not judged), and all that were judged,
    best first, equal ones in the order in which they were tried."""

    best: Candidate
    score: float | None = None
    ranked: tuple[Ranked, ...] = ()

    @classmethod
    def among(cls, ranked: Sequence[Ranked]) -> Found:
        ordered = tuple(sorted(ranked, key=lambda r: -r.score))
        return cls(ordered[0].candidate, ordered[0].score, ordered)


def evaluate(candidate: Candidate, split: Split, indices: Sequence[int], rollout: int = 0) -> Search[Evaluation]:
    """Score a candidate on examples."""
    return cast(Evaluation, (yield Evaluate(candidate, split, tuple(indices), rollout)))


def bootstrap(candidate: Candidate, indices: Sequence[int], rollout: int = 0) -> Search[tuple[Traced, ...]]:
    """Run the teacher on examples."""
    return cast("tuple[Traced, ...]", (yield Bootstrap(candidate, tuple(indices), rollout)))


def propose(
    prompt: Prompt, values: Mapping[str, str], temperature: float = 1.0, rollout: int = 0
) -> Search[Mapping[str, str] | None]:
    """Ask the prompt model."""
    return cast("Mapping[str, str] | None", (yield Propose(prompt, values, temperature, rollout)))


def fork(searches: Sequence[Search[T]]) -> Search[tuple[T, ...]]:
    """Several searches at the same time."""
    return cast("tuple[T, ...]", (yield Fork(tuple(searches))))


def rank(candidate: Candidate, score: float, label: str = "") -> Search[Ranked]:
    """Note a judged candidate."""
    yield Rank(candidate, score, label)
    return Ranked(candidate, score, label)


def decide(kind: str, **payload: Any) -> Search[None]:
    """Note a step."""
    yield Decide(kind, payload)
