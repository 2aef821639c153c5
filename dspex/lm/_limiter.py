"""How many requests and tokens a minute an endpoint takes: a pure value with time as an argument.

What is known comes from three sources: the caller's own limits (`rpm`, `tpm`), the x-ratelimit headers of replies,
and 429s. A 429 concerns the request that got it; it pauses *everybody* only when it says so (nothing remains, until
a given moment) or when most recent replies were 429s. A server that rejects one request in ten at random is not told
to rest for a second each time. After such a pause the rate starts at what the endpoint was seen to take and grows by
half every second without a 429.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SMOOTHING = 0.1  # weight of the latest reply in the share of 429s
UNKNOWN_SHARE = 0.3  # before the first reply: a single early 429 pauses nobody, four in a row do
PAUSE_ABOVE = 0.5  # share of 429s among recent replies above which everybody waits
FIRST_PAUSE = 1.0  # seconds, when a 429 does not say how long; doubled each time in a row, up to:
LONGEST_PAUSE = 60.0
GROWTH = 1.5  # per second
SLOWEST = 2.0  # requests a second: what one resumes with when nothing was accepted
ENOUGH = 20  # replies that show a rate
BURST_SECONDS = 1.0  # a limit per minute may be used this many seconds ahead

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float | None:
    """Seconds in OpenAI's durations ("6m0s", "20ms") or in a plain number."""
    try:
        return float(text)
    except ValueError:
        pass
    found = _DURATION.findall(text)
    return sum(float(n) * _UNITS[unit] for n, unit in found) if found else None


