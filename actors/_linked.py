"""Links, monitors and exit signals: what actors have to do with each other's ends.

The rules are those of the Erlang reference manual, chapter "Processes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors._exits import ExitReason, NoProcess, Normal
from actors._links import GRAPH, Monitor
from actors._messages import Down, Exit
from actors._post import Post, State

if TYPE_CHECKING:
    from actors._ref import ActorRef

__all__ = ["Linked"]


class Linked(Post):
    """The second layer of every kind of actor."""

    __slots__ = ("_links", "_monitoring", "_monitors", "parent", "trap_exit")

    _links: set[ActorRef[Any]] | None
    _monitors: set[Monitor] | None
    _monitoring: set[Monitor] | None
    parent: ActorRef[Any] | None
    trap_exit: bool

    def signal(self, signal: tuple[str, Any, Any]) -> None:
        """See `Post.signal`.

        A trapped exit that is to become a message becomes one here, so that it keeps its place among the messages
        of its sender.
        """
        kind, sender, reason = signal
        from_others = sender is None or sender is not self.parent
        if self.trap_exit and kind in ("exit", "link") and from_others and type(self).on_exit is Linked.on_exit:
            self.deliver_notice(Exit(sender, reason))
        else:
            super().signal(signal)

    def link(self, ref: ActorRef[Any]) -> None:
        """Link with `ref`, both ways: when one ends, the other gets an exit signal.  Linking twice is linking once.

        Linking with an actor that has ended sends oneself its signal, `NoProcess`.
        """
        if not self._link(ref):
            self.signal(("exit", ref, NoProcess()))

    def _link(self, ref: ActorRef[Any]) -> bool:
        with GRAPH:
            other = ref._process
            if other is None or other._state == State.DEAD or self._state == State.DEAD:
                return False
            if other is not self:
                self._links = self._links if self._links is not None else set()
                other._links = other._links if other._links is not None else set()
                self._links.add(ref)
                other._links.add(self._ref)
        return True

    def unlink(self, ref: ActorRef[Any]) -> None:
        """Undo `link`.  Afterwards no exit signal of `ref` comes any more, nor is one waiting in the mailbox."""
        with GRAPH:
            other = ref._process
            if self._links is not None:
                self._links.discard(ref)
            if other is not None and other._links is not None:
                other._links.discard(self._ref)
        if self._signals:
            for signal in [s for s in self._signals if s[0] == "link" and s[1] is ref]:
                self._signals.remove(signal)
        if self._mail:
            for envelope in [e for e in self._mail if isinstance(e[0], Exit) and e[0].ref is ref]:
                self._mail.remove(envelope)

    def monitor(self, ref: ActorRef[Any]) -> Monitor:
        """Get a `Down` message when `ref` ends; at once, with `NoProcess`, if it has."""
        monitor = Monitor(ref, self)
        with GRAPH:
            other = ref._process
            if other is not None and other.add_monitor(monitor):
                if self._monitoring is None:
                    self._monitoring = set()
                self._monitoring.add(monitor)
                return monitor
        monitor.fire(NoProcess())
        return monitor

    def demonitor(self, monitor: Monitor) -> None:
        """Take a monitor down.  Afterwards no `Down` of it comes any more, nor is one waiting in the mailbox."""
        with GRAPH:
            monitor.active = False
            other = monitor.ref._process
            if other is not None and other._monitors is not None:
                other._monitors.discard(monitor)
            if self._monitoring is not None:
                self._monitoring.discard(monitor)
        if self._mail:
            for envelope in [e for e in self._mail if isinstance(e[0], Down) and e[0].monitor is monitor]:
                self._mail.remove(envelope)

    def _leave_graph(self) -> tuple[list[Linked], set[Monitor]]:
        """Take everything down: the actors linked with it, and the monitors on it.  The caller holds the lock."""
        links, self._links = self._links, None
        monitors, self._monitors = self._monitors, None
        watched, self._monitoring = self._monitoring, None
        for monitor in watched or ():
            monitor.active = False
            other = monitor.ref._process
            if other is not None and other._monitors is not None:
                other._monitors.discard(monitor)
        for monitor in monitors or ():
            owner = monitor.owner
            if isinstance(owner, Linked) and owner._monitoring is not None:
                owner._monitoring.discard(monitor)
        linked: list[Linked] = []
        for link in links or ():
            partner = link._process
            if partner is not None:
                if partner._links is not None:
                    partner._links.discard(self._ref)
                linked.append(partner)
        return linked, monitors or set()

    def add_monitor(self, monitor: Monitor) -> bool:
        """Take note of a monitor on this actor.  False if it is dead.  The caller holds the graph's lock."""
        if self._state == State.DEAD:
            return False
        if self._monitors is None:
            self._monitors = set()
        self._monitors.add(monitor)
        return True

    def on_exit(self, ref: ActorRef[Any] | None, reason: ExitReason) -> None:
        """An exit signal came and `trap_exit` is set.  Override it to do otherwise than `gen_server` does.

        The parent's signal stops the actor with that reason; anybody else's becomes an `Exit` message.
        """
        if ref is not None and ref is self.parent:
            self._end(reason)
        else:
            self.deliver_notice(Exit(ref, reason))

    def _exit_signal(self, kind: str, sender: ActorRef[Any] | None, reason: ExitReason) -> None:
        """What an exit signal does to a live actor.  `kind` is "exit" (sent) or "link" (a linked actor ended)."""
        if self.trap_exit:
            self.on_exit(sender, reason)
        elif type(reason) is not Normal:
            self._cut(reason)

    def _end(self, reason: ExitReason) -> None:
        """End in order: current handler, then `on_stop`, then death with `reason`."""
        raise AssertionError("a kind of actor says how it ends")

    def _cut(self, reason: ExitReason) -> None:
        """End without `on_stop`: an exit signal that was not trapped."""
        raise AssertionError("a kind of actor says how it is cut off")
