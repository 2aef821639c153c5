"""An open breaker: nothing is begun, nothing is charged, for as long as it makes sense to wait."""

from __future__ import annotations

import threading

import dspex
from dspex._errors import BreakerOpenError, LMTransportError
from dspex.evaluate import Evaluate, FailureKind, MetricError
from dspex.evaluate._ledger import GiveUp, Lease, Ledger, RetryPolicy
from dspex.evaluate._outage import Outage
from dspex.testing import FaultServer

REFUSED = BreakerOpenError("open", retry_after=2.0)


def judged() -> MetricError:
    """What a metric raises whose judge was refused."""
    error = MetricError("the judge failed")
    error.__cause__ = REFUSED
    return error


def test_a_refusal_waits_for_the_breakers_next_trial() -> None:
    outage = Outage()
    outage.answered()
    assert outage.refused(REFUSED, 10.0) == outage.over_at == 12.0
    assert outage.refused(judged(), 11.0) == 13.0
    assert outage.refused(LMTransportError("no connection"), 11.0) is None


def test_an_endpoint_that_never_answered_is_not_waited_for() -> None:
    outage = Outage()
    assert outage.refused(REFUSED, 0.0) is None
    assert outage.over_at == 0.0


def test_an_outage_is_waited_out_for_so_long_since_anything_was_answered() -> None:
    outage = Outage(waited_out=60.0)
    outage.answered()
    assert outage.refused(REFUSED, 0.0) is not None
    assert outage.refused(REFUSED, 59.0) is not None
    assert outage.refused(REFUSED, 60.0) is None
    outage.answered()
    assert outage.refused(REFUSED, 100.0) is not None


def test_what_was_refused_goes_again_and_has_all_its_attempts() -> None:
    ledger = Ledger(1, RetryPolicy(max_retries=1, backoff=1.0))
    for now in (0.0, 5.0, 10.0):
        lease = ledger.next(now)
        assert lease is not None
        assert ledger.refused(lease, now + 5.0)
        assert not ledger.refused(lease, now + 5.0)  # it was given back
        assert ledger.next(now + 4.0) is None
        assert (ledger.due, ledger.done) == (now + 5.0, 0)
    lease = ledger.next(15.0)
    assert lease == Lease(0, 1, refusals=3)
    retry = ledger.failed_with(lease, FailureKind.OUTAGE, 15.0)
    assert getattr(retry, "at", None) == 16.0  # the backoff of a first failure
    lease = ledger.next(16.0)
    assert lease is not None
    assert ledger.failed_with(lease, FailureKind.OUTAGE, 16.0) == GiveUp(FailureKind.OUTAGE, 2)


def test_after_the_close_nothing_goes_again() -> None:
    ledger = Ledger(1)
    lease = ledger.next(0.0)
    assert lease is not None
    ledger.close()
    assert not ledger.refused(lease, 1.0)
    assert ledger.failed_with(lease, FailureKind.OUTAGE, 0.0) == GiveUp(FailureKind.OUTAGE, 1)


def test_an_endpoint_that_goes_away_and_comes_back_costs_no_example() -> None:
    devset = [dspex.Example(question=str(n)).with_inputs("question") for n in range(120)]
    with FaultServer(latency=0.01) as server:
        lm = dspex.LM("openai/any", base_url=server.url, api_key="key", cache=False)
        opened = threading.Event()
        with (
            dspex.System("away", lm=lm, store=False, control_socket=False) as system,
            system.scheduler.events.subscribe("lm.breaker.opened", lambda event: opened.set()),
        ):
            predict = dspex.Predict("question -> answer")
            evaluation = Evaluate(devset=devset, metric=lambda e, p: True, num_workers=20).start(predict)
            server.wait_until("completed", 40)
            server.stop()
            assert opened.wait(30)
            server.start()
            result = evaluation.result()
    assert dict(result.counts) == {}
    assert len(result.scored) == 120
