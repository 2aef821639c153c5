"""A hard ceiling on what calls may cost: reserve before, settle after. No loop, no clock; any thread.

A reservation is an upper bound, so what is spent plus what is reserved never exceeds the limit, at any concurrency.
A call that would fit if calls in flight turn out cheaper than reserved waits for them; one that would not fit even
then is refused. Budgets nest: an inner one reserves in all its outer ones too. Should a provider charge more than
was reserved (it ignored max_tokens, say), the excess is booked all the same and the budget is closed for further calls.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dspex._errors import BudgetExceededError, LMConfigurationError
from dspex._settings import context, settings


@dataclass(slots=True)
class _Purse:
    """One unit of one budget."""

    kind: str
    limit: float
    spent: float = 0.0
    reserved: float = 0.0

    def verdict(self, amount: float) -> str:
        """ "go", "wait" (others in flight may leave room), or "no"."""
        if self.spent + self.reserved + amount <= self.limit:
            return "go"
        return "wait" if self.reserved > 0 and self.spent + amount <= self.limit else "no"


class Reservation:
    """What one call may spend. End it once, with `settle` or `release`; ending it again has no effect."""

    __slots__ = ("_budget", "_open", "tokens", "usd")

    def __init__(self, budget: Budget, usd: float, tokens: float) -> None:
        self._budget = budget
        self._open = True
        self.usd = usd
        self.tokens = tokens

    def settle(self, usd: float | None, tokens: float) -> None:
        """The call took this much. `usd` None (unknown) books what was reserved."""
        if self._open:
            self._open = False
            self._budget._settle(self, self.usd if usd is None else usd, tokens)

    def release(self) -> None:
        """The call was not made, or cost nothing."""
        self.settle(0.0, 0.0)


class Budget:
    """At most `usd` dollars and `tokens` tokens, None meaning no limit, and no more than `parent` has left."""

    def __init__(self, usd: float | None = None, tokens: float | None = None, parent: Budget | None = None) -> None:
        if usd is None and tokens is None:
            raise LMConfigurationError("a budget needs a limit: budget(usd=...), budget(tokens=...), or both")
        if (usd is not None and usd < 0) or (tokens is not None and tokens < 0):
            raise LMConfigurationError("a budget cannot be negative")
        self.parent = parent
        self._usd = None if usd is None else _Purse("usd", usd)
        self._tokens = None if tokens is None else _Purse("tokens", tokens)
        # One lock for a whole nest: a reservation is one step for all of it.
        self._lock: threading.Lock = parent._lock if parent is not None else threading.Lock()
        self._waiting: deque[Callable[[], object]] = parent._waiting if parent is not None else deque()

    @property
    def limits_usd(self) -> bool:
        """Whether this budget or one around it has a limit in dollars, so that prices must be known."""
        return any(budget._usd is not None for budget in self._nest())

    @property
    def spent_usd(self) -> float:
        return self._usd.spent if self._usd is not None else 0.0

    @property
    def spent_tokens(self) -> float:
        return self._tokens.spent if self._tokens is not None else 0.0

    @property
    def left(self) -> dict[str, float]:
        """What may still be reserved, by unit."""
        purses = [p for p in (self._usd, self._tokens) if p is not None]
        return {p.kind: max(0.0, p.limit - p.spent - p.reserved) for p in purses}

    def reserve(self, usd: float, tokens: float) -> Reservation | None:
        """A reservation; None when it must wait for others in flight (`when_changed` tells when to ask again).

        Raises BudgetExceededError when it cannot fit, whatever those in flight turn out to cost.
        """
        with self._lock:
            claims = [(purse, usd if purse.kind == "usd" else tokens) for purse in self._purses()]
            verdicts = [purse.verdict(amount) for purse, amount in claims]
            if "no" in verdicts:
                purse, amount = claims[verdicts.index("no")]
                raise _exceeded(purse, amount)
            if "wait" in verdicts:
                return None
            for purse, amount in claims:
                purse.reserved += amount
            return Reservation(self, usd, tokens)

    def when_changed(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, in whatever thread, after the next settlement. It must be quick and must not raise."""
        with self._lock:
            if any(purse.reserved > 0 for purse in self._purses()):
                self._waiting.append(callback)
                return
        callback()

    def _settle(self, reservation: Reservation, usd: float, tokens: float) -> None:
        with self._lock:
            for purse in self._purses():
                in_usd = purse.kind == "usd"
                purse.reserved -= reservation.usd if in_usd else reservation.tokens
                purse.spent += usd if in_usd else tokens
                if purse.reserved < 1e-9:
                    purse.reserved = 0.0  # floats: sums of parts do not always cancel
            waiting = list(self._waiting)
            self._waiting.clear()
        for callback in waiting:
            callback()

    def _nest(self) -> Iterator[Budget]:
        budget: Budget | None = self
        while budget is not None:
            yield budget
            budget = budget.parent

    def _purses(self) -> Iterator[_Purse]:
        for budget in self._nest():
            if budget._usd is not None:
                yield budget._usd
            if budget._tokens is not None:
                yield budget._tokens

    def __repr__(self) -> str:
        parts = [f"{p.kind} {p.spent:g}+{p.reserved:g} of {p.limit:g}" for p in (self._usd, self._tokens) if p]
        return f"<Budget {', '.join(parts)}>"


def _exceeded(purse: _Purse, amount: float) -> BudgetExceededError:
    unit = "$" if purse.kind == "usd" else ""
    noun = "" if unit else " token" if purse.limit == 1 else " tokens"
    message = (
        f"the budget of {unit}{purse.limit:g}{noun} does not cover this call: "
        f"{unit}{purse.spent:g} spent, and the call may take up to {unit}{amount:g}. "
        "Raise the budget or lower max_tokens."
    )
    return BudgetExceededError(
        message, kind=purse.kind, limit=purse.limit, spent=purse.spent, reserved=purse.reserved, requested=amount
    )


@contextmanager
def budget(usd: float | None = None, tokens: float | None = None) -> Iterator[Budget]:
    """A ceiling for everything that the block calls, in whatever thread, task or actor it runs.

    A call that would exceed it raises BudgetExceededError unsent. A usd budget refuses models without a known price
    (LMConfigurationError): see `register_price`. A call without max_tokens reserves 4,096 completion tokens.
    """
    made = Budget(usd, tokens, parent=settings.budget)
    with context(budget=made):
        yield made
