"""Messages that actors get from the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors._exits import ExitReason
    from actors._links import Monitor
    from actors._ref import ActorRef

__all__ = ["Down", "Exit", "ReceiveTimeout"]


@dataclass(frozen=True, slots=True)
class Down:
    """A monitored actor has ended.  Exactly one for each monitor (Erlang's `{'DOWN', Ref, process, Pid, Reason}`)."""

    monitor: Monitor
    ref: ActorRef[Any]
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit signal that was trapped (Erlang's `{'EXIT', Pid, Reason}`).  `ref` is None when no actor sent it."""

    ref: ActorRef[Any] | None
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class ReceiveTimeout:
    """No message came for as long as `receive_timeout` said (`gen_server`'s `timeout`)."""
