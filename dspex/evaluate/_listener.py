"""The user's `on_event`, kept from doing harm."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


class Listener:
    """Calls ``on_event`` until it raises; that is logged, and then it is not called again: an error of a listener,
    an exit too, must not end an evaluation that was paid for.

    Raises `TypeError` for a coroutine function: nobody would await what it gives.
    """

    __slots__ = ("_on_event",)

    def __init__(self, on_event: Callable[[Any], None] | None) -> None:
        check_listener(on_event)
        self._on_event = on_event

    def __call__(self, event: Any) -> None:
        if self._on_event is None:
            return
        try:
            answer: Any = self._on_event(event)
        except BaseException:  # noqa: BLE001  a user's code, on the loop of everyone
            _log.exception("on_event raised and is not called again")
            self._on_event = None
            return
        if inspect.iscoroutine(answer):
            answer.close()
            _log.error("on_event returned a coroutine, which nobody awaits; it is not called again")
            self._on_event = None


def check_listener(on_event: Callable[[Any], None] | None) -> None:
    """Raises `TypeError` if it cannot be an ``on_event``."""
    if on_event is None:
        return
    if not callable(on_event):
        raise TypeError(f"on_event must be a function of one event, not {type(on_event).__name__}")
    call = getattr(on_event, "__call__", on_event)  # noqa: B004  an object with an async __call__
    if inspect.iscoroutinefunction(on_event) or inspect.iscoroutinefunction(call):
        raise TypeError("on_event must be a plain function: it is called on the loop, and nobody awaits it")
