"""Where a call that only waits for its next try says so: whoever counts work in flight need not count it meanwhile."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from actors import Reply

__all__ = ["Place", "place"]


class Place(Protocol):
    """A place in a bounded amount of work. On the loop."""

    def rest(self) -> None:
        """Its work waits: the place may be used by others."""

    def back(self) -> Reply[None]:
        """Its work could go on; the reply is set when the place is its own again."""


place: ContextVar[Place | None] = ContextVar("dspex.place", default=None)
"""The place that this code takes up; None where nobody counts."""
