"""What can go wrong with actors.  Every error says what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pykka

from actors._exits import Crash, ExitReason, NoProcess

if TYPE_CHECKING:
    from actors._ref import ActorRef

__all__ = [
    "ActorCrashed",
    "ActorDeadError",
    "ActorError",
    "BlockingOnLoopError",
    "ForkedError",
    "HandlerError",
    "Ignore",
    "MailboxFull",
    "NameTakenError",
    "NoSchedulerError",
    "Reject",
    "StartError",
    "StopActor",
    "Timeout",
    "UnpicklableMessageError",
]

Timeout = pykka.Timeout


class ActorError(Exception):
    """Root of the errors of this package, but for the two that are Pykka's own."""


class ActorDeadError(pykka.ActorDeadError, ActorError):
    """A message was sent to an actor that has ended.  `reason` says why it did."""

    def __init__(self, ref: ActorRef[Any] | None, reason: ExitReason | None = None) -> None:
        self.ref = ref
        self.reason = reason if reason is not None else NoProcess()
        super().__init__(f"{ref} is not running ({self.reason})")


class ActorCrashed(ActorDeadError):
    """The actor ended before it answered.  `reason` says why; `__cause__` is the exception, if there was one."""

    def __init__(self, ref: ActorRef[Any] | None, reason: ExitReason) -> None:
        super().__init__(ref, reason)
        self.args = (f"{ref} ended before it answered: {reason}",)
        if isinstance(reason, Crash):
            self.__cause__ = reason.exception


class StartError(ActorError):
    """The actor did not start: `on_start` failed, took too long, or its constructor raised."""

    def __init__(self, actor_class: type, reason: ExitReason) -> None:
        self.actor_class = actor_class
        self.reason = reason
        super().__init__(f"{actor_class.__qualname__} did not start: {reason}")
        if isinstance(reason, Crash):
            self.__cause__ = reason.exception


class NameTakenError(ActorError):
    """The name belongs to a living actor, which is `ref`."""

    def __init__(self, name: object, ref: ActorRef[Any]) -> None:
        self.name = name
        self.ref = ref
        super().__init__(f"the name {name!r} is taken by {ref}: stop that actor first, or choose another name")


class MailboxFull(ActorError):
    """The mailbox is bounded, full, and its policy is to reject."""

    def __init__(self, ref: ActorRef[Any], limit: int) -> None:
        self.ref = ref
        self.limit = limit
        super().__init__(
            f"the mailbox of {ref} holds {limit} messages and takes no more: send later, or raise its bound"
        )


class BlockingOnLoopError(ActorError):
    """Code on the bare event loop asked to block: the loop would wait for itself for ever."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} would block the event loop that has to do the work: `await` it in an `async def` handler, "
            "or mark the handler with @fiber so that it can wait"
        )


class NoSchedulerError(ActorError):
    """No scheduler is running here and none can be made."""


class ForkedError(NoSchedulerError):
    """A scheduler was used in a forked child: its thread lives in the parent only."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"scheduler {name!r} was started before this process was forked and does not run here: "
            "start a scheduler after the fork (in a web server: in each worker, at its startup)"
        )


class HandlerError(ActorError, TypeError):
    """An actor class declares a handler that cannot be called as one."""


class UnpicklableMessageError(ActorError, TypeError):
    """A message for another OS process cannot be pickled."""


class Reject(Exception):
    """Raise it in a handler to answer with an error and live on.

    The asker gets `error` itself; a `tell` has nobody to tell and the rejection is only counted.
    """

    def __init__(self, error: BaseException | str) -> None:
        self.error = RuntimeError(error) if isinstance(error, str) else error
        super().__init__(self.error)


class Ignore(Exception):
    """Raise it in `on_start` to say: nothing to do here.  The start succeeds without an actor."""


class StopActor(BaseException):
    """What `self.exit(reason)` raises: ends the handler and the actor."""

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason
        super().__init__(reason)
