"""Which example is handed out next, and what its failure leads to: the book of an evaluation.

Pure: no clock, no actors; the evaluator calls it and does as it says. The laws (a Hypothesis machine proves them):
an example is always in exactly one place (fresh, leased, waiting for a retry, aside, done); a lease that was given up
counts for nothing when it reports late; attempts are bounded; nothing is handed out after `close`.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass

from ._failures import FailureKind


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When an example gets another attempt, and how long it waits for it.

    ``max_retries``: further attempts after a retryable failure. ``quarantine_after``: as many workers may die under
    one example. ``backoff`` doubles with every retry up to ``backoff_max`` (seconds). ``patience``: for as many
    seconds since its first failure, an outage or a rate limit is retried without counting as an attempt.
    """

    max_retries: int = 2
    quarantine_after: int = 2
    backoff: float = 0.1
    backoff_max: float = 30.0
    patience: float = 0.0

    def __post_init__(self) -> None:
        if self.max_retries < 0 or self.quarantine_after < 1:
            raise ValueError("max_retries must be 0 or more, quarantine_after 1 or more")
        if self.backoff < 0 or self.backoff_max < 0 or self.patience < 0:
            raise ValueError("backoff, backoff_max and patience are seconds: 0 or more")

    def delay(self, retry: int) -> float:
        """Seconds before the retry with this number (from 1)."""
        return min(self.backoff_max, self.backoff * 2.0 ** min(retry - 1, 60))


@dataclass(frozen=True, slots=True)
class Lease:
    """Permission to work on one example. ``attempt`` counts from 1, ``refusals`` those that were none; only the newest
    lease of an example counts.
    """

    index: int
    attempt: int
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """The example goes again, ``at`` the earliest."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The example is done, without a score. ``kind`` may differ from the last failure's: quarantined."""

    kind: FailureKind
    attempts: int


@dataclass(slots=True)
class _Trouble:
    """What is remembered of an example that failed at least once; the others cost nothing."""

    attempts: int = 0
    refusals: int = 0
    charged: int = 0
    kills: int = 0
    first_failure: float = 0.0


ASIDE = math.inf
"""When an example is retried that was set aside."""

_REFUSALS = 10  # for credentials or for what is not configured, without a single score
_WAITED_OUT = frozenset({FailureKind.OUTAGE, FailureKind.RATE_LIMIT})


