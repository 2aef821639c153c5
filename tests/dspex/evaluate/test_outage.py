"""Open breakers: who waits, who is charged, and who is begun meanwhile."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import dspex
from dspex._errors import BreakerOpenError, LMTransportError
from dspex.evaluate import Evaluate, FailureKind, MetricError
from dspex.evaluate._ledger import GiveUp, Lease, Ledger, Retry, RetryPolicy
from dspex.evaluate._outage import GIVEN_UP, Outages
from dspex.testing import FaultServer


def refusal(
    after: float = 2.0, pool: str = "a", answered: bool = True, down_for: float = 100.0, failure: str = "connect"
) -> BreakerOpenError:
    return BreakerOpenError("open", retry_after=after, pool=pool, answered=answered, down_for=down_for, failure=failure)


def judged() -> MetricError:
    """What a metric raises whose judge was refused."""
    error = MetricError("the judge failed")
    error.__cause__ = refusal()
    return error


def test_a_refusal_waits_for_the_breakers_next_trial() -> None:
    outages = Outages(4)
    assert outages.refused(7, refusal(), 10.0) == outages.due_at == 12.0
    assert outages.refused(8, judged(), 11.0) == outages.due_at == 13.0
    assert outages.refused(9, LMTransportError("no connection"), 11.0) is None
    assert outages.due(12.9) == []


def test_one_scout_goes_at_a_time_and_all_go_when_it_has_an_answer() -> None:
    outages = Outages(4)
    for index in range(3):
        outages.refused(index, refusal(), 0.0)
    assert outages.due(2.0) == [0]
    assert outages.due(3.0) == []
    outages.refused(0, refusal(4.0), 3.0)
    assert outages.due_at == 7.0
    assert outages.due(7.0) == [1]
    outages.passed(9)  # somebody else
    assert outages.due(8.0) == []
    outages.passed(1)
    assert outages.due_at == 0.0
    assert outages.due(8.0) == [2, 0]
    assert outages.due_at is None


def test_a_scout_that_gets_lost_is_followed_by_another() -> None:
    outages = Outages(4)
    for index in range(3):
        outages.refused(index, refusal(), 0.0)
    assert outages.due(2.0) == [0]
    outages.forget(0)
    assert outages.due(11.9) == []
    assert outages.due(12.0) == [1]
    outages.passed(0)
    assert outages.due(12.0) == []


def test_a_trial_that_fails_is_as_good_as_a_refusal() -> None:
    outages = Outages(4)
    outages.refused(0, refusal(), 0.0)
    outages.due(2.0)
    assert outages.refused(0, LMTransportError("no connection"), 2.5) == outages.due_at
    assert outages.due(2.6) == [0]


def test_only_the_scouts_own_refusal_says_when_the_next_trial_is() -> None:
    outages = Outages(4)
    outages.refused(0, refusal(), 0.0)
    outages.due(2.0)
    outages.refused(1, refusal(0.1), 2.0)  # a trial is under way
    assert outages.due(3.0) == []


def test_nothing_is_begun_after_so_many_refusals_in_a_row_as_there_are_places() -> None:
    outages = Outages(6)
    for index in range(5):
        outages.refused(index, refusal(), 0.0)
    assert not outages.holds
    outages.passed(50)
    for index in range(6):
        assert not outages.holds
        outages.refused(index, refusal(), 1.0)
    assert outages.holds
    outages.passed(51)
    assert not outages.holds


def test_when_nobody_waits_any_more_others_are_begun() -> None:
    outages = Outages(4)
    for index in range(4):
        outages.refused(index, refusal(), 0.0)
    for index, now in enumerate((2.0, 12.0, 22.0, 32.0)):
        assert outages.holds
        assert outages.due(now) == [index]
        assert outages.holds
        outages.forget(index)  # it hangs, and its time is up
    assert outages.due_at is None
    assert not outages.holds


def test_another_endpoint_is_waited_for_by_itself() -> None:
    outages = Outages(4)
    outages.refused(0, refusal(2.0, "a"), 0.0)
    outages.refused(1, refusal(5.0, "b"), 0.0)
    assert outages.due(2.0) == [0]
    outages.passed(0)
    assert outages.due(4.0) == []
    assert outages.due(5.0) == [1]


@pytest.mark.parametrize(
    ("answered", "failure", "patience", "waited"),
    [
        (True, "connect", 0.0, 60.0),
        (False, "connect", 0.0, 5.0),
        (False, "server", 0.0, 60.0),
        (True, "connect", 90.0, 90.0),
        (False, "connect", 7.0, 7.0),
    ],
)
def test_an_endpoint_is_waited_for_so_long(answered: bool, failure: str, patience: float, waited: float) -> None:
    outages = Outages(1, patience)
    error = refusal(answered=answered, failure=failure)
    for index in range(5):
        assert outages.refused(index, error, 100.0) == 102.0
    assert outages.holds
    assert outages.refused(5, error, 100.0 + waited - 0.1) == 100.0 + waited + 1.9
    assert outages.refused(6, error, 100.0 + waited) == GIVEN_UP
    assert not outages.holds
    assert outages.due(100.0 + waited) == [0, 1, 2, 3, 4, 5]  # they find that out for themselves
    assert outages.refused(2, error, 101.0 + waited) == GIVEN_UP
    outages.passed(1)  # it is back
    assert outages.refused(7, error, 102.0 + waited) == 104.0 + waited


def test_an_endpoint_that_was_back_unseen_is_waited_for_anew() -> None:
    outages = Outages(1)
    outages.refused(0, refusal(), 0.0)
    assert outages.refused(0, refusal(), 60.0) == GIVEN_UP
    outages.forget(0)
    assert outages.refused(1, refusal(down_for=200.0), 200.0) == GIVEN_UP
    assert outages.refused(2, refusal(down_for=1.0), 201.0) == 203.0


def test_what_was_refused_goes_again_and_has_all_its_attempts() -> None:
    ledger = Ledger(1, RetryPolicy(max_retries=1, backoff=1.0))
    for now in (0.0, 5.0, 10.0):
        lease = ledger.next(now)
        assert lease is not None
        assert ledger.refused(lease)
        assert not ledger.refused(lease)  # it was given back
        assert ledger.next(now + 4.0) is None
        assert (ledger.due, ledger.done, ledger.is_done) == (None, 0, False)
        ledger.wake(0, now + 5.0)
        ledger.wake(0, now + 9.0)
        assert ledger.due == now + 5.0
    lease = ledger.next(15.0)
    assert lease == Lease(0, 1, refusals=3)
    assert ledger.failed_with(lease, FailureKind.OUTAGE, 15.0) == Retry(16.0)  # the backoff of a first failure
    lease = ledger.next(16.0)
    assert lease is not None
    assert ledger.failed_with(lease, FailureKind.OUTAGE, 16.0) == GiveUp(FailureKind.OUTAGE, 2)


def test_an_attempt_that_was_paid_for_counts_and_waits_aside_all_the_same() -> None:
    ledger = Ledger(1, RetryPolicy(max_retries=1))
    lease = ledger.next(0.0)
    assert lease is not None
    assert ledger.failed_with(lease, FailureKind.OUTAGE, 0.0, aside_until=3.0) == Retry(3.0)
    assert ledger.next(100.0) is None
    ledger.wake(0, 4.0)
    lease = ledger.next(4.0)
    assert lease is not None
    assert ledger.failed_with(lease, FailureKind.OUTAGE, 4.0, aside_until=5.0) == GiveUp(FailureKind.OUTAGE, 2)


def test_while_nothing_is_begun_retries_go_on() -> None:
    ledger = Ledger(2, RetryPolicy(backoff=1.0))
    lease = ledger.next(0.0)
    assert lease is not None
    ledger.failed_with(lease, FailureKind.TIMEOUT, 0.0)
    assert ledger.next(0.5, fresh=False) is None
    assert ledger.next(1.0, fresh=False) == Lease(0, 2)


def test_after_the_close_nothing_goes_again() -> None:
    ledger = Ledger(2)
    first, second = ledger.next(0.0), ledger.next(0.0)
    assert first is not None
    assert second is not None
    ledger.refused(first)
    assert ledger.close() == [0]
    assert not ledger.refused(second)
    assert ledger.failed_with(second, FailureKind.OUTAGE, 0.0) == GiveUp(FailureKind.OUTAGE, 1)


def model(server: FaultServer, **options: Any) -> dspex.LM:
    return dspex.LM("openai/any", base_url=server.url, api_key="key", cache=False, **options)


def devset(count: int) -> list[dspex.Example]:
    return [dspex.Example(question=f"item-{n}").with_inputs("question") for n in range(count)]


def test_an_endpoint_that_goes_away_and_comes_back_costs_no_example() -> None:
    with FaultServer(latency=0.01) as server:
        opened = threading.Event()
        with (
            dspex.System("away", lm=model(server), store=False, control_socket=False) as system,
            system.scheduler.events.subscribe("lm.breaker.opened", lambda event: opened.set()),
        ):
            predict = dspex.Predict("question -> answer")
            evaluation = Evaluate(devset=devset(120), metric=lambda e, p: True, num_workers=20).start(predict)
            server.wait_until("completed", 40)
            server.stop()
            assert opened.wait(30)
            server.start()
            result = evaluation.result()
    assert dict(result.counts) == {}
    assert len(result.scored) == 120


def test_an_endpoint_that_is_away_when_the_evaluation_begins_costs_no_example() -> None:
    with FaultServer() as server:
        opened = threading.Event()
        with (
            dspex.System("late", lm=model(server), store=False, control_socket=False) as system,
            system.scheduler.events.subscribe("lm.breaker.opened", lambda event: opened.set()),
        ):
            server.stop()
            predict = dspex.Predict("question -> answer")
            evaluation = Evaluate(devset=devset(50), metric=lambda e, p: True, num_workers=10).start(predict)
            assert opened.wait(30)
            server.start()
            result = evaluation.result()
    assert dict(result.counts) == {}
    assert len(result.scored) == 50


def test_a_dead_endpoint_does_not_hold_up_examples_that_need_another_one() -> None:
    with FaultServer() as alive, FaultServer() as dead:
        other = model(dead)

        class Either(dspex.Module):
            def __init__(self) -> None:
                super().__init__()
                self.predict = dspex.Predict("question -> answer")

            async def aforward(self, question: str) -> Any:
                if int(question.split("-")[1]) % 2:
                    return await self.predict.acall(question=question)
                return await self.predict.acall(question=question, lm=other)

        dead.stop()
        with dspex.System("either", lm=model(alive), store=False, control_socket=False):
            evaluation = Evaluate(devset=devset(100), metric=lambda e, p: True, num_workers=8).start(Either())
            alive.wait_until("completed", 50)  # it needs no time: it waits for nobody
            while evaluation.progress.scored < 50:
                pass
            result = evaluation.cancel()
    assert {scored.index % 2 for scored in result.scored} == {1}


def test_an_outage_of_the_judge_does_not_have_the_program_paid_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.evaluate._outage.WAITED_FOR", 1.5)
    with FaultServer() as server, FaultServer() as judge:
        asks = model(judge)

        async def metric(example: Any, prediction: Any) -> bool:
            await dspex.Predict("answer -> verdict").acall(answer=prediction.answer, lm=asks)
            return True

        judge.stop()
        with dspex.System("judge", lm=model(server), store=False, control_socket=False):
            predict = dspex.Predict("question -> answer")
            result = Evaluate(devset=devset(30), metric=metric, num_workers=4)(predict)
        assert server.completed < 2 * 30  # those that were at work, and the scouts, had more than one attempt
    assert dict(result.counts) == {FailureKind.OUTAGE: 30}
