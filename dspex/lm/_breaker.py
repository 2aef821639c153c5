"""A circuit breaker per endpoint: a pure value with time as an argument.

Closed: requests go, their outcomes are counted per failure class. When one class makes up most of the recent
outcomes, it opens: nothing is sent, calls fail at once and know when the next trial is. Half-open: one request at a
time is the trial. If it gets any answer from the endpoint the breaker closes; if it fails, the breaker opens again
for twice as long.

Only outages count: no connection, no answer in time, 5xx. A 400, 401 or 429 or a body that cannot be read is an
answer of a living endpoint.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from dspex._errors import BreakerOpenError, LMServerError, LMTimeoutError, LMTransportError

Failure = Literal["connect", "server", "timeout"]
_NOT_OUTAGES = ("malformed", "too_large", "closed", "empty_choices", "protocol", "files")
_CONNECT = ("refused", "dns", "tls", "connect", "proxy")


def failure_of(error: BaseException) -> Failure | None:
    """The failure class of an error, None when the endpoint was alive (or nothing was sent)."""
    if isinstance(error, BreakerOpenError):
        return None
    if isinstance(error, LMTransportError):
        if error.code in _NOT_OUTAGES:
            return None
        return "connect" if error.code in _CONNECT else "server"
    if isinstance(error, LMTimeoutError):
        return "timeout"
    if isinstance(error, LMServerError):
        return "server"
    return None


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """It opens when at least `failures` of the last `window` outcomes, and `share` of them, are failures of one class.

    `connect_failures` is the same number for failures to connect, which leave less doubt. It stays open for
    `open_for` seconds, twice as long after each failed trial, at most `longest`.
    """

    failures: int = 10
    connect_failures: int = 5
    window: int = 40
    share: float = 0.7
    open_for: float = 1.0
    longest: float = 30.0


class Breaker:
    """Call `allow` before each request, and after each allowed one exactly one of `record` and `forget`."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self.policy = policy or BreakerPolicy()
        self.opened_by: Failure | None = None
        self.open_until = 0.0
        self.trips = 0
        self.down_since = 0.0
        """When it opened first, if it is open."""
        self.answered = False
        """Whether any request was ever answered."""
        self._in_row = 0
        self._trial = False
        self._outcomes: deque[Failure | None] = deque(maxlen=self.policy.window)
        self._counts: dict[str, int] = {"connect": 0, "server": 0, "timeout": 0}

    def state(self, now: float) -> Literal["closed", "open", "half_open"]:
        if self.opened_by is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def retry_after(self, now: float) -> float:
        """Seconds until a request may be tried. Half-open with a trial under way: a moment."""
        if self.opened_by is None:
            return 0.0
        return max(self.open_until - now, 0.1 if self._trial else 0.0)

    def allow(self, now: float) -> bool:
        """Whether a request may be sent now. In half-open state a True makes it the trial."""
        if self.opened_by is None:
            return True
        if now < self.open_until or self._trial:
            return False
        self._trial = True
        return True

    def record(self, now: float, failure: Failure | None) -> None:
        """The outcome of an allowed request: a failure class, or None for any answer of the endpoint."""
        if failure is None:
            self.answered = True
        if self.opened_by is not None:
            if not self._trial:
                return  # sent before it opened: old news
            self._trial = False
            if failure is None:
                self._close()
            else:
                self._open(now, failure)
            return
        outcomes, counts = self._outcomes, self._counts
        if failure is None and not (counts["connect"] or counts["server"] or counts["timeout"]):
            if len(outcomes) < self.policy.window:
                outcomes.append(None)
            return
        if len(outcomes) == self.policy.window:
            oldest = outcomes[0]
            if oldest is not None:
                counts[oldest] -= 1
        outcomes.append(failure)
        if failure is None:
            return
        counts[failure] += 1
        needed = self.policy.connect_failures if failure == "connect" else self.policy.failures
        if counts[failure] >= needed and counts[failure] >= self.policy.share * len(outcomes):
            self._open(now, failure)

    def forget(self) -> None:
        """An allowed request was cancelled: it says nothing. If it was the trial, another may be."""
        self._trial = False

    def _open(self, now: float, failure: Failure) -> None:
        self.trips += 1
        self.opened_by = failure
        if not self._in_row:
            self.down_since = now
        self.open_until = now + min(self.policy.longest, self.policy.open_for * 2 ** min(self._in_row, 16))
        self._in_row += 1
        self._clear()

    def _close(self) -> None:
        self.opened_by = None
        self.open_until = 0.0
        self._in_row = 0
        self._clear()

    def _clear(self) -> None:
        self._outcomes.clear()
        for name in self._counts:
            self._counts[name] = 0
