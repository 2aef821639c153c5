"""The pool of threads for code that blocks: as many as are needed at the moment, and none when none is.

The standard pool has a fixed width and queues beyond it; code that blocks must not wait for other code that
blocks, so a thread is started whenever no idle one is there.  Threads are daemons: a stuck one must not keep the
interpreter from ending.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from actors._errors import NoSchedulerError

__all__ = ["BlockingThreads"]


class BlockingThreads:
    """Runs functions at once, each on a thread of its own; idle threads end after `idle` seconds."""

    def __init__(self, name: str, idle: float = 10.0, limit: int = 10_000) -> None:
        self.name = name
        self.limit = limit
        self._idle_seconds = idle
        self._work: deque[Callable[[], None]] = deque()
        self._condition = threading.Condition()
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._count = 0

    def run(self, work: Callable[[], None]) -> None:
        """Run `work`, which must not raise, soon, on some thread of the pool.

        Raises:
            NoSchedulerError: there is no thread and none can be started.
        """
        with self._condition:
            if self._closed:
                raise NoSchedulerError(f"the threads of {self.name} have been closed: use a scheduler that runs")
            self._work.append(work)
            if self._idle >= len(self._work):
                self._condition.notify()
                return
            if len(self._threads) >= self.limit:
                return
            self._count += 1
            thread = threading.Thread(target=self._loop, name=f"{self.name}-blocking-{self._count}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if self._threads:
                    return  # one of them will take it up
                self._work.pop()
                raise NoSchedulerError(f"no thread for what blocks on {self.name}: {error}") from error
            self._threads.add(thread)

    def _loop(self) -> None:
        condition = self._condition
        try:
            while True:
                with condition:
                    if not self._work and not self._closed:
                        self._idle += 1
                        condition.wait_for(lambda: self._work or self._closed, self._idle_seconds)
                        self._idle -= 1
                    if not self._work:
                        self._threads.discard(threading.current_thread())  # under the lock that saw nothing to do
                        return
                    work = self._work.popleft()
                work()
                del work
        finally:
            with condition:
                self._threads.discard(threading.current_thread())

    @property
    def working(self) -> int:
        """How many of them are at work, or about to be."""
        with self._condition:
            return max(len(self._threads) - self._idle, len(self._work))

    @property
    def threads(self) -> list[threading.Thread]:
        """The living threads of the pool."""
        with self._condition:
            return list(self._threads)

    def close(self, timeout: float) -> list[threading.Thread]:
        """End the idle threads; the ones still busy after `timeout` seconds are returned."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        deadline = monotonic() + timeout
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - monotonic()))
        return [thread for thread in self.threads if thread.is_alive()]
