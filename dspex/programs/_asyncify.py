"""`asyncify` and `syncify`: DSPy's names for what a module here is anyway, and what a plain function is not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from actors import wait
from dspex.programs._running import call_function

__all__ = ["asyncify", "syncify"]


def asyncify(program: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """`await asyncify(program)(...)`, on any event loop: a module's `acall`; a function runs in a fiber, or on a
    thread once it is seen to block, with the settings of the caller.
    """
    acall: Callable[..., Awaitable[Any]] | None = getattr(program, "acall", None)
    if acall is not None:
        return acall

    async def call(*args: Any, **inputs: Any) -> Any:
        return await call_function(program, *args, **inputs)

    return functools.update_wrapper(call, program)


def syncify(program: Any, in_place: bool = True) -> Any:
    """A module is called either way already: it comes back, or a copy of it. A coroutine function becomes one that
    blocks its thread, or parks its fiber.

    Raises:
        TypeError: it is neither.
    """
    if hasattr(program, "acall"):
        return program if in_place else program.deepcopy()
    if not inspect.iscoroutinefunction(program):
        raise TypeError(f"syncify() takes a module or a coroutine function, not {program!r}.")

    def call(*args: Any, **inputs: Any) -> Any:
        return wait(program(*args, **inputs))

    return functools.update_wrapper(call, program)
