"""The command line's end of a control socket: plain blocking calls with a time limit."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dspex.control import _wire as wire
from dspex.control._errors import ControlTimeoutError, NoSystemError, WireError

__all__ = ["Client"]

_AGAIN = 0.02


class Client:
    """A connection to one system.  Not for several threads at once."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        """
        Raises:
            NoSystemError: nobody listens at `path`.
        """
        self.path = path
        self._timeout = timeout
        self._number = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        try:
            self._connect(os.fspath(path), time.monotonic() + timeout)
        except OSError as error:
            self._socket.close()
            raise NoSystemError(f"no system answers on {path} ({error.strerror or error}): see `dspex ps`") from error
        self._lines = self._socket.makefile("rb")

    def _connect(self, path: str, deadline: float) -> None:
        while True:
            try:
                return self._socket.connect(path)
            except BlockingIOError:  # so many want to be let in that the system's queue is full: not its absence
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_AGAIN)

    def request(self, op: str, **args: Any) -> Any:
        """The system's answer.

        Raises:
            OperationError: the system could not.
            ControlTimeoutError: no answer in time.
        """
        self._ask(op, args)
        _, result = wire.read_answer(self._line())
        return result

    def stream(self, op: str, **args: Any) -> Iterator[Any]:
        """Items until the system ends the stream, or `close`.  There is no limit on the time between two."""
        self._ask(op, args)
        self._socket.settimeout(None)
        while True:
            more, value = wire.read_answer(self._line())
            if not more:
                return
            yield value

    def _ask(self, op: str, args: dict[str, Any]) -> None:
        self._number += 1
        try:
            self._socket.sendall(wire.request(wire.Request(self._number, op, args)))
        except TimeoutError as error:
            raise ControlTimeoutError(
                f"the system on {self.path} did not take the request in {self._timeout} s"
            ) from error
        except OSError as error:
            raise NoSystemError(f"the system on {self.path} has gone away ({error.strerror or error})") from error

    def _line(self) -> bytes:
        try:
            line = self._lines.readline()
        except TimeoutError as error:
            raise ControlTimeoutError(f"the system on {self.path} did not answer in {self._timeout} s") from error
        except OSError as error:
            raise NoSystemError(f"the system on {self.path} has gone away ({error.strerror or error})") from error
        if not line:
            raise NoSystemError(f"the system on {self.path} has gone away")
        if not line.endswith(b"\n"):
            raise WireError("the system's answer was cut off")
        return line

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
