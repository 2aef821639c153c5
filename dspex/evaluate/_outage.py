"""What an evaluation does while the breakers of endpoints are open. Pure."""

from __future__ import annotations

import math
from typing import Final

from dspex._errors import BreakerOpenError

WAITED_OUT: Final = 60.0
"""Seconds without a sign of life for which an endpoint that has answered before is waited for."""

WAITED_FOR: Final = 5.0
"""The same for one to which there never was a connection: more likely it is not there at all."""

GIVEN_UP: Final = math.inf
"""When the next trial is of an endpoint that has been waited for long enough."""

_MOMENT: Final = 0.1
_SCOUT: Final = 10.0  # seconds for which a scout may be out before another one is sent
_ENOUGH: Final = 4  # refusals in a row, at least, before nothing is begun


class _Endpoint:
    """One whose breaker is open: since when, when its next trial is, and which examples it keeps waiting."""

    __slots__ = ("patience", "scouts", "since", "trial_at", "waiting")

    def __init__(self, since: float, patience: float) -> None:
        self.since = since
        self.patience = patience
        self.trial_at = since
        self.waiting: dict[int, None] = {}
        self.scouts: set[int] = set()


class Outages:
    """An open breaker refuses a call before it is sent. Its example waits aside, and is not charged with it; at each of
    the breaker's trials one of those that wait goes as a scout, and when a scout comes back with anything but a
    refusal, all of them go again.

    Others are begun meanwhile, who may need another endpoint, until `width` refusals have come in a row.

    An endpoint is waited for `WAITED_OUT` seconds or, if there never was a connection, `WAITED_FOR` seconds, and for
    `patience` seconds if that is longer. After that a refusal is final, and all go again to find that out.
    """

    __slots__ = ("_endpoints", "_go", "_patience", "_row", "width")

    def __init__(self, width: int, patience: float = 0.0) -> None:
        self.width = width
        self._patience = patience
        self._endpoints: dict[str, _Endpoint] = {}
        self._go: list[int] = []
        self._row = 0

    @property
    def holds(self) -> bool:
        """Nothing is to be begun that has not been before: somebody waits, or is out to see."""
        if self._row < max(self.width, _ENOUGH):
            return False
        return any(each.waiting or each.scouts for each in self._endpoints.values())

    @property
    def due_at(self) -> float | None:
        """When the next of those who wait is `due`; None if nobody waits."""
        if self._go:
            return 0.0
        return min((each.trial_at for each in self._endpoints.values() if each.waiting), default=None)

    def refused(self, index: int, error: BaseException, now: float) -> float | None:
        """The example has failed for an outage. If it was refused: when the endpoint's next trial is; it is to wait
        aside until it is `due`, or not to be tried again if that is `GIVEN_UP`. None if it has failed like any other.
        """
        refusal = _refusal_in(error)
        if refusal is not None:
            name = refusal.pool
        elif (sent := next((name for name, each in self._endpoints.items() if index in each.scouts), None)) is not None:
            name = sent  # the trial itself has failed
        else:
            return None
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            known = refusal is not None and (refusal.answered or refusal.failure != "connect")
            endpoint = self._endpoints[name] = _Endpoint(now, max(WAITED_OUT if known else WAITED_FOR, self._patience))
        if refusal is not None and now - refusal.down_for > endpoint.since:  # it was back meanwhile
            endpoint.since = now - refusal.down_for
            endpoint.scouts.clear()
        if now - endpoint.since >= endpoint.patience:
            self._release(endpoint)
            endpoint.scouts.add(index)
            self._row = 0
            return GIVEN_UP
        wait = _MOMENT if refusal is None else max(_MOMENT, refusal.retry_after or 0.0)
        if index in endpoint.scouts:
            endpoint.scouts.discard(index)
            endpoint.trial_at = now + wait
        elif not endpoint.scouts:
            endpoint.trial_at = max(endpoint.trial_at, now + wait)
        endpoint.waiting[index] = None
        self._row += 1
        return endpoint.trial_at

    def passed(self, index: int) -> None:
        """The example has had an answer: what it waited for is back."""
        self._row = 0
        for name, endpoint in list(self._endpoints.items()):
            if index in endpoint.scouts:
                self._release(endpoint)
                del self._endpoints[name]

    def forget(self, index: int) -> None:
        """The example has come to nothing that tells anything, or is over."""
        for endpoint in self._endpoints.values():
            endpoint.waiting.pop(index, None)
            endpoint.scouts.discard(index)

    def due(self, now: float) -> list[int]:
        """Who goes now: scouts, and those whose wait is over."""
        go, self._go = self._go, []
        for endpoint in self._endpoints.values():
            if endpoint.waiting and now >= endpoint.trial_at:
                index = next(iter(endpoint.waiting))
                del endpoint.waiting[index]
                endpoint.scouts.add(index)
                endpoint.trial_at = now + _SCOUT
                go.append(index)
        return go

    def _release(self, endpoint: _Endpoint) -> None:
        self._go += endpoint.waiting
        endpoint.scouts.update(endpoint.waiting)
        endpoint.waiting.clear()


def _refusal_in(error: BaseException | None) -> BreakerOpenError | None:
    """The refusal that an error is or comes from: a metric's error has that of its judge as its cause."""
    while error is not None and not isinstance(error, BreakerOpenError):
        error = error.__cause__
    return error
