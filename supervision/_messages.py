"""What supervisors are told and asked.  The functions in `_calls` send these."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors import ExitReason, Shutdown
from supervision._spec import ChildSpec, SupervisorSpec

__all__ = [
    "ChangeFlags",
    "ChangeSpec",
    "CountChildren",
    "DeleteChild",
    "GetChildSpec",
    "RestartChild",
    "StartChild",
    "StartMore",
    "StopSupervisor",
    "TerminateChild",
    "TryAgain",
    "WhichChildren",
]


@dataclass(frozen=True, slots=True)
class StartChild:
    """Add a child and start it.  Answered by its ref, or None if its start ignored."""

    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class StartMore:
    """Start a child from the template of a simple_one_for_one supervisor, with these arguments after its
    own.
    """

    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TerminateChild:
    """Stop a child, by id or ref.  Answered by None when it has ended."""

    child: Any


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Start a child that is down.  Answered by its ref, or None if its start ignored."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Forget a child that is down."""

    child: Hashable


@dataclass(frozen=True, slots=True)
class GetChildSpec:
    """Answered by the ChildSpec of a child, by id or ref."""

    child: Any


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """Answered by a list of ChildInfo, latest child first."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Answered by ChildCounts."""


@dataclass(frozen=True, slots=True)
class ChangeSpec:
    """Take new flags and child specs; None: those that `init` returns now."""

    spec: SupervisorSpec | None = None


@dataclass(frozen=True, slots=True)
class ChangeFlags:
    """Take new values for some flags."""

    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopSupervisor:
    """Stop the children, then end with `reason`.  Served in its turn, unlike an exit signal of the parent."""

    reason: ExitReason = field(default_factory=Shutdown)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """A supervisor to itself: that restart is due, if nobody has called it off."""

    key: Hashable
    ticket: int
