"""`KNN`: the examples nearest to an input."""

from __future__ import annotations

import heapq
import inspect
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from actors import wait
from dspex.primitives import Example

__all__ = ["KNN", "Vectorizer"]


class Vectorizer(Protocol):
    """What turns texts into vectors, one each: an `Embedder`, or a function of yours."""

    def __call__(self, texts: list[str]) -> Any: ...


class KNN:
    """`knn(**inputs)` gives the `k` examples of `trainset` whose inputs are nearest to these, the nearest first.

    Nearness is the cosine of the vectors of the inputs, written as "name: value | name: value".  The vectors of the
    trainset are computed once, here.
    """

    def __init__(self, k: int, trainset: Sequence[Example], vectorizer: Vectorizer) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}.")
        self.k = k
        self.trainset = list(trainset)
        self.embedding = vectorizer
        texts = [_text(example.inputs().items()) for example in self.trainset]
        self.trainset_vectors = [_unit(vector) for vector in _vectors(vectorizer, texts)] if texts else []

    def __call__(self, **inputs: Any) -> list[Example]:
        """The nearest examples."""
        (wanted,) = _vectors(self.embedding, [_text(inputs.items())])
        unit = _unit(wanted)
        scores = [sum(map(float.__mul__, unit, vector)) for vector in self.trainset_vectors]
        nearest = heapq.nlargest(self.k, range(len(scores)), key=lambda index: (scores[index], -index))
        return [self.trainset[index] for index in nearest]


def _text(items: Iterable[tuple[str, Any]]) -> str:
    return " | ".join(f"{name}: {value}" for name, value in items)


def _vectors(vectorizer: Vectorizer, texts: list[str]) -> list[Any]:
    vectors = vectorizer(texts)
    if inspect.isawaitable(vectors):
        vectors = wait(vectors)
    made = list(vectors)
    if len(made) != len(texts):
        raise ValueError(f"The vectorizer made {len(made)} vectors of {len(texts)} texts: it must make one each.")
    return made


def _unit(vector: Iterable[Any]) -> list[float]:
    numbers = [float(number) for number in vector]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]
