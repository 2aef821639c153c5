"""What can go wrong with supervisors.  Every error says what to do next."""

from __future__ import annotations

from typing import Any

from actors import ExitReason

__all__ = [
    "AdoptionError",
    "BadCombinationError",
    "ChildError",
    "ChildNotFoundError",
    "ChildPresentError",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildStartError",
    "ChildStartedError",
    "DuplicateChildError",
    "MaxChildrenError",
    "SpecError",
    "SupervisionError",
    "TaskFailedError",
    "TaskOwnerError",
    "TaskTimeoutError",
    "TemplateError",
]


class SupervisionError(Exception):
    """Root of the errors of this package."""


class SpecError(SupervisionError, ValueError):
    """A child spec or a supervisor's flags hold a value that makes no sense: `field` is `value`, not
    `expected`.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field = field
        self.value = value
        self.expected = expected
        super().__init__(f"{field} is {value!r}, but it must be {expected}")


class DuplicateChildError(SpecError):
    """Two children of one supervisor have the same id."""

    def __init__(self, child_id: object) -> None:
        super().__init__("id", child_id, "unique among the children of one supervisor: rename one of the two")


class BadCombinationError(SpecError):
    """Two values are right, each for itself, and contradict each other."""

    def __init__(self, field: str, value: object, other: str, other_value: object, advice: str) -> None:
        self.other = other
        self.other_value = other_value
        super().__init__(field, value, f"another value while {other} is {other_value!r}: {advice}")


class ChildError(SupervisionError):
    """A call named a child that is not in a state to serve it.  `child` is the id or ref that was given."""

    def __init__(self, child: object, text: str) -> None:
        self.child = child
        super().__init__(f"child {child!r} {text}")


class ChildNotFoundError(ChildError):
    """The supervisor has no such child."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is not a child of this supervisor: look at which_children()")


class ChildRunningError(ChildError):
    """The call needs a child that is down, and this one runs."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is running: call terminate_child() first")


class ChildRestartingError(ChildError):
    """The call needs a child that is down, and this one is about to be started again."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "is being restarted: call terminate_child() first, it cancels the restart")


class ChildPresentError(ChildError):
    """`start_child` with an id that exists and is not running."""

    def __init__(self, child: object) -> None:
        super().__init__(child, "already exists and is down: call restart_child(), or delete_child() before")


class ChildStartedError(ChildError):
    """`start_child` with an id that is running, as `ref`."""

    def __init__(self, child: object, ref: Any) -> None:
        self.ref = ref
        super().__init__(child, f"is already running as {ref}: give the new child another id")


class ChildStartError(ChildError):
    """The start function of a child failed with `reason`.  Nothing of the child is kept by `start_child`."""

    def __init__(self, child: object, reason: ExitReason) -> None:
        self.reason = reason
        super().__init__(child, f"did not start: {reason}")
        self.__cause__ = getattr(reason, "exception", None)


class AdoptionError(ChildError):
    """`adopt` of an actor that cannot become the child of the supervisor that is starting it."""

    def __init__(self, child: object, reason: str) -> None:
        self.reason = reason
        super().__init__(child, f"cannot be adopted: {reason}; start another one")


class MaxChildrenError(SupervisionError):
    """A dynamic supervisor is full."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the supervisor has {limit} children, its max_children: try later, or raise the limit")


class TemplateError(SupervisionError):
    """A call by id to a supervisor whose children are made from one template and have no ids."""

    def __init__(self, call: str) -> None:
        self.call = call
        super().__init__(f"{call} by id does not exist under simple_one_for_one: use terminate_child(sup, ref)")


class TaskFailedError(SupervisionError):
    """A task that was awaited ended without an answer.

    `reason` says why; `__cause__` is its exception, if any.
    """

    def __init__(self, reason: ExitReason) -> None:
        self.reason = reason
        super().__init__(f"the task ended without an answer: {reason}")
        self.__cause__ = getattr(reason, "exception", None)


class TaskTimeoutError(SupervisionError, TimeoutError):
    """A task was not ready in time.

    It goes on, unless it is linked to the caller: shut it down when unwanted.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(f"the task did not answer within {timeout} s: wait longer, or call task.shutdown()")


class TaskOwnerError(SupervisionError):
    """A task was awaited by somebody else than the actor that started it."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        super().__init__(f"only {owner}, which started the task, may wait for it: send it a message instead")
