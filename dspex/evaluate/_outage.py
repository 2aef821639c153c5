"""What an evaluation does while an endpoint's breaker is open. Pure."""

from __future__ import annotations

from typing import Final

from dspex._errors import BreakerOpenError

WAITED_OUT: Final = 60.0
"""Seconds since anything was answered for which an open breaker is waited for."""

_MOMENT: Final = 0.1


class Outage:
    """An open breaker refuses a call before it is sent: that is no attempt of its example, and no reason to begin
    another one before the breaker's next trial.

    That holds for `waited_out` seconds after the first refusal since anything was answered, and only where something
    was answered before: an endpoint that never answered is an error to be told at once.
    """

    __slots__ = ("_answered", "_since", "_waited_out", "over_at")

    def __init__(self, waited_out: float = WAITED_OUT) -> None:
        self._waited_out = waited_out
        self._answered = False
        self._since: float | None = None
        self.over_at = 0.0
        """Nothing is to be begun before."""

    def answered(self) -> None:
        """An example has its answer."""
        self._answered = True
        self._since = None

    def refused(self, error: BaseException, now: float) -> float | None:
        """When the example may be tried again without this counting as an attempt; None if it counts."""
        refusal = _refusal_in(error)
        if refusal is None or not self._answered:
            return None
        if self._since is None:
            self._since = now
        if now - self._since >= self._waited_out:
            return None
        again = now + max(_MOMENT, refusal.retry_after or 0.0)
        self.over_at = max(self.over_at, again)
        return again


def _refusal_in(error: BaseException | None) -> BreakerOpenError | None:
    """The refusal that an error is or comes from: a metric's error has that of its judge as its cause."""
    while error is not None and not isinstance(error, BreakerOpenError):
        error = error.__cause__
    return error
