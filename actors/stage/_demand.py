"""How much a consumer asks for, and in which portions it is handed what comes (GenStage's max and min demand)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.stage._dispatcher import SubscriptionError

__all__ = ["Batch", "Demand"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to be handled together; afterwards `ask` more are to be asked for."""

    events: Sequence[Any]
    ask: int


class Demand:
    """The account of one subscription: never more than `maximum` events are on their way or waiting.

    It asks for `maximum` at first.  What comes is cut into batches of at most `maximum - minimum`; when after a
    batch no more than `minimum` are still to come, it asks up to `maximum` again.
    """

    def __init__(self, maximum: int = 1000, minimum: int | None = None) -> None:
        if maximum < 1:
            raise SubscriptionError(f"max_demand must be at least 1, not {maximum}")
        if minimum is None:
            minimum = maximum // 2
        if minimum < 0:
            raise SubscriptionError(f"min_demand must be at least 0, not {minimum}")
        if minimum >= maximum:
            raise SubscriptionError(f"min_demand must be at most {maximum - 1}, below max_demand, not {minimum}")
        self.maximum = maximum
        self.minimum = minimum
        self.pending = maximum
        """Asked for and not come yet."""
        self.excess = 0
        """How many came that were not asked for."""

    def cut(self, events: Sequence[Any]) -> list[Batch]:
        """The batches that `events` make."""
        width = self.maximum - self.minimum
        batches = []
        for begin in range(0, len(events), width):
            batch = events[begin : begin + width]
            self.excess += max(0, len(batch) - self.pending)
            self.pending = max(0, self.pending - len(batch))
            ask = 0
            if self.pending <= self.minimum:
                ask = self.maximum - self.pending
                self.pending = self.maximum
            batches.append(Batch(batch, ask))
        return batches
