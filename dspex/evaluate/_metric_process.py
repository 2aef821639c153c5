"""Metrics in OS processes: what cannot be stopped or trusted in this process can be killed in another.

Each process computes one verdict at a time. One that dies, or is killed because the example's time is up, is
replaced; the example fails (`MetricCrashedError`) and nothing else does. What one of them is: `_metric_spawn`.
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from actors import NoSchedulerError, Reply, Timeout

from ._metric_errors import MetricError
from ._metric_spawn import MetricProcess, packed

if TYPE_CHECKING:
    from actors import Scheduler


class MetricProcesses:
    """``count`` processes that compute ``metric``. They start side by side, and again when one has ended.

    A process at work has a thread that gives it one request after the other: between two of them it waits for that
    thread only, not for the loop.
    """

    def __init__(
        self, metric: Callable[..., Any], count: int, scheduler: Scheduler, devset: Sequence[Any] = ()
    ) -> None:
        """Nothing is started yet. There will be no more processes than examples.

        Raises:
            ValueError: ``count`` is no number of processes.
            TypeError: another process cannot compute this metric, or cannot be sent such examples.
        """
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"metric_processes must be 1 or more, not {count!r}")
        self._metric, self.are_in_doubt = packed(metric)
        if devset:
            _check_example(devset[0])
            count = min(count, len(devset))
        self._count = count
        self._hopes = self._count  # processes that may still become ready
        self._ready: Reply[None] = Reply()
        self._scheduler = scheduler
        self._idle: deque[MetricProcess | None] = deque()  # None: has ended, and is started again when it is wanted
        self._waiting: deque[_Request] = deque()
        self._children: set[MetricProcess] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> Reply[None]:
        """Start them. Any thread; does not wait.

        The reply is set when the first one is ready. It fails when none is going to be. While that is `are_in_doubt`,
        for they have to import the main script, nothing should be begun that costs anything.
        """
        for _ in range(self._count):
            process = self._add()
            self._idle.append(process)
            process.begun.add_done_callback(self._begun)
        return self._ready

    def _begun(self, begun: Reply[None]) -> None:
        error = begun.exception()
        if error is None:
            self._ready.set(None)
            return
        with self._lock:
            self._hopes -= 1
            if self._hopes:
                return
        self._ready.set_exception(error)

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

    def _serve(self, child: MetricProcess | None) -> None:
        """Answer requests by this process, and by another when it has ended, for as long as there are any. Blocks."""
        last: _Request | None = None  # its fiber is woken, which takes a while, when the process has the next one
        while (request := self._next(child)) is not None:
            if child is None or child.has_ended():
                self._discard(child)
                child = self._add()
            if not request.take(child):
                continue
            if self._exchange(request, child, last):
                last = request
            else:  # the process has ended, or who gave the request up is ending it
                request.tell()
                last = None
                self._discard(child)
                child = None
        if last is not None:
            last.tell()

    @staticmethod
    def _exchange(request: _Request, child: MetricProcess, last: _Request | None) -> bool:
        """Have the process answer; whether it can take another request."""
        try:
            try:
                child.begun.get()
                child.ask(request.data)
            finally:
                if last is not None:
                    last.tell()
            request.begun.set(None)
            return request.settle(child.receive(), None)
        except Exception as error:  # noqa: BLE001  whatever kept it from answering is the answer
            request.settle(b"", error)
            return False

    def _next(self, child: MetricProcess | None) -> _Request | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(child)
            return None

    def _discard(self, child: MetricProcess | None) -> None:
        if child is not None:
            with self._lock:
                self._children.discard(child)
            child.kill()

    def _add(self) -> MetricProcess:
        child = MetricProcess(self._metric)
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
        self._child: MetricProcess | None = None
        self._is_over = False
        self._lock = threading.Lock()

    def take(self, child: MetricProcess) -> bool:
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

    def give_up(self) -> MetricProcess | None:
        """Nobody waits for it any more. The process that is at it and has to be ended, if there is one."""
        with self._lock:
            self._is_over = True
            child, self._child = self._child, None
            return child


def _check_example(example: Any) -> None:
    try:
        pickle.dumps(example, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TypeError(
            f"metric_executor='process' sends each example to another process, and the first one cannot be pickled "
            f"({error}): keep such values out of the devset, or leave metric_executor out"
        ) from error
