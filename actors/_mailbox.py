"""Bounded mailboxes: what happens to a message when there is no room.

An unbounded mailbox is a plain deque that the actor makes at its first message; only a bounded one needs more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from actors._reply import Reply

__all__ = ["Bounded", "Envelope", "Gate", "Overflow"]

Envelope: TypeAlias = tuple[Any, "Reply[Any] | None", Context]
"""Message, where the answer goes, and the sender's context."""

Overflow: TypeAlias = Literal["wait", "reject", "drop_oldest"]


@dataclass(frozen=True, slots=True)
class Bounded:
    """A mailbox of at most `limit` waiting messages.

    When it is full, `wait` holds the sender of a `tell` back (thread or fiber; a question simply waits its turn),
    `reject` raises `MailboxFull` at the sender, `drop_oldest` throws the oldest message away and counts it.
    Exit signals, `Down` and the other messages of the runtime are never counted nor refused.
    """

    limit: int
    overflow: Overflow = "reject"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"a mailbox bound must be at least 1, not {self.limit}")
        if self.overflow not in ("wait", "reject", "drop_oldest"):
            raise ValueError(f"overflow must be 'wait', 'reject' or 'drop_oldest', not {self.overflow!r}")


class Gate:
    """The bound of one mailbox at work.  Thread-safe."""

    __slots__ = ("_lock", "_waiting", "bound", "dropped", "rejected")

    def __init__(self, bound: Bounded) -> None:
        self.bound = bound
        self.dropped = 0
        self.rejected = 0
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Envelope, Reply[None]]] = deque()

    def admit(self, mail: deque[Envelope], envelope: Envelope) -> tuple[bool, Reply[None] | None, Envelope | None]:
        """Put it in if the policy allows: (accepted, reply to wait for, envelope that was thrown out)."""
        with self._lock:
            if len(mail) < self.bound.limit and not self._waiting:
                mail.append(envelope)
                return True, None, None
            if self.bound.overflow == "reject":
                self.rejected += 1
                return False, None, None
            if self.bound.overflow == "drop_oldest":
                self.dropped += 1
                oldest = mail.popleft() if mail else None
                mail.append(envelope)
                return True, None, oldest
            turn: Reply[None] = Reply()
            self._waiting.append((envelope, turn))
            return True, turn, None

    def refill(self, mail: deque[Envelope]) -> None:
        """A message was taken out: let in who waits."""
        if not self._waiting:
            return
        let_in = []
        with self._lock:
            while self._waiting and len(mail) < self.bound.limit:
                envelope, turn = self._waiting.popleft()
                mail.append(envelope)
                let_in.append(turn)
        for turn in let_in:
            turn.set(None)

    def close(self, refuse: Callable[[Envelope], None], error: Callable[[], BaseException]) -> None:
        """The actor has ended: nobody gets in any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for envelope, turn in waiting:
            turn.set_exception(error())
            refuse(envelope)

    @property
    def waiting(self) -> int:
        """How many messages wait outside."""
        return len(self._waiting)