class Ledger:
    """The book of ``size`` examples, numbered from 0. More may be added while it is open."""

    __slots__ = ("_closed", "_counts", "_fresh", "_leased", "_max_errors", "_policy", "_retries", "_trouble",
                 "_waiting", "done", "failed", "size")  # fmt: skip

    def __init__(self, size: int = 0, policy: RetryPolicy | None = None, *, max_errors: int | None = None) -> None:
        if max_errors is not None and max_errors < 0:
            raise ValueError("max_errors must be 0 or more, or None for no limit")
        self._policy = policy or RetryPolicy()
        self._max_errors = max_errors
        self._fresh = 0
        self._leased: dict[int, Lease] = {}
        self._waiting: list[tuple[float, int]] = []
        self._retries: dict[int, float] = {}
        self._trouble: dict[int, _Trouble] = {}
        self._counts: Counter[FailureKind] = Counter()
        self._closed = False
        self.size = size
        self.done = 0
        self.failed = 0

    def extend(self, count: int) -> range:
        """Add examples; their numbers."""
        first, self.size = self.size, self.size + count
        return range(first, self.size)

    # what can be handed out

    def next(self, now: float, *, fresh: bool = True) -> Lease | None:
        """The next example to work on: a retry that is due, else, if wanted, a fresh one. None if there is none now."""
        if self._closed:
            return None
        if self._waiting and self._waiting[0][0] <= now:
            index = heapq.heappop(self._waiting)[1]
            del self._retries[index]
        elif fresh and self._fresh < self.size:
            index = self._fresh
            self._fresh += 1
        else:
            return None
        trouble = self._trouble.get(index)
        lease = Lease(index, 1) if trouble is None else Lease(index, trouble.attempts + 1, trouble.refusals)
        self._leased[index] = lease
        return lease

    @property
    def due(self) -> float | None:
        """When the earliest retry may start; None if no example waits for one, or all that do are aside."""
        return self._waiting[0][0] if self._waiting and not self._closed else None

    @property
    def patience(self) -> float:
        """Of its policy."""
        return self._policy.patience

    @property
    def fresh(self) -> int:
        """How many examples were never handed out."""
        return self.size - self._fresh

    @property
    def in_flight(self) -> int:
        return len(self._leased)

    @property
    def is_done(self) -> bool:
        """Nothing is leased and nothing will be handed out again."""
        return not self._leased and (self._closed or (self._fresh == self.size and not self._retries))

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def counts(self) -> Counter[FailureKind]:
        """Final failures by kind."""
        return self._counts

    # what is reported

    def refused(self, lease: Lease) -> bool:
        """The attempt was none: nothing was sent. The example is set aside until `wake`. False if nothing is handed out
        any more, or the lease no longer counts: then nothing has changed.
        """
        if self._closed or not self._settle(lease):
            return False
        self._trouble.setdefault(lease.index, _Trouble()).refusals += 1
        self._retries[lease.index] = ASIDE
        return True

    def wake(self, index: int, now: float) -> None:
        """An example that was set aside goes again. Nothing happens if it is not aside."""
        if self._retries.get(index) == ASIDE:
            self._retries[index] = now
            heapq.heappush(self._waiting, (now, index))

    def scored(self, lease: Lease) -> bool:
        """The example has its score. False if the lease no longer counts: the report came too late."""
        if not self._settle(lease):
            return False
        self._trouble.pop(lease.index, None)
        self.done += 1
        return True

    def failed_with(
        self, lease: Lease, kind: FailureKind, now: float, *, retryable: bool = True, aside_until: float | None = None
    ) -> Retry | GiveUp | None:
        """An attempt failed. What to do with the example; None if the lease no longer counts.

        ``retryable=False`` forbids a retry of a kind that would get one. With ``aside_until``, a guess, an example that
        is to be retried is set aside until `wake`.
        """
        if not self._settle(lease):
            return None
        trouble = self._trouble.setdefault(lease.index, _Trouble())
        if not trouble.attempts:
            trouble.first_failure = now
        trouble.attempts = lease.attempt
        if kind is FailureKind.WORKER_CRASH:
            trouble.kills += 1
            if trouble.kills >= self._policy.quarantine_after:
                return self._give_up(lease, FailureKind.QUARANTINED)
        patient = kind in _WAITED_OUT and now - trouble.first_failure < self._policy.patience
        if not patient:
            trouble.charged += 1
        if self._closed or not retryable or not kind.is_retryable or trouble.charged > self._policy.max_retries:
            return self._give_up(lease, kind)
        if aside_until is not None:
            self._retries[lease.index] = ASIDE
            return Retry(aside_until)
        at = now + self._policy.delay(lease.attempt)
        heapq.heappush(self._waiting, (at, lease.index))
        self._retries[lease.index] = at
        return Retry(at)

    def close(self) -> list[int]:
        """Hand out nothing more. The examples that never will be: fresh ones and those that waited for a retry.

        Leases stay valid: their reports still count. Closing twice gives an empty list.
        """
        if self._closed:
            return []
        self._closed = True
        left = sorted([*self._retries, *range(self._fresh, self.size)])
        self._fresh = self.size
        self._waiting.clear()
        self._retries.clear()
        for _ in left:
            self._count(FailureKind.CANCELLED)
        return left

    def revoke(self) -> list[Lease]:
        """Give up every lease; what they report later does not count. The leases, in order of their numbers."""
        leases = [lease for _, lease in sorted(self._leased.items())]
        self._leased.clear()
        for _ in leases:
            self._count(FailureKind.CANCELLED)
        return leases

    def attempts(self, index: int) -> int:
        """How many attempts of an example have failed."""
        trouble = self._trouble.get(index)
        return 0 if trouble is None else trouble.attempts

    @property
    def too_many_errors(self) -> bool:
        """``max_errors`` final failures or more: time to `close`. Cancelled examples are no errors."""
        errors = self.failed - self._counts[FailureKind.CANCELLED]
        return self._max_errors is not None and errors >= max(1, self._max_errors)

    @property
    def is_refused(self) -> bool:
        """Nothing was scored, and so many were refused that the others will be: time to `close`."""
        return self.done == self.failed and self._counts[FailureKind.REFUSED] >= _REFUSALS

    def _settle(self, lease: Lease) -> bool:
        if self._leased.get(lease.index) != lease:
            return False
        del self._leased[lease.index]
        return True

    def _give_up(self, lease: Lease, kind: FailureKind) -> GiveUp:
        self._count(kind)
        return GiveUp(kind, lease.attempt)

    def _count(self, kind: FailureKind) -> None:
        self.done += 1
        self.failed += 1
        self._counts[kind] += 1
