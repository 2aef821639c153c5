"""Wakes a loop from another thread, cheaper than `call_soon_threadsafe` does.

That makes a handle, takes a lock, writes a byte, and reads until the socket says no; here a ring is one write and
waking up one read.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

__all__ = ["Bell"]

_ONE = (1).to_bytes(8, "little")


class Bell:
    """`ring` from any thread calls `answer` on the loop, once for any number of rings before it does."""

    __slots__ = ("_answer", "_closing", "_loop", "_reader", "_writer")

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
        self._loop = loop
        self._answer = answer
        self._closing = threading.Lock()
        if hasattr(os, "eventfd"):
            self._reader = self._writer = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:  # not Linux
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
        loop.add_reader(self._reader, self._heard)

    def ring(self) -> None:
        """Wake the loop.  Without effect once the bell is closed."""
        with self._closing:
            if self._writer >= 0:
                try:
                    os.write(self._writer, _ONE)
                except BlockingIOError:
                    pass  # full of rings: it will be heard

    def _heard(self) -> None:
        self._answer()
        try:
            os.read(self._reader, 4096)
        except BlockingIOError:
            pass  # another ring was heard together with this one
        self._answer()  # to a ring between the answer and the read, which the read has swallowed

    def close(self) -> None:
        """On the loop, when it has stopped."""
        self._loop.remove_reader(self._reader)
        with self._closing:  # a ring must not be written into a file that got the number meanwhile
            reader, writer = self._reader, self._writer
            self._reader = self._writer = -1
            os.close(reader)
            if writer != reader:
                os.close(writer)
