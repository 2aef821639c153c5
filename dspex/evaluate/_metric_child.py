"""The process that computes a metric. Started by `_metric_spawn`, never imported by the library.

It says that it is ready, or why it will never be, then answers one request after the other. An empty request has it
import the parent's main script: the next one holds something of it.

It serves on a socket of its own: what the metric prints goes to standard error, what it reads is empty, and so it is
for the processes that it starts. It lives until the parent closes the socket, or is gone: a thread watches for that
too, so that a metric in an endless loop does not outlive the parent.
"""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import struct
import sys
import threading
import time
import traceback
from multiprocessing import current_process, spawn
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


def main(line: int, parent: int) -> None:
    """Serve on this file descriptor until there are no more requests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business, which has blocked it until here
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    os.set_inheritable(line, False)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is killed with what it has not written
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    try:
        with os.fdopen(line, "rb") as source, os.fdopen(os.dup(line), "wb") as sink:
            _serve(source, sink)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone, or has no use for us any more


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    first = _read(source)
    if first is None:
        return
    metric = _Metric(first)
    # What verdicts need and what requests are made of is imported here, before any request is timed.
    from dspex.evaluate import _metric_call, _verdict  # noqa: F401
    from dspex.primitives import Example, Prediction  # noqa: F401
    from dspex.signatures import Signature  # noqa: F401  of the answer's completions

    _write(sink, _told(metric.load))
    while (request := _read(source)) is not None:
        if request:
            _write(sink, _told(metric.judge, request))
        else:
            metric.import_main()
            _write(sink, b"")


class _Metric:
    """The metric, and the main script in which it, or what it is given, may be defined."""

    def __init__(self, first: bytes) -> None:
        surroundings, self._main, self._is_of_main, self._pickled = pickle.loads(first)
        self._has_main = False
        self._main_error: Exception | None = None
        self._function: Any = None
        spawn.prepare(surroundings)

    def load(self) -> None:
        """Have the metric. Raises `MetricError` if it cannot be had here."""
        if self._is_of_main:
            self.import_main()
        self._function = self._loads(self._pickled, "the metric")

    def import_main(self) -> None:
        """Run the parent's main script as a module, as multiprocessing does. Whether that failed is told by who looks
        for something in it."""
        from dspex._main_import import importing_main
        from dspex.evaluate._metric_errors import MetricError

        if self._has_main:
            return
        self._has_main = True
        process = current_process()
        process._inheriting = True  # type: ignore[attr-defined]  # multiprocessing's own mark, for the same guard
        mark = importing_main.set(True)
        try:
            spawn.prepare(self._main)
        except BaseException as error:  # noqa: BLE001  whatever the user's script raises
            self._main_error = MetricError(
                f"the metric's process cannot import the main script: {_as_text(error)}. "
                'Put what the script does when it is run under `if __name__ == "__main__":`'
            )
            self._main_error.add_note(f"in the metric's process:\n{traceback.format_exc()}")
        finally:
            importing_main.reset(mark)
            del process._inheriting  # type: ignore[attr-defined]

    def judge(self, request: bytes) -> float:
        """The verdict. Raises `MetricError`, and what is no `Exception`."""
        from dspex.evaluate._metric_call import metric_arguments
        from dspex.evaluate._metric_errors import MetricError
        from dspex.evaluate._verdict import as_score

        example, prediction = self._loads(request, "the example or its prediction")
        try:
            verdict = self._function(*metric_arguments(self._function, example, prediction))
            if inspect.iscoroutine(verdict):
                verdict.close()
                raise MetricError(
                    "the metric is `async`: leave metric_executor out, and it is awaited where it is called"
                )
            return as_score(verdict)
        except Exception as error:
            if type(error) is MetricError:
                raise
            raise MetricError(f"the metric raised {_as_text(error)}") from error

    def _loads(self, data: bytes, what: str) -> Any:
        from dspex.evaluate._metric_errors import MetricError

        try:
            return pickle.loads(data)
        except BaseException as error:  # it imports the user's modules
            if self._main_error is not None:
                raise self._main_error from None
            raise MetricError(
                f"{what} cannot be read in the metric's process: {_as_text(error)}. All that it is made of must be "
                'found there by its name: at the top level of a module, and not under `if __name__ == "__main__":`'
            ) from error


def _as_text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _told(work: Any, *arguments: Any) -> bytes:
    from dspex.evaluate._metric_errors import MetricError

    try:
        return pickle.dumps((True, work(*arguments)))
    except MetricError as error:  # its cause may be known in this process only
        error.__cause__ = None
        return pickle.dumps((False, error))


def _read(source: IO[bytes]) -> bytes | None:
    header = source.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(header)
    data = source.read(length)
    return data if len(data) == length else None


def _write(sink: IO[bytes], data: bytes) -> None:
    sink.write(_LENGTH.pack(len(data)) + data)
    sink.flush()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)  # ours: with what the metric has started
