"""Metrics in OS processes: what cannot be stopped or trusted in this process can be killed in another.

Each process computes one verdict at a time. One that dies, or is killed because the example's time is up, is
replaced; the example fails (`MetricCrashedError`) and nothing else does. The processes are spawned, never forked: they
share no threads, locks or sockets with us, and end when this process does.
"""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing import spawn
from typing import IO, TYPE_CHECKING, Any, cast

from actors import Reply, Timeout

from ._metric_errors import MetricCrashedError, MetricError

if TYPE_CHECKING:
    from actors import Scheduler

_LENGTH = struct.Struct("<Q")
_BEGINNING = 60.0  # seconds that a process has to start and to import the metric's module
_CHILD = "import sys; sys.path[:] = {path!r}; from dspex.evaluate._metric_child import main; main()"


class MetricProcesses:
    """``count`` processes that compute ``metric``. They start at once, side by side, and again when one has ended."""

    def __init__(self, metric: Callable[..., Any], count: int, scheduler: Scheduler) -> None:
        if count < 1:
            raise ValueError("metric_processes must be 1 or more")
        self._metric = _pickled(metric)
        self._scheduler = scheduler
        self._idle: deque[_Child | None] = deque()
        self._waiting: deque[Reply[_Child | None]] = deque()
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._idle.extend(self._add() for _ in range(count))

    def score(self, example: Any, prediction: Any, timeout: float | None = None) -> float:
        """The metric's verdict. For a fiber: it parks, first for a free process, then for the answer.

        ``timeout`` bounds the second only: whoever waits behind a metric that hangs, or for a process to start, does
        not pay for it. Raises `TimeoutError`, `MetricCrashedError`, or the `MetricError` that the process answered.
        """
        try:
            request = pickle.dumps((example, prediction), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise MetricError(
                f"the example or its prediction cannot be sent to the metric's process: {error}"
            ) from error
        child = self._acquired()
        try:
            if not child.is_ready:
                child.begun.get(timeout=_BEGINNING)
            answer = self._scheduler.run_blocking(child.ask, request).get(timeout=timeout)
        except Timeout:
            self._replace(child)
            what = f"took longer than {timeout} s" if child.is_ready else f"had no process within {_BEGINNING:g} s"
            raise TimeoutError(f"the metric {what}, and its process was ended") from None
        except BaseException:
            self._replace(child)
            raise
        self._free(child)
        ok, value = pickle.loads(answer)
        if ok:
            return float(value)
        raise value

    def close(self) -> None:
        """End all processes. Any thread; what they still compute is lost."""
        with self._lock:
            self._closed = True
            children, self._children = self._children, set()
        for child in children:
            child.kill(wait=False)
        for child in children:
            child.kill()

    def _acquired(self) -> _Child:
        reply = self._acquire()
        try:
            return reply.get() or self._add()
        except BaseException:
            if not reply.set(None):  # it came just when this fiber was ended: the next one may have it
                self._free(reply.get())
            raise

    def _acquire(self) -> Reply[_Child | None]:
        with self._lock:
            if self._idle:
                return Reply.of(self._idle.pop())
            reply: Reply[_Child | None] = Reply()
            self._waiting.append(reply)
            return reply

    def _free(self, child: _Child | None) -> None:
        with self._lock:
            while self._waiting:
                if self._waiting.popleft().set(child):
                    return
            self._idle.append(child)

    def _add(self) -> _Child:
        child = _Child(self._metric)
        with self._lock:
            if self._closed:
                child.kill()
            else:
                self._children.add(child)
        child.begun = self._scheduler.run_blocking(child.begin)
        return child

    def _replace(self, child: _Child) -> None:
        with self._lock:
            self._children.discard(child)
        child.kill(wait=False)
        self._scheduler.run_blocking(child.kill)  # to wait for it: not on the loop
        self._free(None)


class _Child:
    """One process. Its standard input and output carry pickles, each after its length."""

    begun: Reply[None]  # set when it is ready, or could not be started

    def __init__(self, metric: bytes) -> None:
        self._metric = metric
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._lock = threading.Lock()
        self.is_ready = False

    def begin(self) -> None:
        """Start it, and wait until it has the metric. Blocks."""
        with self._lock:
            if self._killed:
                raise MetricCrashedError("the evaluation has ended")
            command = [sys.executable, "-c", _CHILD.format(path=list(sys.path))]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ask(self._metric)
        self.is_ready = True

    def ask(self, request: bytes) -> bytes:
        """Send a request and wait for the answer; `MetricCrashedError` if the process ends first. Blocks."""
        process = self._process
        assert process is not None, "begin comes first"
        try:
            return self._exchange(process, _framed(request))
        except (OSError, ValueError, EOFError):
            pass  # the pipe is broken or was closed: the process is gone, and says why below
        code = process.wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise MetricCrashedError(f"the process that computed the metric ended ({cause})", exitcode=code)

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], data: bytes) -> bytes:
        source, sink = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stdin)
        sink.write(data)
        sink.flush()
        header = source.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            raise EOFError
        (length,) = _LENGTH.unpack(header)
        answer = source.read(length)
        if len(answer) < length:
            raise EOFError
        return answer

    def kill(self, wait: bool = True) -> None:
        """End it, whatever it does. ``wait`` until it is gone, and give its pipes back."""
        with self._lock:
            self._killed = True
            process = self._process
        if process is None:
            return
        process.kill()
        if not wait:
            return
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except (OSError, ValueError):
                pass  # unsent data, or a thread that still reads


def _framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _pickled(metric: Callable[..., Any]) -> bytes:
    try:
        found = pickle.dumps(metric, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        name = getattr(metric, "__qualname__", repr(metric))
        raise TypeError(
            f"metric_executor='process' sends the metric to another process, and {name} cannot be pickled ({error}): "
            "define it at the top level of a module, not as a lambda or inside a function"
        ) from error
    # A metric of the main script needs that script: it is imported there under another name, as multiprocessing does.
    preparation = spawn.get_preparation_data("metric") if getattr(metric, "__module__", "") == "__main__" else {}
    preparation.pop("authkey", None)
    return pickle.dumps((preparation, found), pickle.HIGHEST_PROTOCOL)
