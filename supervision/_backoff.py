"""Delays between restarts: ours on top of OTP, which restarts at once.

Off unless a supervisor's flags hold one.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervision._errors import SpecError

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter.  All durations are seconds.

    The n-th restart of a child in a row waits `initial * multiplier ** (n - 1)`, at most `maximum`; of
    that, the share `jitter` is random (0: none, 1: "full jitter").  A child that has run for `reset_after`
    starts again at n = 1.
    """

    initial: float = 0.1
    maximum: float = 30.0
    multiplier: float = 2.0
    jitter: float = 0.5
    reset_after: float = 60.0

    def __post_init__(self) -> None:
        if not self.initial > 0:
            raise SpecError("backoff.initial", self.initial, "a number of seconds above 0")
        if not self.maximum >= self.initial:
            raise SpecError("backoff.maximum", self.maximum, f"at least backoff.initial, {self.initial}")
        if not self.multiplier >= 1:
            raise SpecError("backoff.multiplier", self.multiplier, "a number from 1 up")
        if not 0 <= self.jitter <= 1:
            raise SpecError("backoff.jitter", self.jitter, "a share from 0 to 1")
        if not self.reset_after > 0:
            raise SpecError("backoff.reset_after", self.reset_after, "a number of seconds above 0")

    def delay(self, attempt: int, random: float) -> float:
        """Seconds to wait before the `attempt`-th restart in a row (from 1); `random` lies in [0, 1)."""
        try:
            full = min(self.maximum, self.initial * self.multiplier ** (attempt - 1))
        except OverflowError:
            full = self.maximum
        return full * (1 - self.jitter * random)
