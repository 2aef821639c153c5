"""How many restarts a supervisor allows within a period (OTP's maximum restart intensity)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = ["RestartHistory"]


class RestartHistory:
    """The restarts within a sliding window of `period` seconds.  `intensity` of them are allowed, one more
    is not.

    Amortised O(1) for each restart, and never more than `intensity + 1` entries: OTP keeps a list and
    counts it. OTP stamps whole seconds, so that its window spans `period` to `period + 1` seconds; here it
    is exact.
    """

    __slots__ = ("_times", "intensity", "period")

    def __init__(self, intensity: int, period: float, times: Iterable[float] = ()) -> None:
        self.intensity = intensity
        self.period = period
        self._times = deque(times)

    def add(self, now: float) -> bool:
        """Count a restart at `now`; False if that is one too many and the supervisor must give up."""
        self._times.append(now)
        self._forget(now)
        return len(self._times) <= self.intensity

    def count(self, now: float) -> int:
        """The restarts in the window that ends at `now`.  Reads only: any thread may ask."""
        bound = now - self.period
        return sum(1 for time in tuple(self._times) if time >= bound)

    def change(self, intensity: int, period: float) -> None:
        """New limits; the history is kept, as OTP's code change keeps it, and nothing happens at once."""
        self.intensity = intensity
        self.period = period

    def _forget(self, now: float) -> None:
        times = self._times
        bound = now - self.period
        while times and times[0] < bound:
            times.popleft()
