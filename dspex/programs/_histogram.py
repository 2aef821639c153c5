"""A small histogram of durations: what latency percentiles are read from."""

from __future__ import annotations

from math import frexp

__all__ = ["Histogram"]

_SHARES = 8  # buckets for each doubling: a percentile is right to within 1/16
_LEAST = 1e-6
_BUCKETS = 40 * _SHARES  # a microsecond to twelve days


class Histogram:
    """Counts durations in seconds by size.  `add` takes well below a microsecond; nothing is ever forgotten.

    A percentile is the middle of the bucket that holds it, so it is off by some 6 percent at most.
    """

    __slots__ = ("_counts", "count", "greatest", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.greatest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.total += seconds
        if seconds > self.greatest:
            self.greatest = seconds
        bucket = _bucket(seconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def percentile(self, percent: float) -> float | None:
        """The duration that `percent` of them did not exceed; None when there are none."""
        if not self.count:
            return None
        wanted = max(1.0, self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(_middle(bucket), self.greatest)
        return self.greatest

    @property
    def mean(self) -> float | None:
        """The mean duration; None when there are none."""
        return self.total / self.count if self.count else None


def _bucket(seconds: float) -> int:
    if seconds <= _LEAST:
        return 0
    mantissa, exponent = frexp(seconds / _LEAST)
    bucket = (exponent - 1) * _SHARES + int((mantissa - 0.5) * 2 * _SHARES)
    return bucket if bucket < _BUCKETS else _BUCKETS


def _middle(bucket: int) -> float:
    doubling, share = divmod(bucket, _SHARES)
    return float(_LEAST * 2**doubling * (1 + (share + 0.5) / _SHARES))
