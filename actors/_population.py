"""Who lives on a scheduler: numbers, names, births, deaths, and what is left of the dead."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors._errors import ForkedError, NoSchedulerError
from actors._events import Events
from actors._exits import Crash, ExitReason
from actors._orphan import Orphan
from actors._registry import Registry, Via

if TYPE_CHECKING:
    from actors._activity import Activity
    from actors._introspect import ActorInfo
    from actors._mortal import Mortal
    from actors._process import Process
    from actors._ref import ActorRef

__all__ = ["Population"]


def _as_it_is(value: Any) -> Any:
    return value


class Population:
    """The living actors of one scheduler.  Every operation takes the same time however many there are."""

    name: str
    forked: bool
    _state: str

    def __init__(self) -> None:
        self.events = Events()
        self.registry = Registry(name=f"{self.name}.registry")
        self.late_replies = 0
        self.dead_letters = 0
        self.crashes: dict[str, int] = {}
        self.dying: list[Process] = []  # whose ends are being told at this moment, from threads of their own
        self.shown: Callable[[Any], Any] = _as_it_is
        """What may be seen of an exit reason or of a text, in events, logs and trees: replace it where these may quote
        what is not to be seen."""
        self._ids = itertools.count(1)
        self._actors: dict[int, Process] = {}
        self._orphans: set[Orphan] = set()
        self._counting = threading.Lock()  # adding one is a reading and a writing, and any thread may do it

    def next_id(self) -> int:
        """A number that no other actor of this scheduler has."""
        return next(self._ids)

    def adopt(self, actor: Process) -> None:
        """A new actor lives here.

        Raises:
            NoSchedulerError: the scheduler does not run.
        """
        self._check_running()
        self._actors[actor._ref.id] = actor
        if self.events.wants("actor.started"):
            self.events.emit("actor.started", {}, {"actor": str(actor), "class": type(actor).__qualname__})

    def _check_running(self) -> None:
        if self.forked:
            raise ForkedError(self.name)
        if self._state != "running":
            raise NoSchedulerError(f"scheduler {self.name!r} is not running: start it, or use another one")

    def forget(self, actor: Mortal, reason: ExitReason) -> None:
        """An actor has ended."""
        ref = actor._ref
        self._actors.pop(ref.id, None)
        if type(reason) is Crash:
            key = str(ref.name) if ref.name is not None else type(actor).__qualname__
            with self._counting:
                self.crashes[key] = self.crashes.get(key, 0) + 1
        topic = "actor.crashed" if type(reason) is Crash else "actor.ended"
        if self.events.wants(topic):
            parent = None if actor.parent is None else str(actor.parent)
            seen = self.shown(reason)
            metadata = {"actor": str(ref), "class": type(actor).__qualname__, "reason": seen, "parent": parent}
            self.events.emit(topic, {}, metadata)

    def claim(self, name: Any, ref: ActorRef[Any]) -> None:
        """Give `ref` a name.

        Raises:
            NameTakenError: a living actor has it.
        """
        self._check_running()
        if isinstance(name, Via):
            name.claim(ref)
        else:
            self.registry.register(name, owner=ref)

    def whereis(self, name: Any) -> ActorRef[Any] | None:
        """The living actor of that name."""
        return self.registry.whereis(name)

    def refs(self) -> list[ActorRef[Any]]:
        """All living actors, the oldest first."""
        return [actor._ref for actor in list(self._actors.values())]

    def actors(self, *, stack: bool = False) -> list[ActorInfo]:
        """What every living actor does right now, the oldest first, without asking any.  See `inspect`."""
        from actors._introspect import inspect

        return [inspect(ref, stack=stack) for ref in self.refs()]

    def add_orphan(self, ref: ActorRef[Any], work: Activity | threading.Thread) -> None:
        """Note code that goes on running for an actor that ends."""
        self._orphans.add(Orphan(ref, work))

    def orphan_returned(self, ref: ActorRef[Any], work: Activity | threading.Thread) -> None:
        """That code has come to its end, or was never noted."""
        self._orphans.discard(Orphan(ref, work))

    @property
    def orphans(self) -> list[Orphan]:
        """Code that still runs for actors that are dead."""
        return list(self._orphans)

    def late_reply(self) -> None:
        """Code whose actor is dead has come to an end: what came of it is dropped."""
        with self._counting:
            self.late_replies += 1

    def dead_letter(self, ref: ActorRef[Any], message: Any) -> None:
        """A message that nobody will handle: its actor ended first."""
        with self._counting:
            self.dead_letters += 1
        if self.events.wants("actor.dead_letter"):
            self.events.emit("actor.dead_letter", {}, {"actor": str(ref), "message": message})
