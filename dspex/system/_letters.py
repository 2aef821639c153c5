"""Calls that reached no program: kept as dead letters, so that somebody can send them again."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from dspex.programs._call import Call
from dspex.quarantine import portable

if TYPE_CHECKING:
    from actors import Event, Events, Subscription
    from dspex.system._storage import Storage

__all__ = ["Postmaster", "letter_target"]

_AT_MOST: Final = 1000


class Postmaster:
    """Keeps undeliverable calls of spawned programs: nobody waits for their answers, so nobody else would know.

    Other messages to dead actors are counted by the scheduler and let go: they mean something to their actors only.
    At most a thousand calls are kept by one system; further ones are counted in `lost`.
    """

    def __init__(self, events: Events, storage: Storage) -> None:
        self.kept = 0
        self.lost = 0
        self.recent: deque[tuple[str, str]] = deque(maxlen=100)
        self._storage = storage
        self._subscription: Subscription = events.subscribe("actor.dead_letter", self._heard)

    def close(self) -> None:
        """Listen no more."""
        self._subscription.close()

    def _heard(self, event: Event) -> None:
        message = event.metadata["message"]
        if type(message) is Call:
            self.keep(str(event.metadata["actor"]), message, "its actor ended before it was handled")

    def keep(self, target: str, call: Call, reason: str) -> None:
        """Keep a call that was meant for `target`.  Never waits."""
        if self.kept >= _AT_MOST or not self._storage.enabled:
            self.lost += 1
            return
        from dspex.store import DeadLetter

        self.kept += 1
        self.recent.append((target, reason))
        self._storage.put(DeadLetter("call", target, portable(call.inputs), reason))


def letter_target(programs: dict[str, Any], target: str) -> Any:
    """The running program that a dead letter was meant for.

    Raises:
        LookupError: it does not run.
    """
    for part in (target, *target.split("/")):
        if part in programs:
            return programs[part]
    running = ", ".join(sorted(programs)) or "none"
    raise LookupError(f"no program {target!r} runs here to replay the letter to (running: {running})")
