"""What is left of an actor that ended while its code could not be."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors._activity import Activity
    from actors._ref import ActorRef

__all__ = ["Orphan"]


@dataclass(frozen=True, slots=True)
class Orphan:
    """Code that goes on running for an actor that has ended: on a thread, or as a coroutine that will not be cancelled.

    Listed in `Scheduler.orphans` until it returns.  Its answer is dropped and counted in `Scheduler.late_replies`.
    """

    ref: ActorRef[Any]
    work: Activity | threading.Thread

    def __str__(self) -> str:
        where = f"thread {self.work.name!r}" if isinstance(self.work, threading.Thread) else "a coroutine"
        return f"{self.ref} in {where}"
