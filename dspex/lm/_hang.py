"""When a try hangs: a pure value with time as an argument.

A caller with a deadline would lose all of it to one request that never answers. Where replies come in a small part of
the time that is left, a try that takes half of it is given up, so that another can follow. Where they do not, or too
few were seen to say, a try has all the time: a slow model is not asked twice.
"""

from __future__ import annotations

ENOUGH = 20  # replies that show how long they take
FAR = 10.0  # times the slowest of them: what takes longer than that hangs
FORGETS = 0.002  # of the slowest, with every reply


class Patience:
    """How long the replies of an endpoint take at most. Only those of calls with a deadline are told and asked."""

    __slots__ = ("_seen", "_slowest")

    def __init__(self) -> None:
        self._seen = 0
        self._slowest = 0.0

    def replied(self, seconds: float) -> None:
        """A reply has come after so many seconds."""
        self._seen += 1
        self._slowest = max(seconds, self._slowest * (1.0 - FORGETS))

    def of(self, left: float) -> float:
        """Seconds that a try may take when so many are left."""
        half = left / 2
        return half if self._seen >= ENOUGH and half > FAR * self._slowest else left
