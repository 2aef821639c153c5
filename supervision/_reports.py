"""What a supervisor reports: the facts that OTP logs (`supervisor` reports), as values."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from actors import Crash, ExitReason

__all__ = ["CrashLog", "FailedToStartChild", "Report", "ReportContext"]

ReportContext: TypeAlias = Literal["child_terminated", "start_error", "shutdown_error", "shutdown"]

MAX_INTENSITY = "reached_max_restart_intensity"


@dataclass(frozen=True, slots=True)
class Report:
    """Something went wrong under a supervisor.

    `child_terminated`: a child ended, and not as it should; `start_error`: a start function failed;
    `shutdown_error`: a child that was told to end did so with another reason; `shutdown`: the supervisor
    gives up, `reason` is `reached_max_restart_intensity`.  `identical` counts the crashes of this child
    with the very fingerprint of this one within the period; `deterministic` says that they are so many that
    restarting it looks useless. `ref` is the child's last incarnation, `count` how many children ended so
    (for children stopped in parallel).
    """

    supervisor: str
    context: ReportContext
    child: Hashable
    reason: ExitReason | str
    ref: Any = None
    identical: int = 0
    deterministic: bool = False
    count: int = 1

    def __str__(self) -> str:
        text = f"{self.supervisor}: {self.context}: {self.child}: {self.reason}"
        if self.deterministic:
            text += f" (deterministic: {self.identical} identical crashes; restarting it does not help)"
        return text


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """The detail of the `Shutdown` with which a supervisor ends whose child did not start."""

    child: Hashable
    reason: ExitReason

    def __str__(self) -> str:
        return f"failed to start child {self.child}: {self.reason}"


class CrashLog:
    """The latest crashes of one child: when, and which (by fingerprint).  Its size is bounded."""

    __slots__ = ("_entries",)

    def __init__(self, size: int) -> None:
        self._entries: deque[tuple[float, str]] = deque(maxlen=size)

    def add(self, reason: ExitReason, now: float, period: float) -> int:
        """Note how a child ended; returns how often it ended so within the period, this time included."""
        if not isinstance(reason, Crash):
            return 0
        fingerprint = (
            f"{reason.fingerprint}:{reason.type}:{reason.message}" if not reason.frames else reason.fingerprint
        )
        self._entries.append((now, fingerprint))
        bound = now - period
        return sum(1 for time, other in self._entries if other == fingerprint and time >= bound)

    def identical(self, now: float, period: float) -> int:
        """How many crashes in the period were identical to the latest one."""
        entries = tuple(self._entries)
        if not entries:
            return 0
        bound, latest = now - period, entries[-1][1]
        return sum(1 for time, other in entries if other == latest and time >= bound)
