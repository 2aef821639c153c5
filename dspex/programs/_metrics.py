"""What one module of a running program has done: calls, errors, latency, tokens, cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dspex.programs._histogram import Histogram

if TYPE_CHECKING:
    from dspex._usage import UsageTracker
    from dspex.lm._types import Usage

__all__ = ["Meter", "ModuleMetrics", "Tally"]


@dataclass(frozen=True, slots=True)
class ModuleMetrics:
    """A reading.  Latencies are in seconds and None without a call; `cost` is in USD and covers the priced calls:
    `unpriced` of them had no known price.
    """

    calls: int
    errors: int
    in_flight: int
    p50: float | None
    p90: float | None
    p99: float | None
    mean: float | None
    lm_calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float
    unpriced: int

    def to_json(self) -> dict[str, Any]:
        """As the tree shows it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        """In a line: what was called, how long it took, what it used."""
        parts = [f"{self.calls:,} calls, {self.errors:,} failed"]
        if self.in_flight:
            parts.append(f"{self.in_flight:,} in flight")
        if self.p50 is not None and self.p90 is not None and self.p99 is not None:
            parts.append(f"seconds p50 {self.p50:.3g}, p90 {self.p90:.3g}, p99 {self.p99:.3g}")
        if self.lm_calls:
            parts.append(f"{self.lm_calls:,} LM calls, {self.cached:,} from the cache, {self.total_tokens:,} tokens")
            unknown = f", {self.unpriced:,} of unknown price" if self.unpriced else ""
            parts.append(f"${self.cost:,.4f}{unknown}" if self.unpriced < self.lm_calls else "cost unknown")
        return "; ".join(parts)


class Tally:
    """The running counts of one module.  Written on the loop only; it outlives the module's actor."""

    __slots__ = (
        "cached",
        "calls",
        "completion_tokens",
        "cost",
        "errors",
        "in_flight",
        "latency",
        "lm_calls",
        "prompt_tokens",
        "total_tokens",
        "unpriced",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.in_flight = 0
        self.latency = Histogram()
        self.lm_calls = 0
        self.cached = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.total_tokens = 0
        self.cost = 0.0
        self.unpriced = 0

    def read(self) -> ModuleMetrics:
        """The counts as they are now."""
        latency = self.latency
        return ModuleMetrics(
            self.calls,
            self.errors,
            self.in_flight,
            latency.percentile(50),
            latency.percentile(90),
            latency.percentile(99),
            latency.mean,
            self.lm_calls,
            self.cached,
            self.prompt_tokens,
            self.completion_tokens,
            self.total_tokens,
            self.cost,
            self.unpriced,
        )


class Meter:
    """A usage tracker that counts for one module of a running program, and for the caller's own tracker behind it."""

    __slots__ = ("parent", "tally")

    def __init__(self, tally: Tally, parent: UsageTracker | None) -> None:
        self.tally = tally
        self.parent = parent

    def add(self, model: str, usage: Usage, cost: float | None = None, cached: bool = False) -> None:
        """Count one answer of a language model."""
        tally = self.tally
        tally.lm_calls += 1
        if cached:
            tally.cached += 1
        else:
            tally.prompt_tokens += usage.prompt_tokens
            tally.completion_tokens += usage.completion_tokens
            tally.total_tokens += usage.total_tokens
            if cost is None:
                tally.unpriced += 1
            else:
                tally.cost += cost
        if self.parent is not None:
            self.parent.add(model, usage, cost, cached)
