"""How a handler wants to be run: marks for methods, and what the runtime reads from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from actors._errors import HandlerError

__all__ = [
    "Kind",
    "blocking",
    "concurrent",
    "fiber",
    "hosting",
    "is_concurrent",
    "is_hosting",
    "kind_of",
    "validate_handler",
]

F = TypeVar("F", bound=Callable[..., Any])


class Kind(Enum):
    """Where a handler runs."""

    PLAIN = "plain"  # straight on the loop; it must not wait
    COROUTINE = "coroutine"
    FIBER = "fiber"
    BLOCKING = "blocking"


def fiber(handler: F) -> F:
    """Run this `def` handler in a fiber: it may wait, `Reply.get()` and `wait()` park it, and the loop goes on."""
    if inspect.iscoroutinefunction(handler):
        raise HandlerError(f"{handler.__qualname__} is `async def`: it can await already and needs no @fiber")
    handler.__actor_kind__ = Kind.FIBER  # type: ignore[attr-defined]
    return handler


def hosting(handler: F) -> F:
    """This handler runs code of others: when that holds the loop, it is not the handler that moves to threads.

    What is to move instead, if anything, is in the scheduler's `suspects`.
    """
    handler.__actor_hosts__ = True  # type: ignore[attr-defined]
    return handler


def blocking(handler: F) -> F:
    """Run this `def` handler on a thread of its scheduler's pool: it may block the thread."""
    if inspect.iscoroutinefunction(handler):
        raise HandlerError(f"{handler.__qualname__} is `async def`: call the blocking part with run_blocking()")
    handler.__actor_kind__ = Kind.BLOCKING  # type: ignore[attr-defined]
    return handler


def concurrent(handler: F) -> F:
    """Let calls of this handler overlap: the actor takes its next message while this one waits."""
    handler.__actor_concurrent__ = True  # type: ignore[attr-defined]
    return handler


def kind_of(handler: Any) -> Kind:
    """How `handler` is to be run."""
    kind = getattr(handler, "__actor_kind__", None)
    if kind is not None:
        return kind  # type: ignore[no-any-return]
    return Kind.COROUTINE if inspect.iscoroutinefunction(handler) else Kind.PLAIN


def is_concurrent(handler: Any) -> bool:
    """True if calls of it may overlap."""
    return getattr(handler, "__actor_concurrent__", False)


def is_hosting(handler: Any) -> bool:
    """True if it runs code of others."""
    return getattr(handler, "__actor_hosts__", False)


def validate_handler(owner: type, name: str, arguments: int) -> None:
    """Refuse, when the class is made, a handler that could not be called when a message is there.

    Raises:
        HandlerError: it takes another number of arguments.
    """
    handler = owner.__dict__.get(name)
    if handler is None or isinstance(handler, (staticmethod, classmethod, property)):
        return
    try:
        inspect.signature(handler).bind(*range(arguments + 1))
    except TypeError:
        wanted = {0: "no argument", 1: "one argument, the message"}.get(arguments, f"{arguments} arguments")
        raise HandlerError(
            f"{owner.__qualname__}.{name}{inspect.signature(handler)} cannot be a handler: it takes self and {wanted}"
        ) from None
    except ValueError:  # a callable without a signature, such as one written in C
        return
