"""What a supervisor shows to everybody: its table of children, readable from any thread without asking it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervision._table import ChildTable

if TYPE_CHECKING:
    from actors import ActorRef
    from supervision._base import BaseSupervisor

__all__ = ["published", "supervisor_of"]


def supervisor_of(ref: ActorRef[Any]) -> BaseSupervisor | None:
    """The supervisor behind a ref, for reading only; None if it is none, or has ended."""
    process: Any = ref._process
    return process if getattr(process, "supervises", False) else None


def published(ref: ActorRef[Any]) -> ChildTable | None:
    """Its table, or None if it is no supervisor, has ended, or has not begun."""
    return getattr(supervisor_of(ref), "table", None)
