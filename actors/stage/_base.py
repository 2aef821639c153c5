"""What all stages share: how a message finds its handler, whatever kind of handler that is."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any, ClassVar

from actors._async_actor import AsyncActor
from actors._errors import HandlerError
from actors._handlers import Kind, blocking, fiber, kind_of, validate_handler
from actors._local import current_fiber

__all__ = ["Stage"]


class Stage(AsyncActor):
    """Base of producers and consumers; not used itself.

    Handlers may be `def`, `async def`, `@fiber def` or `@blocking def`.  Messages that are not about events come to
    `handle_message`; what it returns answers an ask.
    """

    stage_handlers: ClassVar[dict[str, int]] = {"handle_message": 1}
    """The handlers that a stage may define, and how many arguments they take."""

    _awaits: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "on_receive" in cls.__dict__:
            raise HandlerError(
                f"{cls.__qualname__} is a stage: its own messages come to `handle_message(self, message)`"
            )
        handlers = [getattr(cls, name) for name in cls.stage_handlers if hasattr(cls, name)]
        kinds = {kind_of(handler) for handler in handlers}
        if Kind.FIBER in kinds:
            cls.on_receive = fiber(_own_copy(_receive_synchronously, cls))  # type: ignore[method-assign]
        elif Kind.BLOCKING in kinds:
            cls.on_receive = blocking(_own_copy(_receive_synchronously, cls))  # type: ignore[method-assign]
        elif Kind.COROUTINE in kinds:
            cls.on_receive = _receive  # type: ignore[method-assign, assignment]
        else:
            cls.on_receive = _own_copy(_receive_synchronously, cls)  # type: ignore[method-assign]
        super().__init_subclass__(**kwargs)
        cls._awaits = any(inspect.iscoroutinefunction(handler) for handler in handlers)
        for name, arguments in cls.stage_handlers.items():
            validate_handler(cls, name, arguments)

    def handle_message(self, message: Any) -> Any:
        """A message that is not the stages' own.  Without an override there is none that would be understood."""
        raise HandlerError(f"{type(self).__qualname__} got {message!r} and has no handle_message for it")

    async def _route(self, message: Any) -> Any:
        """Handle any message."""
        return await _result(self.handle_message(message))

    def _drop(self, what: str, count: int) -> None:
        self.scheduler.log.warning(what, stage=str(self), events=count)


async def _result(value: Any) -> Any:
    """What a handler of whatever kind has come to."""
    return await value if inspect.isawaitable(value) else value


async def _receive(self: Stage, message: Any) -> Any:
    return await self._route(message)


def _receive_synchronously(self: Stage, message: Any) -> Any:
    """In a fiber; straight on the loop; or on a pool thread, if so marked, by hand or by the watchdog."""
    work = self._route(message)
    running = current_fiber()
    if running is not None:
        return running.activity.drive(work)
    return asyncio.run(work) if self._awaits else _run_through(work)


def _run_through(work: Coroutine[Any, Any, Any]) -> Any:
    """A coroutine in which nothing waits, without a loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise HandlerError("a `def` handler of a stage returned something to be awaited: make it `async def`")


def _own_copy(function: Callable[..., Any], cls: type) -> Any:
    # The watchdog marks code, not classes, as blocking: each class needs code of its own to be marked alone.
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_name=f"on_receive of {cls.__module__}.{cls.__qualname__}")
    return FunctionType(code, function.__globals__, "on_receive")
