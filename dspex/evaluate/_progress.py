"""How far an evaluation is: a running account that costs the same for every example.

Pure: time is an argument. Whoever draws a bar or publishes an event reads it; nothing here looks back at the
outcomes that were counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ._failures import FailureKind

_MEMORY = 30.0  # seconds over which the rate forgets half of what it saw


class Progress:
    """Counts of one evaluation. ``started`` and every ``now`` are seconds of the same monotonic clock."""

    __slots__ = ("_rate", "_seen_at", "_seen_done", "cached", "calls", "cost", "counts", "failed", "in_flight",
                 "retries", "score_sum", "scored", "started", "tokens", "total")  # fmt: skip

    def __init__(self, total: int, started: float) -> None:
        self.total = total
        self.started = started
        self.scored = 0
        self.failed = 0
        self.retries = 0
        self.in_flight = 0
        self.score_sum = 0.0
        self.calls = 0
        self.cached = 0
        self.tokens = 0
        self.cost: float | None = None
        self.counts: Counter[FailureKind] = Counter()
        self._rate: float | None = None
        self._seen_at = started
        self._seen_done = 0

    @property
    def done(self) -> int:
        return self.scored + self.failed

    @property
    def score(self) -> float | None:
        """The mean of the scores so far, in percent; None before the first."""
        return 100.0 * self.score_sum / self.scored if self.scored else None

    def figures(self) -> dict[str, Any]:
        """The counts, by the names under which the supervision tree shows them."""
        names = ("done", "total", "failed", "in_flight", "score", "calls", "cost")
        return {name: getattr(self, name) for name in names} | {"total_tokens": self.tokens}

    def in_words(self) -> str:
        """One line for people."""
        parts = [f"{self.done:,} of {self.total:,}"]
        if self.score is not None:
            parts.append(f"score {self.score:.1f}")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)

    def record_score(self, score: float) -> None:
        self.scored += 1
        self.score_sum += score

    def record_failure(self, kind: FailureKind) -> None:
        self.failed += 1
        self.counts[kind] += 1

    @property
    def all_cached(self) -> bool:
        """Models were called, and every answer came from the cache: that is free, whatever the model costs."""
        return 0 < self.calls == self.cached

    def record_usage(self, calls: int, cached: int, tokens: int, cost: float | None) -> None:
        """Add what was spent. A cost of None is unknown, not free: the total keeps what is known."""
        self.calls += calls
        self.cached += cached
        self.tokens += tokens
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    def rate(self, now: float) -> float:
        """Finished examples a second: recent ones weigh more, so a stall shows within a minute."""
        passed = now - self._seen_at
        if passed >= 1.0:
            recent = (self.done - self._seen_done) / passed
            keep = 0.5 ** (passed / _MEMORY)
            self._rate = recent if self._rate is None else keep * self._rate + (1.0 - keep) * recent
            self._seen_at, self._seen_done = now, self.done
        if self._rate is not None:
            return self._rate
        return self.done / passed if passed > 0.0 else 0.0

    def eta(self, now: float) -> float | None:
        """Seconds left at the present rate; None while nothing has finished."""
        left = self.total - self.done
        if left <= 0:
            return 0.0
        rate = self.rate(now)
        return left / rate if rate > 0.0 else None
