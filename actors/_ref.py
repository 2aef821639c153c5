"""The reference to an actor: all that others ever hold of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

import pykka
from pykka.messages import _ActorStop

from actors._errors import ActorDeadError, BlockingOnLoopError, Timeout, UnpicklableMessageError
from actors._exits import ExitReason, NoProcess
from actors._links import GRAPH, Monitor
from actors._local import on_bare_loop
from actors._messages import Down
from actors._reply import Reply

if TYPE_CHECKING:
    from actors._process import Process
    from actors._scheduler import Scheduler

__all__ = ["ActorRef"]

A = TypeVar("A", bound="pykka.Actor")


class ActorRef(pykka.ActorRef[A]):
    """Pykka's `ActorRef`, with calls that do not block, exits, kills and monitors.

    Holds the actor while it lives and lets go of it when it ends; afterwards `exit_reason` says why it ended.
    Usable from every thread.
    """

    __slots__ = ("_process", "_stopped", "exit_reason", "id", "name", "scheduler")

    def __init__(self, actor: Process, scheduler: Scheduler, number: int, name: object) -> None:
        self._process: Process | None = actor
        self._stopped: threading.Event | None = None
        self.actor_class = type(actor)  # type: ignore[assignment]
        self.scheduler = scheduler
        self.id = number
        self.name = name
        self.exit_reason: ExitReason | None = None

    def __str__(self) -> str:
        return f"{self.actor_class.__qualname__}#{self.id}" + (f" {self.name!r}" if self.name is not None else "")

    def __repr__(self) -> str:
        state = "" if self.exit_reason is None else f" ended: {self.scheduler.shown(self.exit_reason)}"
        return f"<ActorRef {self}{state}>"

    def __reduce__(self) -> Any:
        raise UnpicklableMessageError(
            f"{self} cannot leave this process: send the name of the actor, or a value, instead of the reference"
        )

    # -- what Pykka's users know

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """Unique in this process."""
        return f"urn:actor:{self.id}"

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """Set once the actor has ended.  Made when first asked for."""
        with GRAPH:
            if self._stopped is None:
                self._stopped = threading.Event()
                if self._process is None:
                    self._stopped.set()
            return self._stopped

    def _actor_weakref(self) -> Any:  # type: ignore[override]  # Pykka's proxy reads the actor through this
        return self._process

    def is_alive(self) -> bool:
        """True from `start` until the actor has ended, for whatever reason."""
        return self._process is not None

    def tell(self, message: Any) -> None:
        """Put `message` into its mailbox.

        Raises:
            ActorDeadError: it has ended.
            MailboxFull: its mailbox is bounded, full, and rejects.
            BlockingOnLoopError: its mailbox is full and makes senders wait, which the bare loop cannot.
        """
        process = self._process
        if process is None:
            raise ActorDeadError(self, self.exit_reason)
        process.deliver((message, None, copy_context()))

    def call(self, message: Any, *, timeout: float | None = None) -> Reply[Any]:
        """Ask without waiting: the `Reply` will have the answer, or the reason why there is none.

        An actor that ends before it answers fails the reply at once with `ActorCrashed`; one that has ended,
        with `ActorDeadError`; `timeout` seconds without an answer, with `Timeout` (the late answer is dropped).
        """
        reply: Reply[Any] = Reply()
        process = self._process
        if process is None:
            reply.set_exception(ActorDeadError(self, self.exit_reason))
            return reply
        if timeout is not None:
            self._limit(reply, timeout)
        process.deliver((message, reply, copy_context()))
        return reply

    def _limit(self, reply: Reply[Any], timeout: float) -> None:
        error = Timeout(f"{self} did not answer within {timeout} s")
        timer = self.scheduler.call_later(timeout, reply.set_exception, error)
        reply.add_done_callback(lambda _: timer.cancel())

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Pykka's `ask`: the answer itself, or a `Reply` with `block=False`.  Waits like `Reply.get`.

        Raises:
            BlockingOnLoopError: it would have to wait on the bare loop; nothing has been sent.
        """
        if block and on_bare_loop():
            raise BlockingOnLoopError("ask()")
        reply = self.call(message)
        return reply.get(timeout=timeout) if block else reply

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Let it finish the messages that it has, run `on_stop`, and end with `Normal`.

        True if it was alive, False if it had ended before; with `block=False` a `Reply` of that.
        """
        if block and on_bare_loop():
            raise BlockingOnLoopError("stop()")
        process = self._process
        if process is None:
            reply: Reply[bool] = Reply.of(False)
        else:
            reply = Reply()
            process.deliver_notice(_ActorStop(), reply)
        return reply.get(timeout=timeout) if block else reply

    # -- exit signals

    def exit(self, reason: ExitReason, *, sender: ActorRef[Any] | None = None) -> None:
        """Send an exit signal (Erlang's `exit/2`).  It passes the mail that waits.

        An actor that does not trap exits ends with `reason`, unless that is `Normal`: what runs is cancelled at
        its next wait.  One that traps gets `Exit(sender, reason)` as a message, or stops if its parent sends it.
        """
        process = self._process
        if process is not None:
            process.signal(("exit", sender, reason))

    def kill(self) -> None:
        """End it with `Killed`, now and whatever it does: `exit(Pid, kill)`.

        A handler that waits is cancelled there.  What cannot be cancelled is fenced: the actor is dead for
        everybody, whatever the code still does or answers is dropped and counted.
        """
        process = self._process
        if process is not None:
            process.signal(("kill", None, None))

    def monitor(self, callback: Callable[[Down], object]) -> Monitor:
        """Call `callback(down)` when it ends, at once (`NoProcess`) if it has.  For code that is not an actor.

        The callback runs in whatever thread the actor ends in; it must be quick.  If it raises, that is logged.
        """
        monitor = Monitor(self, callback)
        with GRAPH:
            process = self._process
            if process is not None and process.add_monitor(monitor):
                return monitor
        monitor.fire(NoProcess())
        return monitor

    def down(self) -> Reply[Down]:
        """A reply with its `Down`, once it has ended; at once if it has."""
        reply: Reply[Down] = Reply()
        self.monitor(reply.set)
        return reply

    # -- the system lane (OTP's `sys`)

    def suspend(self) -> None:
        """Let its mail wait until `resume`.  What it is handling goes on."""
        self._system("suspend", None)

    def resume(self) -> None:
        """Take mail again."""
        self._system("resume", None)

    def inspect(self, look: Callable[[Any], Any]) -> Reply[Any]:
        """A reply with `look(actor)`, run by the actor itself, ahead of its mail (`sys:get_state`)."""
        reply: Reply[Any] = Reply()
        if self._process is None:
            reply.set_exception(ActorDeadError(self, self.exit_reason))
        else:
            self._process.signal(("inspect", look, reply))
        return reply

    def _system(self, what: str, argument: Any) -> None:
        process = self._process
        if process is None:
            raise ActorDeadError(self, self.exit_reason)
        process.signal((what, argument, None))
