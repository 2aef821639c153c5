"""Identical requests in flight share one call.

The first to come leads: it makes the call, in its own context (deadline, budget). The others wait for its outcome.
An answer, or an error of the call itself, is everybody's. What concerns the leader alone (it was cancelled, its
deadline passed, its budget ended) is not: then the next in line leads. A follower that gives up disturbs nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from actors import Reply

T = TypeVar("T")


class _Handover(Exception):
    """To the followers: the leader gave up for reasons of its own."""


class SingleFlight(Generic[T]):
    """Calls by key. Lives on one event loop."""

    def __init__(self, personal: Callable[[BaseException], bool]) -> None:
        """`personal(error)` tells whether an error is the leader's own; cancellation always is."""
        self._personal = personal
        self._flights: dict[str, Reply[T]] = {}
        self.shared = 0

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: str, call: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """(outcome, whether it was another's). Calls `call` if nobody with the same key is at it."""
        while True:
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, call), False
            try:
                value = await flight
            except _Handover:
                continue  # the first of us to run finds no flight and leads; the rest follow it
            self.shared += 1
            return value, True

    async def _lead(self, key: str, call: Callable[[], Awaitable[T]]) -> T:
        flight: Reply[T] = Reply()
        self._flights[key] = flight
        outcome: Any = _Handover()
        try:
            value = await call()
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, asyncio.CancelledError):
                outcome = _Handover() if self._personal(error) else error
            raise
        else:
            outcome = None
            flight.set(value)
            return value
        finally:
            # The key is free before anyone wakes: who comes now makes a call of its own.
            del self._flights[key]
            if outcome is not None:
                flight.set_exception(outcome)
