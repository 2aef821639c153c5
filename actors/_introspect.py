"""Looking at an actor from outside: what it does and since when, without asking it.

Reads a few attributes from any thread.  A deadlocked or endlessly busy actor is seen like any other.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from actors._process import Process, State

if TYPE_CHECKING:
    from actors._activity import Activity
    from actors._ref import ActorRef

__all__ = ["ActorInfo", "Look", "fenced", "inspect", "look"]

_STATES = {State.NEW: "starting", State.STARTING: "starting", State.ALIVE: "running", State.STOPPING: "stopping"}


@dataclass(frozen=True, slots=True)
class Look:
    """One actor at one moment.

    `state` is starting, running, suspended, stopping or dead.  `message` is the class of the message that it handles
    (`on_start` and `on_stop` while it does those), `since` the scheduler's time at which it began, if that is known.
    `overlapping` counts calls of `@concurrent` handlers that are under way.  `stack` is there if it was asked for.
    """

    state: str
    mailbox: int = 0
    handled: int = 0
    message: str | None = None
    since: float | None = None
    overlapping: int = 0
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class ActorInfo:
    """One actor at one moment, for lists and for people.

    state: `starting`, `idle`, `running` (a message), `suspended`, `stopping`, `dead`, or `fenced`: dead for everybody,
        while code of it still runs that nobody could end.
    since: the scheduler's time at which what it does began, if that is known.
    crashes: how many actors of its name, or of its class if it has none, have crashed on its scheduler.
    stack: where what it does stands, if that was asked for.
    """

    id: int
    name: Any
    actor_class: str
    state: str
    since: float | None
    message: str | None
    overlapping: int
    mailbox: int
    handled: int
    crashes: int
    parent: str | None
    stack: str | None


def inspect(ref: ActorRef[Any], *, stack: bool = True) -> ActorInfo:
    """Everything about an actor that can be known without asking it.  Any thread; never waits."""
    process = ref._process
    seen = look(ref, stack=stack)
    state = seen.state
    if state == "dead" and fenced(ref):
        state = "fenced"
    elif state == "running" and seen.message is None and not seen.overlapping:
        state = "idle"
    qualname = ref.actor_class.__qualname__
    return ActorInfo(
        id=ref.id,
        name=ref.name,
        actor_class=f"{ref.actor_class.__module__}.{qualname}",
        state=state,
        since=seen.since,
        message=seen.message,
        overlapping=seen.overlapping,
        mailbox=seen.mailbox,
        handled=seen.handled,
        crashes=ref.scheduler.crashes.get(str(ref.name) if ref.name is not None else qualname, 0),
        parent=str(process.parent) if process is not None and process.parent is not None else None,
        stack=seen.stack,
    )


def look(ref: ActorRef[Any], *, stack: bool = False) -> Look:
    """What the actor does right now.  Any thread; never waits."""
    process: Process | None = ref._process
    if process is None:
        return Look("dead")
    state = _STATES.get(process._state, "dead")
    if state == "running" and process._suspended:
        state = "suspended"
    activity: Activity | None = getattr(process, "_current", None)
    overlapping = getattr(process, "_activities", None)
    message, since = _busy(process, activity, state)
    return Look(
        state,
        len(process._mail or ()),
        process._handled,
        message,
        since,
        len(overlapping) if overlapping is not None else getattr(process, "_overlapping", 0),
        _stack(process, activity) if stack and (message is not None or overlapping) else None,
    )


def _busy(process: Process, activity: Activity | None, state: str) -> tuple[str | None, float | None]:
    hook = {"starting": "on_start", "stopping": "on_stop"}.get(state)
    if activity is not None:
        message = activity.message
        return (_called(message) if message is not None else hook), activity.since
    message = process.current_message
    if message is None:
        return None, None
    since = getattr(process, "_since", None)
    if since is None and (stall := process.scheduler.stall) is not None:
        since = process.scheduler.clock.time() - stall.seconds
    return _called(message), since


def _called(message: Any) -> str:
    """The class of a message; a packed one says what it holds."""
    return getattr(message, "shown_as", None) or type(message).__name__


def _stack(process: Process, activity: Activity | None) -> str | None:
    running = sys._current_frames()
    thread = getattr(process, "_thread", None)
    frame: FrameType | None = None
    if activity is not None:
        worker = getattr(activity, "thread", None)
        if worker is not None:
            frame = running.get(worker.ident)
        elif process.scheduler.running_activity is not activity:
            return "".join(_waiting(activity))
        else:
            frame = running.get(process.scheduler.ident)
    elif thread is not None:
        frame = running.get(thread.ident)
    elif process.scheduler.running_actor is process:
        frame = running.get(process.scheduler.ident)
    return "".join(traceback.format_stack(frame)) if frame is not None else None


def _waiting(activity: Activity) -> list[str]:
    """Where an activity stands that waits: the whole chain of awaits, or the fiber's stack."""
    frame = activity.frame
    work: Any = activity._work
    if not hasattr(work, "cr_await"):
        return traceback.format_stack(frame) if frame is not None else []
    lines: list[str] = []
    while work is not None and getattr(work, "cr_frame", None) is not None:
        lines += traceback.format_list(traceback.extract_stack(work.cr_frame, limit=1))
        work = work.cr_await if hasattr(work.cr_await, "cr_frame") else None
    return lines


def fenced(ref: ActorRef[Any]) -> bool:
    """Is the actor dead for everybody while code of it still runs, which nobody could end?"""
    return not ref.is_alive() and any(orphan.ref is ref for orphan in ref.scheduler.orphans)
