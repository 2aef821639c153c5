"""Ctrl-C and SIGTERM as an orderly end: for programs that ask for it."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["STOPPING", "cancelled_by_signal", "next_signal", "raised_by_sigterm"]

STOPPING = (signal.SIGINT, signal.SIGTERM)


def _in_main_thread(what: str) -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"{what} needs the main thread, where Python delivers signals: call it there, or call close() yourself"
        )


def next_signal(signals: Iterable[signal.Signals] = STOPPING) -> signal.Signals:
    """Wait for one of the signals.  A second one, while the first is being answered, has its usual effect again.

    Raises:
        RuntimeError: not in the main thread.
    """
    _in_main_thread("waiting for a signal")
    caught: list[int] = []
    # A pipe, because a handler runs between any two bytecodes of this very thread: a lock could deadlock it.
    reader, writer = os.pipe()

    def note(number: int, frame: FrameType | None) -> None:
        if not caught:
            caught.append(number)
            os.write(writer, b"x")

    previous = {each: signal.signal(each, note) for each in signals}
    try:
        while not caught:
            select.select([reader], [], [])
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
        os.close(reader)
        os.close(writer)
    return signal.Signals(caught[0])


@contextmanager
def raised_by_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit(143) in the main thread, as Ctrl-C raises KeyboardInterrupt: `with` blocks are left
    in order.

    Raises:
        RuntimeError: not in the main thread.
    """
    _in_main_thread("handle_signals=True")

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, previous)  # a second one is meant as it is
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def cancelled_by_signal() -> Iterator[list[signal.Signals]]:
    """SIGTERM cancels the running task; the list then holds the signal.  (Ctrl-C does so by asyncio's own hand.)

    Raises:
        RuntimeError: not in the main thread.
    """
    _in_main_thread("handle_signals=True")
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    caught: list[signal.Signals] = []

    def cancel() -> None:
        caught.append(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGTERM)
        if task is not None:
            task.cancel()

    previous: Any = signal.getsignal(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, cancel)
    try:
        yield caught
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, previous)
