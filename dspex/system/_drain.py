"""The end of a system: nothing new, what is at work may end, and all within one deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors import ShutdownReport

__all__ = ["CloseReport", "drained"]

_LOOK = 0.005
_SHARE = 0.75  # of the time allowed, for the calls; the rest is for stopping the tree


@dataclass(frozen=True, slots=True)
class CloseReport:
    """How a system ended.

    `finished` calls were at work and came to their end, `cancelled` were ended unfinished. `killed` actors did not end
    within the deadline, and `orphans` is code that still runs and cannot be ended. `stopped` counts the actors.
    """

    finished: int = 0
    cancelled: int = 0
    stopped: int = 0
    killed: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """True if nothing was lost: no call was cut off, and everything ended by itself."""
        return not self.cancelled and not self.killed and not self.orphans

    @classmethod
    def of(cls, stopped: ShutdownReport | None, finished: int, cancelled: int, seconds: float) -> CloseReport:
        """Together with what the scheduler reports, if it was stopped too."""
        if stopped is None:
            return cls(finished, cancelled, seconds=seconds)
        return cls(finished, cancelled, stopped.stopped, stopped.killed, stopped.orphans, seconds)

    def to_json(self) -> dict[str, Any]:
        """As logs show it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"clean": self.clean}


def drained(in_flight: Callable[[], int], timeout: float) -> bool:
    """Wait until nothing is in flight, at most for a share of `timeout`; True if it came to that.

    In real time, whatever the system's clock is: a deadline of the process is meant.
    """
    deadline = time.monotonic() + timeout * _SHARE
    while in_flight():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK)
    return True
