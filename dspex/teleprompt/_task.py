"""What an optimizer is given: the program's structure and the data, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

from ._candidate import Candidate, PredictorState, content_key
from ._values import content_of, to_json_value


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field of a signature."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class PredictorSpec:
    """A predictor as the program was handed in."""

    name: str
    instructions: str
    inputs: tuple[FieldSpec, ...] = ()
    outputs: tuple[FieldSpec, ...] = ()
    demos: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program as the optimizer sees it. ``source`` is its code, if that can be had; ``compiled``: it comes from an
    optimizer, so its demonstrations are meant."""

    predictors: tuple[PredictorSpec, ...]
    source: str = ""
    compiled: bool = False

    @property
    def candidate(self) -> Candidate:
        """The program as it is."""
        return Candidate(tuple(PredictorState(p.name, p.instructions, p.demos) for p in self.predictors))

    def __getitem__(self, name: str) -> PredictorSpec:
        for predictor in self.predictors:
            if predictor.name == name:
                return predictor
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a data set in JSON's values, with the names of its inputs. ``key`` is a hash of the ``content``, which
    is that of the fields where it is not given."""

    fields: Mapping[str, Any]
    inputs: frozenset[str] = frozenset()
    content: InitVar[Any] = None
    key: str = field(init=False)

    def __post_init__(self, content: Any) -> None:
        known_by = dict(self.fields) if content is None else content
        object.__setattr__(self, "key", content_key(known_by, sorted(self.inputs)))

    @classmethod
    def of(cls, example: Any) -> Record:
        """The record of an `Example`, or of a mapping whose every field is an input. Raises `TeleprompterError` if a
        value has no content that another process would find the same."""
        names: Iterable[str] = example
        if hasattr(example, "toDict"):
            names = example.inputs().keys() if example._input_keys is not None else example.keys()
        values = dict(example.items())
        return cls(to_json_value(values), frozenset(names), content_of(values))


@dataclass(frozen=True, slots=True)
class Task:
    """One optimization: improve ``student`` on ``trainset``, judged on ``valset``. Without a teacher it teaches
    itself. The first candidate that is ranked at ``stop_at_score`` (percent) or more ends it: a search that judges
    side by side may then prefer to judge one by one. A candidate that fails on ``max_errors`` examples of one
    evaluation ends it too, as does a teacher (None: no limit)."""

    student: ProgramSpec
    trainset: tuple[Record, ...]
    valset: tuple[Record, ...] = ()
    teacher: ProgramSpec | None = None
    stop_at_score: float | None = None
    max_errors: int | None = None

    def too_many(self, failures: int) -> bool:
        """Whether these are ``max_errors`` failures or more."""
        return self.max_errors is not None and failures >= max(1, self.max_errors)

    def split(self, name: str) -> tuple[Record, ...]:
        return self.trainset if name == "train" else self.valset

    @property
    def data_hashes(self) -> dict[str, str]:
        """One hash a data set: what a resumed run must find unchanged."""
        return {
            "trainset": content_key([record.key for record in self.trainset]),
            "valset": content_key([record.key for record in self.valset]),
        }
