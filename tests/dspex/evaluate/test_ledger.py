"""The laws of the ledger."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dspex.evaluate._failures import FailureKind
from dspex.evaluate._ledger import GiveUp, Lease, Ledger, Retry, RetryPolicy

KINDS = st.sampled_from(list(FailureKind))


class LedgerMachine(RuleBasedStateMachine):
    """A model that follows every example by hand: no example is lost, none counted twice, attempts are bounded."""

    def __init__(self):
        super().__init__()
        self.policy = RetryPolicy(max_retries=2, quarantine_after=2, backoff=1.0)
        self.ledger = Ledger(5, self.policy, max_errors=4)
        self.now = 0.0
        self.place = dict.fromkeys(range(5), "fresh")
        self.leases = {}
        self.stale = []
        self.tried = dict.fromkeys(range(5), 0)
        self.closed = False

    @rule(count=st.integers(0, 3))
    def extend(self, count):
        if self.closed:
            return
        for index in self.ledger.extend(count):
            self.place[index] = "fresh"
            self.tried[index] = 0

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def hand_out(self):
        lease = self.ledger.next(self.now)
        if lease is None:
            assert self.closed or (
                "fresh" not in self.place.values() and (self.ledger.due is None or self.ledger.due > self.now)
            )
            return
        assert not self.closed
        assert self.place[lease.index] in ("fresh", "waiting")
        assert lease.attempt == self.tried[lease.index] + 1
        self.tried[lease.index] += 1
        assert self.tried[lease.index] <= self.policy.max_retries + 1
        self.place[lease.index] = "leased"
        self.leases[lease.index] = lease

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def score(self, data):
        lease = self.leases.pop(data.draw(st.sampled_from(sorted(self.leases))))
        assert self.ledger.scored(lease)
        self.place[lease.index] = "scored"
        self.stale.append(lease)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), kind=KINDS, retryable=st.booleans(), aside=st.booleans())
    def fail(self, data, kind, retryable, aside):
        lease = self.leases.pop(data.draw(st.sampled_from(sorted(self.leases))))
        verdict = self.ledger.failed_with(
            lease, kind, self.now, retryable=retryable, aside_until=self.now + 3.0 if aside else None
        )
        self.stale.append(lease)
        if isinstance(verdict, Retry):
            assert kind.is_retryable
            assert retryable
            assert not self.closed
            assert verdict.at > self.now
            self.place[lease.index] = "aside" if aside else "waiting"
        else:
            assert isinstance(verdict, GiveUp)
            assert verdict.attempts == lease.attempt
            self.place[lease.index] = "failed"

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def refuse(self, data):
        lease = self.leases[data.draw(st.sampled_from(sorted(self.leases)))]
        assert self.ledger.refused(lease) == (not self.closed)
        if not self.closed:
            del self.leases[lease.index]
            self.stale.append(lease)
            self.place[lease.index] = "aside"
            self.tried[lease.index] -= 1  # it was no attempt

    @rule(index=st.integers(0, 8))
    def wake(self, index):
        self.ledger.wake(index, self.now)
        if self.place.get(index) == "aside":
            self.place[index] = "waiting"

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), kind=KINDS)
    def report_late(self, data, kind):
        lease = data.draw(st.sampled_from(self.stale))
        done = self.ledger.done
        assert not self.ledger.scored(lease)
        assert self.ledger.failed_with(lease, kind, self.now) is None
        assert not self.ledger.refused(lease)
        assert self.ledger.done == done

    @rule()
    def close(self):
        expected = sorted(i for i, place in self.place.items() if place in ("fresh", "waiting", "aside"))
        assert self.ledger.close() == expected
        for index in expected:
            self.place[index] = "cancelled"
        self.closed = True

    @rule()
    def revoke(self):
        assert self.ledger.revoke() == [self.leases[i] for i in sorted(self.leases)]
        for index, lease in self.leases.items():
            self.place[index] = "cancelled"
            self.stale.append(lease)
        self.leases.clear()

    @invariant()
    def every_example_is_in_one_place(self):
        places = list(self.place.values())
        finished = sum(p in ("scored", "failed", "cancelled") for p in places)
        assert self.ledger.size == len(places)
        assert self.ledger.done == finished
        assert self.ledger.failed == finished - places.count("scored")
        assert self.ledger.counts.total() == self.ledger.failed
        assert self.ledger.in_flight == places.count("leased")
        assert self.ledger.is_done == (finished == len(places))
        assert (self.ledger.due is None) == (self.closed or "waiting" not in places)
        assert self.ledger.too_many_errors == (places.count("failed") >= 4 + self.miscounted)

    @property
    def miscounted(self):
        # An attempt that itself reported "cancelled" is a cancellation, not an error.
        return self.ledger.counts[FailureKind.CANCELLED] - list(self.place.values()).count("cancelled")


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_examples_are_handed_out_in_order_and_due_retries_before_fresh_ones():
    ledger = Ledger(3, RetryPolicy(backoff=1.0))
    first = ledger.next(0.0)
    assert ledger.failed_with(first, FailureKind.TIMEOUT, 0.0) == Retry(1.0)
    assert ledger.next(0.5).index == 1
    assert ledger.next(1.0) == Lease(0, 2)
    assert ledger.next(1.0).index == 2
    assert ledger.next(1.0) is None


def test_backoff_doubles_up_to_its_ceiling():
    policy = RetryPolicy(backoff=0.5, backoff_max=3.0)
    assert [policy.delay(n) for n in (1, 2, 3, 4, 5000)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_an_example_that_kills_its_workers_is_quarantined():
    ledger = Ledger(1, RetryPolicy(max_retries=9, quarantine_after=3, backoff=0.0))
    for _ in range(2):
        assert isinstance(ledger.failed_with(ledger.next(0.0), FailureKind.WORKER_CRASH, 0.0), Retry)
    verdict = ledger.failed_with(ledger.next(0.0), FailureKind.WORKER_CRASH, 0.0)
    assert verdict == GiveUp(FailureKind.QUARANTINED, 3)


def test_with_patience_an_outage_does_not_use_up_attempts():
    ledger = Ledger(1, RetryPolicy(max_retries=0, backoff=1.0, backoff_max=1.0, patience=10.0))
    now = 0.0
    while now < 10.0:
        assert isinstance(ledger.failed_with(ledger.next(now), FailureKind.OUTAGE, now), Retry)
        now += 1.0
    assert ledger.failed_with(ledger.next(now), FailureKind.OUTAGE, now) == GiveUp(FailureKind.OUTAGE, 11)


def test_patience_is_for_outages_only():
    ledger = Ledger(1, RetryPolicy(max_retries=0, patience=10.0))
    assert ledger.failed_with(ledger.next(0.0), FailureKind.MALFORMED_OUTPUT, 0.0) == GiveUp(
        FailureKind.MALFORMED_OUTPUT, 1
    )


def test_cancelled_examples_do_not_count_as_errors():
    ledger = Ledger(4, max_errors=2)
    ledger.failed_with(ledger.next(0.0), FailureKind.PROGRAM_ERROR, 0.0)
    ledger.close()
    assert not ledger.too_many_errors
    assert ledger.counts == {FailureKind.PROGRAM_ERROR: 1, FailureKind.CANCELLED: 3}


@pytest.mark.parametrize("wrong", [{"max_retries": -1}, {"quarantine_after": 0}, {"backoff": -1.0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError):
        RetryPolicy(**wrong)
