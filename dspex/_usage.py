"""`track_usage()`: what the calls under it cost, wherever they run.

The tracker lies in the settings' context, which follows the call through threads of ours, tasks, fibers
and actors. Trackers nest: what is counted in an inner one counts in all the outer ones.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dspex._settings import context, settings
from dspex.lm._types import Usage


class UsageTracker:
    """Tokens per model. `add` may be called from any thread.

    `cost` is in USD; `unpriced` counts the calls whose price is not known and which it therefore leaves out.
    """

    __slots__ = ("__weakref__", "_lock", "_parent", "_usage", "cached", "calls", "cost", "unpriced")

    def __init__(self, parent: UsageTracker | None = None) -> None:
        self._lock = threading.Lock()
        self._usage: dict[str, Usage] = {}
        self._parent = parent
        self.calls = 0
        self.cached = 0
        self.unpriced = 0
        self.cost = 0.0

    def add(self, model: str, usage: Usage, cost: float | None = None, cached: bool = False) -> None:
        """Count one answer. One from the cache counts as a call, but took no tokens and no money."""
        with self._lock:
            self.calls += 1
            if cached:
                self.cached += 1
            else:
                before = self._usage.get(model)
                self._usage[model] = usage if before is None else before + usage
                if cost is None:
                    self.unpriced += 1
                else:
                    self.cost += cost
        if self._parent is not None:
            self._parent.add(model, usage, cost, cached)

    def by_model(self) -> dict[str, Usage]:
        with self._lock:
            return dict(self._usage)

    @property
    def total(self) -> Usage:
        return sum(self.by_model().values(), Usage())

    @property
    def total_tokens(self) -> int:
        with self._lock:
            return sum(usage.total_tokens for usage in self._usage.values())

    def get_total_tokens(self) -> dict[str, dict[str, Any]]:
        """{model: {"prompt_tokens": ..., "completion_tokens": ..., "total_tokens": ..., ...}}"""
        return {model: usage.to_json() for model, usage in self.by_model().items()}

    def __repr__(self) -> str:
        return f"UsageTracker(calls={self.calls}, cached={self.cached}, total={self.total!r})"


@contextmanager
def track_usage() -> Iterator[UsageTracker]:
    """Count everything that the block calls, in whatever thread, task, fiber or actor it runs."""
    tracker = UsageTracker(parent=settings.usage_tracker)
    with context(usage_tracker=tracker, track_usage=True):
        yield tracker
