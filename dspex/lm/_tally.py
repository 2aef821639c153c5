"""What all calls of language models on one scheduler come to, whoever makes them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ._types import Usage


@dataclass(frozen=True, slots=True)
class Totals:
    """A reading. `lm_calls` were answered, `cached` of them from the cache; `in_flight` are at work or wait in line.
    `cost` is in USD and covers the priced calls: `unpriced` of them had no known price.
    """

    lm_calls: int
    in_flight: int
    cached: int
    total_tokens: int
    cost: float
    unpriced: int


class Tally:
    """Running counts. Any thread: a call is counted where it is awaited, which is on its caller's loop."""

    __slots__ = ("_lock", "cached", "cost", "in_flight", "lm_calls", "total_tokens", "unpriced")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.lm_calls = self.in_flight = self.cached = self.total_tokens = self.unpriced = 0
        self.cost = 0.0

    def begun(self) -> None:
        """A call is at work. `ended` follows, always."""
        with self._lock:
            self.in_flight += 1

    def ended(self) -> None:
        """It has ended, in whatever way."""
        with self._lock:
            self.in_flight -= 1

    def answered(self, usage: Usage, cost: float | None, cached: bool) -> None:
        """It was answered. From the cache, it took no tokens and no money."""
        with self._lock:
            self.lm_calls += 1
            if cached:
                self.cached += 1
            else:
                self.total_tokens += usage.total_tokens
                if cost is None:
                    self.unpriced += 1
                else:
                    self.cost += cost

    def add(self, other: Tally) -> None:
        """Count also what another one has counted: its calls in flight end there."""
        done = other.read()
        with self._lock:
            self.lm_calls += done.lm_calls
            self.cached += done.cached
            self.total_tokens += done.total_tokens
            self.cost += done.cost
            self.unpriced += done.unpriced

    def read(self) -> Totals:
        """The counts as they are now."""
        with self._lock:
            return Totals(self.lm_calls, self.in_flight, self.cached, self.total_tokens, self.cost, self.unpriced)
