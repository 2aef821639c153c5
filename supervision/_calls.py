"""What may be asked of a supervisor, as functions.  None of them waits: `get` or `await` the Reply.

All calls are served one after the other, in the order of arrival, and none while the supervisor stops or
restarts children.  A call from the start of a child to its own supervisor therefore waits for ever (as in
OTP): give it a timeout. A supervisor that is dead answers ActorDeadError.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from actors import ActorDeadError, ActorRef, Down, ExitReason, Normal, Reply
from supervision._messages import (
    ChangeFlags,
    ChangeSpec,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    StartMore,
    StopSupervisor,
    TerminateChild,
    WhichChildren,
)
from supervision._spec import ChildSpec, SupervisorSpec, as_child_spec
from supervision._table import ChildCounts, ChildInfo

__all__ = [
    "change_flags",
    "change_supervisor",
    "count_children",
    "delete_child",
    "get_child_spec",
    "restart_child",
    "start_child",
    "start_from_template",
    "stop_supervisor",
    "terminate_child",
    "which_children",
]


def start_child(
    sup: ActorRef[Any], child: ChildSpec | SupervisorSpec | type, *, timeout: float | None = None
) -> Reply[ActorRef[Any] | None]:
    """Add a child at the end and start it: its ref, or None if its start ignored.

    ChildStartedError, ChildPresentError: the id is taken.  ChildStartError: it did not start, nothing is
    kept. SpecError: it does not fit this supervisor.  MaxChildrenError: a DynamicSupervisor is full.
    """
    return sup.call(StartChild(as_child_spec(child)), timeout=timeout)


def start_from_template(sup: ActorRef[Any], *args: Any, timeout: float | None = None) -> Reply[ActorRef[Any] | None]:
    """Start a child of a simple_one_for_one supervisor, with `args` after those of the template."""
    return sup.call(StartMore(args), timeout=timeout)


def terminate_child(sup: ActorRef[Any], child: Any, *, timeout: float | None = None) -> Reply[None]:
    """Stop a child, by id or ref, and keep its spec unless it is temporary or dynamic; calls off a restart.

    The reply is there when the child has ended.  Doing it twice is no error.  ChildNotFoundError.
    """
    return sup.call(TerminateChild(child), timeout=timeout)


def restart_child(sup: ActorRef[Any], child: Hashable, *, timeout: float | None = None) -> Reply[ActorRef[Any] | None]:
    """Start a child that is down.  It does not count as a restart, and is not retried when it fails.

    ChildNotFoundError, ChildRunningError, ChildRestartingError, ChildStartError.
    """
    return sup.call(RestartChild(child), timeout=timeout)


def delete_child(sup: ActorRef[Any], child: Hashable, *, timeout: float | None = None) -> Reply[None]:
    """Forget a child that is down.  ChildNotFoundError, ChildRunningError, ChildRestartingError."""
    return sup.call(DeleteChild(child), timeout=timeout)


def get_child_spec(sup: ActorRef[Any], child: Any, *, timeout: float | None = None) -> Reply[ChildSpec]:
    """The spec of a child, by id or ref.  ChildNotFoundError."""
    return sup.call(GetChildSpec(child), timeout=timeout)


def which_children(sup: ActorRef[Any], *, timeout: float | None = None) -> Reply[list[ChildInfo]]:
    """All children, latest first.  To look at a supervisor that may be busy, use `tree`."""
    return sup.call(WhichChildren(), timeout=timeout)


def count_children(sup: ActorRef[Any], *, timeout: float | None = None) -> Reply[ChildCounts]:
    """How many children there are, by state and type."""
    return sup.call(CountChildren(), timeout=timeout)


def change_supervisor(
    sup: ActorRef[Any], spec: SupervisorSpec | None = None, *, timeout: float | None = None
) -> Reply[None]:
    """Give a running supervisor new flags and child specs; without a spec, those that its `init` returns now.

    Nothing is started or stopped: running children keep their process, new ones are down until
    `restart_child`, those no longer listed stay, at the end.  SpecError: refused, the old ones stay in
    force.
    """
    return sup.call(ChangeSpec(spec), timeout=timeout)


def change_flags(sup: ActorRef[Any], *, timeout: float | None = None, **flags: Any) -> Reply[None]:
    """Give a running supervisor new values for some flags.  SpecError: refused."""
    return sup.call(ChangeFlags(flags), timeout=timeout)


def stop_supervisor(sup: ActorRef[Any], reason: ExitReason | None = None) -> Reply[Down]:
    """Stop it and all below it; `reason`, Normal if not given, is how it ends.  The reply is its Down.

    Its own supervisor sees a child end with that reason, and may start it again.
    """
    down = sup.down()
    try:
        sup.tell(StopSupervisor(Normal() if reason is None else reason))
    except ActorDeadError as error:
        return Reply.failed(error)
    return down
