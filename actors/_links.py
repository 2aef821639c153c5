"""Links and monitors: who is told when an actor ends.

One lock guards the graph of all of them.  It is held for a few bytecodes, never while anything is delivered, so
actors on different threads may link, monitor and die at the same time and every monitor still gets exactly one
`Down`: the death takes the sets out under the lock, and who comes after finds the actor dead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors._log import logger
from actors._messages import Down

if TYPE_CHECKING:
    from actors._exits import ExitReason
    from actors._linked import Linked
    from actors._ref import ActorRef

__all__ = ["GRAPH", "Monitor"]

GRAPH = threading.RLock()


class Monitor:
    """A watch on one actor, held by one owner.  Goes off once, or is taken down by `demonitor`."""

    __slots__ = ("active", "owner", "ref")

    def __init__(self, ref: ActorRef[Any], owner: Linked | Callable[[Down], object]) -> None:
        self.ref = ref
        self.owner = owner
        self.active = True

    def __repr__(self) -> str:
        return f"<Monitor of {self.ref}>"

    def cancel(self) -> None:
        """Take it down, for holders that are not actors.  A `Down` that is being delivered now still arrives."""
        with GRAPH:
            self.active = False
            process = self.ref._process
            if process is not None and process._monitors is not None:
                process._monitors.discard(self)

    def fire(self, reason: ExitReason) -> None:
        """Deliver the `Down`.  Called once, by the death or by a monitor that came too late."""
        if not self.active:
            return
        self.active = False
        down = Down(self, self.ref, reason)
        owner = self.owner
        if callable(owner):
            try:
                owner(down)
            except Exception:  # noqa: BLE001  its fault must not keep the others from their Down
                logger("actors").exception("a callback of a monitor raised", ref=str(self.ref))
        else:
            owner.deliver_notice(down)
