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

from actors import NoSchedulerError, Reply, Timeout

from ._metric_errors import MetricCrashedError, MetricError

if TYPE_CHECKING:
    from actors import Scheduler

_LENGTH = struct.Struct("<Q")
_BEGINNING = 60.0  # seconds that a process has to start and to import the metric's module
_CHILD = "import sys; sys.path[:] = {path!r}; from dspex.evaluate._metric_child import main; main()"


class MetricProcesses:
    """``count`` processes that compute ``metric``. They start at once, side by side, and again when one has ended.

    A process at work has a thread that gives it one request after the other: between two of them it waits for that
    thread only, not for the loop.
    """

    def __init__(self, metric: Callable[..., Any], count: int, scheduler: Scheduler) -> None:
        if count < 1:
            raise ValueError("metric_processes must be 1 or more")
        self._metric = _pickled(metric)
        self._scheduler = scheduler
        self._idle: deque[_Child | None] = deque()  # None: one that has ended, and is started again when it is wanted
        self._waiting: deque[_Request] = deque()
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
            request = _Request(pickle.dumps((example, prediction), pickle.HIGHEST_PROTOCOL))
        except Exception as error:
            raise MetricError(
                f"the example or its prediction cannot be sent to the metric's process: {error}"
            ) from error
        try:
            self._hand_in(request)
            request.begun.get()
            answer = request.answer.get(timeout=timeout)
        except BaseException as error:
            child = request.give_up()
            if child is not None:
                child.kill(wait=False)
            if not isinstance(error, Timeout):
                raise
            raise TimeoutError(f"the metric took longer than {timeout} s, and its process was ended") from None
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

    def _hand_in(self, request: _Request) -> None:
        with self._lock:
            self._waiting.append(request)
            if not self._idle:
                return
            child = self._idle.pop()
        try:
            self._scheduler.run_blocking(self._serve, child)
        except BaseException:
            with self._lock:
                self._idle.append(child)
            raise

    def _serve(self, child: _Child | None) -> None:
        """Answer requests by this process, and by another when it has ended, for as long as there are any. Blocks."""
        last: _Request | None = None  # its fiber is woken, which takes a while, when the process has the next one
        while (request := self._next(child)) is not None:
            if child is None:
                child = self._add()
            if not request.take(child):
                continue
            if self._exchange(request, child, last):
                last = request
            else:  # the process has ended, or who gave the request up is ending it
                request.tell()
                last = None
                with self._lock:
                    self._children.discard(child)
                child.kill()
                child = None
        if last is not None:
            last.tell()

    @staticmethod
    def _exchange(request: _Request, child: _Child, last: _Request | None) -> bool:
        """Have the process answer; whether it can take another request."""
        error: Exception
        try:
            try:
                child.begun.get(timeout=_BEGINNING)
                child.send(request.data)
            finally:
                if last is not None:
                    last.tell()
            request.begun.set(None)
            return request.settle(child.receive(), None)
        except Timeout:
            error = TimeoutError(f"the metric had no process within {_BEGINNING:g} s")
        except Exception as raised:  # noqa: BLE001  whatever kept it from answering is the answer
            error = raised
        request.settle(b"", error)
        return False

    def _next(self, child: _Child | None) -> _Request | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(child)
            return None

    def _add(self) -> _Child:
        child = _Child(self._metric)
        with self._lock:
            if self._closed:
                child.kill()
            else:
                self._children.add(child)
        try:
            child.begun = self._scheduler.run_blocking(child.begin)
        except NoSchedulerError as error:  # no thread: who asks this process is told so
            child.begun = Reply.failed(error)
        return child


class _Request:
    """A verdict that is wanted. Of the process that is at it and the fiber that gives it up, the first one is right."""

    __slots__ = ("_child", "_is_over", "_lock", "_outcome", "answer", "begun", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.begun: Reply[None] = Reply()  # a process has it
        self.answer: Reply[bytes] = Reply()
        self._outcome: tuple[bytes, Exception | None]
        self._child: _Child | None = None
        self._is_over = False
        self._lock = threading.Lock()

    def take(self, child: _Child) -> bool:
        """This process is at it now. False if it was given up before its turn."""
        with self._lock:
            if not self._is_over:
                self._child = child
            return not self._is_over

    def settle(self, answer: bytes, error: Exception | None) -> bool:
        """This came of it, and `tell` says so. False if it has been given up: the process is being ended."""
        with self._lock:
            self._outcome = answer, error
            was_over, self._is_over = self._is_over, True
            self._child = None
            return not was_over

    def tell(self) -> None:
        """Wake the fiber that waits."""
        answer, error = self._outcome
        self.begun.set(None)
        if error is None:
            self.answer.set(answer)
        else:
            self.answer.set_exception(error)

    def give_up(self) -> _Child | None:
        """Nobody waits for it any more. The process that is at it and has to be ended, if there is one."""
        with self._lock:
            self._is_over = True
            child, self._child = self._child, None
            return child


class _Child:
    """One process. Its standard input and output carry pickles, each after its length."""

    begun: Reply[None]  # set when it is ready, or could not be started

    def __init__(self, metric: bytes) -> None:
        self._metric = metric
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Start it, and wait until it has the metric. Blocks."""
        with self._lock:
            if self._killed:
                raise MetricCrashedError("the evaluation has ended")
            command = [sys.executable, "-c", _CHILD.format(path=list(sys.path))]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.send(self._metric)
        self.receive()

    def send(self, request: bytes) -> None:
        """Send a request; `MetricCrashedError` if the process has ended. Blocks until it has taken nearly all of it."""
        sink = cast("IO[bytes]", self._running().stdin)
        try:
            sink.write(_LENGTH.pack(len(request)) + request)
            sink.flush()
        except (OSError, ValueError):  # the pipe is broken or was closed
            raise self._ended() from None

    def receive(self) -> bytes:
        """Wait for the answer; `MetricCrashedError` if the process ends first. Blocks."""
        source = cast("IO[bytes]", self._running().stdout)
        try:
            header = source.read(_LENGTH.size)
            if len(header) == _LENGTH.size:
                (length,) = _LENGTH.unpack(header)
                answer = source.read(length)
                if len(answer) == length:
                    return answer
        except (OSError, ValueError):
            pass  # the pipe was closed
        raise self._ended()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "begin comes first"
        return self._process

    def _ended(self) -> MetricCrashedError:
        code = self._running().wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return MetricCrashedError(f"the process that computed the metric ended ({cause})", exitcode=code)

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
