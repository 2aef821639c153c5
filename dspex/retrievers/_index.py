"""Nearest vectors by brute force: with numpy where it is installed, without it in plain Python. Same results."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Any

Vector = Sequence[float]


class VectorIndex:
    """Rows of one length; `nearest` by cosine, or with `normalize=False` by inner product."""

    def __init__(self, vectors: Iterable[Iterable[Any]], normalize: bool = True) -> None:
        self.normalize = normalize
        self.rows = [_prepared(vector, normalize) for vector in vectors]
        self.size = len(self.rows[0]) if self.rows else 0
        if any(len(row) != self.size for row in self.rows):
            raise ValueError("the vectors of an index must all have the same length")
        self._matrix: Any = None

    def __len__(self) -> int:
        return len(self.rows)

    def nearest(self, query: Iterable[Any], k: int) -> list[tuple[int, float]]:
        """(row, score) of the `k` nearest, the nearest first; of equal ones the first. ValueError when the length of
        the query is not that of the rows.
        """
        wanted = _prepared(query, self.normalize)
        if self.rows and len(wanted) != self.size:
            raise ValueError(f"the query has {len(wanted)} dimensions and the corpus {self.size}: another embedder?")
        scores = self._scores(wanted)
        best = heapq.nsmallest(k, range(len(scores)), key=lambda row: (-scores[row], row))
        return [(row, scores[row]) for row in best]

    def _scores(self, wanted: list[float]) -> list[float]:
        numpy = _numpy()
        if numpy is None:
            return [sum(map(float.__mul__, wanted, row)) for row in self.rows]
        if self._matrix is None:
            self._matrix = numpy.array(self.rows, dtype=numpy.float64).reshape(len(self.rows), self.size)
        scores: list[float] = (self._matrix @ numpy.array(wanted)).tolist() if self.rows else []
        return scores


def _prepared(vector: Iterable[Any], normalize: bool) -> list[float]:
    numbers = [float(number) for number in vector]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a vector holds a number that is not finite")
    if not normalize:
        return numbers
    length = math.sqrt(math.fsum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy
