"""The process that computes a metric. Started by `_metric_process`, never imported by the library.

It says that it is ready with an empty answer, then answers one request after the other.

Lives until its standard input ends, which happens when the parent closes it and when the parent dies. A thread
watches for that too, so that a metric in an endless loop does not outlive the parent.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import threading
import time
from multiprocessing import spawn
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the metric prints must not get into the answers
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    first = _read(source)
    if first is None:
        return
    preparation, pickled = pickle.loads(first)
    metric: Any = None
    broken: BaseException | None = None
    try:
        spawn.prepare(preparation)
        metric = pickle.loads(pickled)
    except BaseException as error:  # noqa: BLE001  whatever importing the user's module raises is the answer to every request
        broken = error
    # What verdicts need and what requests are made of is imported here, before any request is timed.
    from dspex.evaluate import _metric_errors, _verdict  # noqa: F401
    from dspex.primitives import Example, Prediction  # noqa: F401
    from dspex.signatures import Signature  # noqa: F401  of the answer's completions

    _write(sink, b"")
    while (request := _read(source)) is not None:
        answer = _judged(metric, request) if broken is None else _failed(broken)
        _write(sink, answer)


def _judged(metric: Any, request: bytes) -> bytes:
    from dspex.evaluate._verdict import as_score

    try:
        example, prediction = pickle.loads(request)
        return pickle.dumps((True, as_score(metric(example, prediction))))
    except Exception as error:  # noqa: BLE001  the metric's own error is its answer
        return _failed(error)


def _failed(error: BaseException) -> bytes:
    from dspex.evaluate._metric_errors import MetricError

    told = (
        error if isinstance(error, MetricError) else MetricError(f"the metric raised {type(error).__name__}: {error}")
    )
    told.__cause__ = None
    return pickle.dumps((False, told))


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
    os._exit(1)


if __name__ == "__main__":
    main()
