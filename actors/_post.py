"""The mail of an actor: a mailbox for messages and a lane for signals, open to every thread."""

from __future__ import annotations

from collections import deque
from contextvars import Context, copy_context
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import pykka
from pykka import messages

from actors._errors import ActorCrashed, ActorDeadError, BlockingOnLoopError, ForkedError, MailboxFull
from actors._exits import ExitReason, NoProcess
from actors._links import GRAPH
from actors._local import on_bare_loop
from actors._mailbox import Envelope, Gate
from actors._messages import Down, Exit, ReceiveTimeout
from actors._reply import Reply

if TYPE_CHECKING:
    from actors._ref import ActorRef
    from actors._scheduler import Scheduler

__all__ = ["Post", "State"]

_NOTICES: Final = frozenset((Down, Exit, ReceiveTimeout))
"""What the runtime tells an actor about others. That it comes too late for one that has ended is no loss."""


class State(IntEnum):
    """Where an actor is in its life.  It only ever moves on."""

    NEW = 0
    STARTING = 1
    ALIVE = 2
    STOPPING = 3
    DEAD = 4


class Post(pykka.Actor):
    """The first layer of every kind of actor: what comes in, and what becomes of it when the actor has ended.

    The law that makes it safe: a sender first puts its message in and then looks whether the actor is dead, and a
    death first says so and then empties the mailbox; so no message is ever left lying.
    """

    __slots__ = ("_gate", "_mail", "_ref", "_signals", "_state", "exit_reason", "scheduler")

    _ref: ActorRef[Any]
    _state: State
    _mail: deque[Envelope] | None
    _signals: deque[Any] | None
    _gate: Gate | None
    scheduler: Scheduler
    exit_reason: ExitReason | None

    def _mailbox(self) -> deque[Envelope]:
        mail = self._mail
        if mail is None:
            with GRAPH:
                mail = self._mail
                if mail is None:
                    mail = self._mail = deque()
        return mail

    def deliver(self, envelope: Envelope) -> None:
        """Put a message of a user into the mailbox, under its bound.  Any thread.

        Raises:
            ForkedError: this process is a fork of the one in which the actor runs.
        """
        if self.scheduler.forked:
            raise ForkedError(self.scheduler.name)
        mail = self._mail
        if mail is None:
            mail = self._mailbox()
        if self._gate is None:
            mail.append(envelope)
        elif not self._pass_gate(mail, envelope):
            return
        self._notify()
        if self._state == State.DEAD:
            self._refuse_mail()

    def _pass_gate(self, mail: deque[Envelope], envelope: Envelope) -> bool:
        assert self._gate is not None
        full = len(mail) >= self._gate.bound.limit
        must_wait = full and self._gate.bound.overflow == "wait" and envelope[1] is None
        if must_wait and on_bare_loop():
            raise BlockingOnLoopError(f"tell() to the full mailbox of {self}")
        accepted, turn, thrown_out = self._gate.admit(mail, envelope)
        if thrown_out is not None and thrown_out[1] is not None:
            thrown_out[1].set_exception(MailboxFull(self._ref, self._gate.bound.limit))
        if not accepted:
            error = MailboxFull(self._ref, self._gate.bound.limit)
            if envelope[1] is None:
                raise error
            envelope[1].set_exception(error)
            return False
        if turn is not None:
            self._notify()
            if self._state == State.DEAD:
                self._refuse_mail()
            if envelope[1] is None:
                turn.get()
        return True

    def deliver_notice(self, message: Any, reply: Reply[Any] | None = None, context: Context | None = None) -> None:
        """Put a message of the runtime into the mailbox: it passes the bound, not the queue.  Any thread."""
        if self.scheduler.forked:
            raise ForkedError(self.scheduler.name)
        if context is None:
            context = Context() if reply is None else copy_context()
        self._mailbox().append((message, reply, context))
        self._notify()
        if self._state == State.DEAD:
            self._refuse_mail()

    def signal(self, signal: tuple[str, Any, Any]) -> None:
        """Put a signal into the system lane, which passes all mail.  Any thread."""
        if self.scheduler.forked:
            raise ForkedError(self.scheduler.name)
        if self._signals is None:
            with GRAPH:
                if self._signals is None:
                    self._signals = deque()
        self._signals.append(signal)
        self._notify_signal(signal)
        if self._state == State.DEAD:
            self._refuse_signals()

    def _notify(self) -> None:
        """There is mail: see to it that it is handled.  Any thread."""
        raise AssertionError("a kind of actor says how it is woken")

    def _notify_signal(self, signal: tuple[str, Any, Any]) -> None:
        """This signal has come: see to it even if a handler is waiting.  Any thread.

        It is told which, because it may have been taken out of the lane, or another put in, by now.
        """
        raise AssertionError("a kind of actor says how it is woken")

    def _refuse_mail(self) -> None:
        mail = self._mail
        if mail is not None:
            while True:
                try:
                    envelope = mail.popleft()
                except IndexError:
                    break
                self._refuse(envelope)
        if self._gate is not None:
            self._gate.close(self._refuse, lambda: ActorDeadError(self._ref, self.exit_reason))

    def _refuse(self, envelope: Envelope) -> None:
        message, reply, _ = envelope
        if type(message) is messages._ActorStop:
            if reply is not None:
                reply.set(True)
        elif self._saved(envelope):
            return
        elif reply is not None:
            reply.set_exception(ActorCrashed(self._ref, self.exit_reason or NoProcess()))
        elif type(message) not in _NOTICES:
            self.scheduler.dead_letter(self._ref, message)

    def _saved(self, envelope: Envelope) -> bool:
        try:
            return self.on_undelivered(*envelope)
        except Exception:
            self.scheduler.log.exception("on_undelivered raised", actor=str(self))
            return False

    def on_undelivered(self, message: Any, reply: Reply[Any] | None, context: Context) -> bool:
        """A message that it had not taken up when it ended.  Override it to save such messages.

        True says that it is taken care of, its reply included.  Otherwise the asker gets `ActorCrashed`, and a message
        without a reply is a dead letter.  In whatever thread the actor ends; must not wait.  If it raises, that is
        logged and the message counts as not saved.
        """
        return False

    def _refuse_signals(self) -> None:
        signals = self._signals
        while signals:
            try:
                _, _, reply = signals.popleft()
            except IndexError:
                return
            if isinstance(reply, Reply):
                reply.set_exception(ActorDeadError(self._ref, self.exit_reason))
