"""The user's `on_event`, kept from doing harm."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


class Listener:
    """Calls ``on_event`` until it raises; that is logged, and then it is not called again: an error of a listener
    must not end an evaluation that was paid for."""

    __slots__ = ("_on_event",)

    def __init__(self, on_event: Callable[[Any], None] | None) -> None:
        self._on_event = on_event

    def __call__(self, event: Any) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001  a user's code
            _log.exception("on_event raised and is not called again")
            self._on_event = None
