"""Adoption: a start function whose child runs already."""

from __future__ import annotations

from typing import Any

from actors import ActorRef, Process, current_actor
from supervision._base import place_of_child
from supervision._errors import AdoptionError
from supervision._published import published, supervisor_of

__all__ = ["adopt"]


def adopt(ref: ActorRef[Any]) -> ActorRef[Any]:
    """Take an actor that runs without a parent as the child that is being started: `ref`, for a start function to
    return.

    From then on it is a child like any other: the supervisor's exit signal ends it, and when it ends by itself its
    start function is called again, which has to start another one then.  It goes on with what it does and keeps its
    mail.  A supervisor brings its children along.  OTP has nothing like it: there a parent is for life.

    Call it on the loop of both, from the start function of a child spec.

    Raises:
        AdoptionError: it has ended, it has a parent, or it lives on another scheduler; or no supervisor calls.
    """
    parent, process = current_actor(), ref._process
    if parent is None or not getattr(parent, "supervises", False):
        raise AdoptionError(ref, "only the start function of a supervisor's child can adopt")
    if not isinstance(process, Process) or not ref.is_alive():
        raise AdoptionError(ref, "it has ended")
    if process.parent is not None:
        raise AdoptionError(ref, f"it has a parent, {process.parent}")
    if process.scheduler is not parent.scheduler:
        raise AdoptionError(ref, "it lives on another scheduler")
    process.parent = parent.actor_ref
    place = place_of_child()
    if place is not None:
        _move(ref, place)
    return ref


def _move(ref: ActorRef[Any], path: str) -> None:
    """A supervisor has another place in the tree from now on, and with it those below."""
    supervisor, table = supervisor_of(ref), published(ref)
    if supervisor is None:
        return
    supervisor.moved(path)
    for child in list(table.rows.values()) if table is not None else ():
        if child.ref is not None:
            _move(child.ref, f"{path}/{child.label}")
