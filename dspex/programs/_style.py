"""Which of a module's two ways of running is meant: `forward`, `aforward`, or either."""

from __future__ import annotations

import enum
from functools import partial
from types import CodeType
from typing import Any

__all__ = ["Style", "code_of", "style_of", "style_of_class"]


class Style(enum.Enum):
    """How a module is written."""

    SYNC = "sync"  # `forward` only, or overridden below an inherited `aforward`
    ASYNC = "async"  # the other way round
    BOTH = "both"  # both in one class: the caller's kind decides
    NONE = "none"


def style_of_class(cls: type) -> Style:
    """The style of a class: of two methods the one of the more derived class is meant."""
    for owner in cls.__mro__:
        sync, other = "forward" in owner.__dict__, "aforward" in owner.__dict__
        if sync and other:
            return Style.BOTH
        if sync:
            return Style.SYNC
        if other:
            return Style.ASYNC
    return Style.NONE


def style_of(module: Any) -> Style:
    """The style of a module; methods put on the instance count as the most derived ones.

    Raises:
        TypeError: it has neither method.
    """
    own = module.__dict__
    if "forward" in own or "aforward" in own:
        sync, other = "forward" in own, "aforward" in own
        return Style.BOTH if sync and other else Style.SYNC if sync else Style.ASYNC
    style: Style = type(module).__dspex_style__
    if style is Style.NONE:
        name = type(module).__name__
        raise TypeError(
            f"{name} cannot be called: define `forward(self, ...)` or `async def aforward(self, ...)` in it."
        )
    return style


def code_of(function: Any) -> CodeType | None:
    """The code of a function, a method or an object that is called, beneath its decorators; None for what has none."""
    while isinstance(function, partial):
        function = function.func
    if not hasattr(function, "__code__"):
        function = getattr(function, "__call__", function)  # noqa: B004  it is not asked whether it has one
    function = getattr(function, "__func__", function)
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return getattr(function, "__code__", None)