class Bucket:
    """A token bucket: `rate` units a second, at most `burst` at once; it may be overdrawn by one large take."""

    __slots__ = ("burst", "level", "rate", "updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.level = burst
        self.updated = now

    def _refill(self, now: float) -> None:
        if now > self.updated:
            self.level = min(self.burst, self.level + (now - self.updated) * self.rate)
            self.updated = now

    def wait(self, now: float, amount: float) -> float:
        """Seconds until `amount` may be taken. More than a full bucket needs a full bucket."""
        self._refill(now)
        missing = min(amount, self.burst) - self.level
        return missing / self.rate if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        self.level -= amount


class Limiter:
    """Ask `acquire` before each request; tell it of each reply with `observe`. Not thread-safe: it has one owner.

    `rpm` and `tpm` are the caller's limits; None means "as the endpoint says, or none".
    """

    def __init__(self, rpm: float | None = None, tpm: float | None = None, *, now: float = 0.0) -> None:
        self._requests = _per_minute(rpm, now) if rpm else None
        self._tokens = _per_minute(tpm, now) if tpm else None
        self._fixed = (rpm is not None, tpm is not None)
        self._learned: Bucket | None = None
        self._grown = now
        self._share = UNKNOWN_SHARE
        self._in_row = 0
        self.paused_until = 0.0
        self._pause_began = 0.0
        self._window = now  # since when `_taken` counts
        self._taken = 0
        self.throttled = 0

    @property
    def rate(self) -> float | None:
        """Requests a second in force: the caller's, the endpoint's or the learned limit, whichever is lowest."""
        rates = [bucket.rate for bucket in (self._requests, self._learned) if bucket is not None]
        return min(rates) if rates else None

    @property
    def unlimited(self) -> bool:
        """True while there is nothing to wait for: the owner may skip `acquire` and `settle`."""
        return self._requests is None and self._tokens is None and self._learned is None and self.paused_until == 0.0

    def acquire(self, now: float, tokens: float = 0) -> float:
        """0.0: go, it is charged. Otherwise nothing is charged; ask again in so many seconds."""
        if self.unlimited:
            return 0.0
        if self.paused_until:
            if now < self.paused_until:
                return self.paused_until - now
            self._resume(now)
        self._grow(now)
        wait = 0.0
        for bucket, amount in ((self._requests, 1.0), (self._learned, 1.0), (self._tokens, tokens)):
            if bucket is not None:
                wait = max(wait, bucket.wait(now, amount))
        if wait > 0.0:
            return wait
        for bucket, amount in ((self._requests, 1.0), (self._learned, 1.0), (self._tokens, tokens)):
            if bucket is not None:
                bucket.take(amount)
        return 0.0

    def settle(self, reserved: float, actual: float) -> None:
        """A request took `actual` tokens where `reserved` were charged."""
        if self._tokens is not None:
            self._tokens.level = min(self._tokens.burst, self._tokens.level + reserved - actual)

    def accepted(self, now: float, headers: Mapping[str, str]) -> None:
        """A reply that is not a 429. Its headers may tell the limits."""
        self._share -= SMOOTHING * self._share
        self._in_row = 0
        self._taken += 1
        if "x-ratelimit-limit-requests" in headers or "x-ratelimit-limit-tokens" in headers:
            self._learn(now, headers)

    def rejected(self, now: float, retry_after: float | None, headers: Mapping[str, str]) -> None:
        """A 429."""
        self.throttled += 1
        self._share += SMOOTHING * (1.0 - self._share)
        self._learn(now, headers)
        exhausted = _number(headers, "x-ratelimit-remaining-requests") == 0
        if self._share <= PAUSE_ABOVE and not exhausted:
            return
        if now < self.paused_until:  # one of those that were on their way when the pause began
            if retry_after is not None:
                self.paused_until = max(self.paused_until, now + retry_after)
            return
        pause = retry_after
        if pause is None and exhausted:
            pause = seconds_of(headers.get("x-ratelimit-reset-requests", ""))
        if pause is None:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._in_row)
        self._in_row = min(self._in_row + 1, 16)
        self._pause_began = now
        self.paused_until = max(self.paused_until, now + pause)

    def _resume(self, now: float) -> None:
        """The pause is over: go on at the rate that the endpoint was seen to take, pause included.

        Too few replies show no rate: then, unless pauses follow each other, there is no limit but the next 429.
        """
        if self._taken < ENOUGH and self._in_row < 2:
            self._learned = None
        else:
            elapsed = max(now - self._window, 0.1)
            rate = max(self._taken / elapsed, SLOWEST)
            self._learned = Bucket(rate, max(1.0, rate * BURST_SECONDS), now)
        self._grown = self._window = now
        self._taken = 0
        self._share = PAUSE_ABOVE
        self.paused_until = 0.0

    def _grow(self, now: float) -> None:
        learned = self._learned
        if learned is None or now - self._grown < 1.0:
            return
        factor = GROWTH ** min(now - self._grown, 60.0)
        self._grown = now
        if self._share < PAUSE_ABOVE:
            learned.rate *= factor
            learned.burst = max(1.0, learned.rate * BURST_SECONDS)
            if learned.rate > 1000.0:
                self._learned = None  # more than anybody asks for: no limit

    def _learn(self, now: float, headers: Mapping[str, str]) -> None:
        requests = _number(headers, "x-ratelimit-limit-requests")
        if requests and not self._fixed[0]:
            self._requests = _adjusted(self._requests, requests, now)
        tokens = _number(headers, "x-ratelimit-limit-tokens")
        if tokens and not self._fixed[1]:
            self._tokens = _adjusted(self._tokens, tokens, now)


def _per_minute(limit: float, now: float) -> Bucket:
    return Bucket(limit / 60.0, max(1.0, limit / 60.0 * BURST_SECONDS), now)


def _adjusted(bucket: Bucket | None, limit: float, now: float) -> Bucket:
    if bucket is not None and bucket.rate == limit / 60.0:
        return bucket
    fresh = _per_minute(limit, now)
    if bucket is not None:
        fresh.level = min(fresh.burst, bucket.level)
    return fresh


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        return float(headers[name])
    except (KeyError, ValueError):
        return None
