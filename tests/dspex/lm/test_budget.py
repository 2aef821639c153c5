"""Budgets hold at any concurrency."""

from __future__ import annotations

import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from dspex._errors import BudgetExceededError, LMConfigurationError
from dspex._settings import settings as dspex_settings
from dspex.lm import Budget, budget
from dspex.lm._budget import Reservation


def test_a_reservation_that_fits_is_granted_and_settled_at_its_true_price() -> None:
    purse = Budget(usd=1.0, tokens=100)
    reservation = purse.reserve(0.5, 60)
    assert reservation is not None
    assert purse.left == {"usd": 0.5, "tokens": 40}
    reservation.settle(0.1, 10)
    reservation.settle(0.9, 90)  # a second end has no effect
    assert purse.left == {"usd": 0.9, "tokens": 90}


def test_what_may_fit_when_others_settle_waits_for_them() -> None:
    purse = Budget(tokens=100)
    first = purse.reserve(0, 80)
    assert first is not None
    assert purse.reserve(0, 30) is None
    told: list[int] = []
    purse.when_changed(lambda: told.append(1))
    first.settle(0, 10)
    assert told == [1]
    assert purse.reserve(0, 30) is not None


def test_what_cannot_fit_is_refused_with_the_figures() -> None:
    purse = Budget(tokens=100)
    done = purse.reserve(0, 80)
    assert done is not None
    done.settle(0, 80)
    with pytest.raises(BudgetExceededError) as caught:
        purse.reserve(0, 21)
    error = caught.value
    assert (error.kind, error.limit, error.spent, error.requested) == ("tokens", 100, 80, 21)


def test_a_call_that_took_more_than_reserved_is_booked_and_ends_the_budget() -> None:
    purse = Budget(tokens=100)
    reservation = purse.reserve(0, 50)
    assert reservation is not None
    reservation.settle(0, 150)
    assert purse.spent_tokens == 150
    with pytest.raises(BudgetExceededError):
        purse.reserve(0, 1)


def test_an_inner_budget_spends_from_the_outer_too() -> None:
    with budget(tokens=100) as outer, budget(tokens=1000) as inner:
        assert dspex_settings.budget is inner
        with pytest.raises(BudgetExceededError):
            inner.reserve(0, 101)
        reservation = inner.reserve(0, 60)
        assert reservation is not None
        reservation.settle(0, 60)
        assert outer.spent_tokens == inner.spent_tokens == 60
    assert dspex_settings.budget is None


@pytest.mark.parametrize("limits", [{}, {"usd": -1.0}, {"tokens": -1}])
def test_a_budget_without_a_sensible_limit_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(LMConfigurationError):
        Budget(**limits)


def test_threads_cannot_overspend_together() -> None:
    purse = Budget(tokens=1000)
    overdrawn: list[float] = []

    def spend() -> None:
        for _ in range(200):
            try:
                reservation = purse.reserve(0, 10)
            except BudgetExceededError:
                return
            if reservation is not None:
                if purse.left["tokens"] < 0:
                    overdrawn.append(purse.left["tokens"])
                reservation.settle(0, 7)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overdrawn == []
    assert 990 < purse.spent_tokens <= 1000


class BudgetMachine(RuleBasedStateMachine):
    """Two nested budgets, any order of reservations and ends."""

    held: Bundle[Reservation] = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.outer = Budget(usd=10.0, tokens=1000)
        self.inner = Budget(tokens=700, parent=self.outer)
        self.spent = {"outer": 0, "inner": 0}
        self.open: dict[int, tuple[str, int]] = {}

    @rule(target=held, tokens=st.integers(0, 400), where=st.sampled_from(["outer", "inner"]))
    def reserve(self, tokens: int, where: str) -> Reservation:
        purse = self.outer if where == "outer" else self.inner
        try:
            reservation = purse.reserve(0.0, tokens)
        except BudgetExceededError:
            total = self.spent["outer"] + self.spent["inner"]
            assert total + tokens > 1000 or (where == "inner" and self.spent["inner"] + tokens > 700)
            reservation = None
        if reservation is None:
            return Reservation(purse, 0.0, 0.0)
        self.open[id(reservation)] = (where, tokens)
        return reservation

    @rule(reservation=consumes(held), share=st.floats(0, 1))
    def settle(self, reservation: Reservation, share: float) -> None:
        where, tokens = self.open.pop(id(reservation), ("outer", 0))
        actual = int(tokens * share)
        self.spent[where] += actual
        reservation.settle(0.0, actual)

    @invariant()
    def the_ceilings_hold(self) -> None:
        reserved_inner = sum(t for where, t in self.open.values() if where == "inner")
        reserved = sum(t for _, t in self.open.values())
        assert self.inner.spent_tokens == self.spent["inner"]
        assert self.outer.spent_tokens == self.spent["inner"] + self.spent["outer"]
        assert self.spent["inner"] + reserved_inner <= 700
        assert self.outer.spent_tokens + reserved <= 1000
        assert self.outer.left["tokens"] == 1000 - self.outer.spent_tokens - reserved


TestBudgetMachine = BudgetMachine.TestCase
TestBudgetMachine.settings = settings(max_examples=25, stateful_step_count=20)
