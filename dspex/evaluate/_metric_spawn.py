"""One process that computes a metric, as its parent sees it: started, asked, watched and ended.

It is spawned, never forked: it shares no threads, locks or sockets with us but the one that it is asked on.
"""

from __future__ import annotations

import functools
import inspect
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import spawn
from typing import IO, Any

from actors import Reply

from ._metric_errors import MetricCrashedError

_LENGTH = struct.Struct("<Q")
_BEGINNING = 120.0  # seconds that a process has to start and to import the metric's module
_GRACE = 5.0  # seconds that one has to end after it has hung up, or was killed
_CHILD = (
    "import sys; sys.path[:] = {path!r}; from dspex.evaluate._metric_child import main; main(*map(int, sys.argv[1:]))"
)
_SURROUNDINGS = ("sys_path", "sys_argv", "dir", "orig_dir")
_MAIN_MODULE = ("init_main_from_name", "init_main_from_path")
_NAME_OF_MAIN = (
    b"\x8c\x08__main__"  # in a pickle: what is looked up there is after this string, and a longer one is not it
)


class MetricProcess:
    """One process. ``metric`` is what `packed` made of it. Requests and answers are pickles, each after its length."""

    begun: Reply[None]  # set when it is ready, or will never be

    def __init__(self, metric: bytes) -> None:
        self._metric = metric
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket
        self._source: IO[bytes]
        self._reaper: threading.Thread
        self._has_main = False
        self._killed = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Start it, and wait until it has the metric. Blocks.

        Raises:
            MetricError: it cannot load the metric: no other one can.
            MetricCrashedError: it has ended.
            TimeoutError: it was not ready in time.
        """
        ours, theirs = socket.socketpair()
        self._line, self._source = ours, ours.makefile("rb")
        with theirs, self._lock:
            if self._killed:
                self._hang_up()
                raise MetricCrashedError("the evaluation has ended")
            command = [sys.executable, "-c", _CHILD.format(path=list(sys.path)), str(theirs.fileno()), str(os.getpid())]
            try:
                self._process = _spawned(command, theirs.fileno())
                self._reaper = self._watched(self._process)
            except BaseException:
                self._process = None
                self._hang_up()
                raise
        ours.settimeout(_BEGINNING)
        self.send(self._metric)
        well, error = pickle.loads(self.receive())
        if not well:
            raise error
        ours.settimeout(None)

    def ask(self, request: bytes) -> None:
        """Send a request. If it holds something of the main script, that has been imported before: no metric's time
        is spent on it. Blocks until nearly all of it has been taken.

        Raises:
            MetricCrashedError: the process has ended.
        """
        if not self._has_main and _NAME_OF_MAIN in request:
            self.send(b"")
            self.receive()
            self._has_main = True
        self.send(request)

    def send(self, data: bytes) -> None:
        """Send it as it is, as `ask` does."""
        try:
            self._line.sendall(_LENGTH.pack(len(data)) + data)
        except OSError:  # it has ended, or the line was closed
            raise self._ended() from None

    def receive(self) -> bytes:
        """Wait for the answer; `MetricCrashedError` if the process ends first. Blocks."""
        try:
            header = self._source.read(_LENGTH.size)
            if len(header) == _LENGTH.size:
                (length,) = _LENGTH.unpack(header)
                answer = self._source.read(length)
                if len(answer) == length:
                    return answer
        except TimeoutError:
            raise TimeoutError(f"the metric's process was not ready within {_BEGINNING:g} s") from None
        except (OSError, ValueError):
            pass  # the line was closed
        raise self._ended()

    def has_ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    def _ended(self) -> MetricCrashedError:
        self._reaper.join(_GRACE)
        self.kill()  # one that has closed its line and lives on
        assert self._process is not None
        code = self._process.returncode
        cause = "it hung" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        return MetricCrashedError(f"the process that computed the metric ended ({cause})", exitcode=code)

    def kill(self, wait: bool = True) -> None:
        """End it, whatever it does, and what it has started. ``wait`` until it is gone, and close the line."""
        with self._lock:
            self._killed = True
            process = self._process
            if process is None:
                return
            if process.returncode is None:
                _kill_group(process.pid)
        if wait:
            self._reaper.join(_GRACE)
            self._hang_up()

    def _watched(self, process: subprocess.Popen[bytes]) -> threading.Thread:
        reaper = threading.Thread(target=self._reap, args=(process,), name="metric-reaper", daemon=True)
        try:
            reaper.start()
        except RuntimeError:  # there is no thread to be had
            process.kill()
            process.wait()
            raise
        return reaper

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for its end. That the line is closed does not tell: what it has started may hold it open."""
        if hasattr(os, "waitid"):  # until it has been reaped its number, and its group's, is nobody else's
            with suppress(ChildProcessError):  # somebody else has reaped it, as where SIGCHLD is ignored
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:
            process.wait()
        with self._lock:
            _kill_group(process.pid)
            process.wait()
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)  # who waits for its answer has that of before, or none

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        for end in (self._source, self._line):
            with suppress(OSError):
                end.close()


def packed(metric: Callable[..., Any]) -> tuple[bytes, bool]:
    """What a process needs to compute the metric, and whether it has to import the main script for that.

    Raises:
        TypeError: it is none that another process can compute.
    """
    function: Any = metric
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__name__)
    _check_kind(function, name)
    try:
        pickled = pickle.dumps(metric, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TypeError(
            f"metric_executor='process' sends the metric to another process, and {name} cannot be pickled ({error}): "
            "define it at the top level of a module, not as a lambda or inside a function"
        ) from error
    data = spawn.get_preparation_data("metric")
    surroundings = {key: data[key] for key in _SURROUNDINGS if key in data}
    main = {key: data[key] for key in _MAIN_MODULE if key in data}
    is_of_main = _NAME_OF_MAIN in pickled
    if is_of_main and not _can_be_imported(main):
        raise TypeError(
            f"metric_executor='process' sends the metric to another process, which cannot import {name}: "
            "the `__main__` of a notebook, a prompt or a package is there only once. "
            "Define it in a module, or leave metric_executor out"
        )
    return pickle.dumps((surroundings, main, is_of_main, pickled)), is_of_main


def _check_kind(metric: Any, name: str) -> None:
    """Programs, and what runs on an event loop, are computed here: they need the system, its models and its budget."""
    from dspex.predict import Module

    is_module = isinstance(metric, Module) or isinstance(getattr(metric, "__self__", None), Module)
    call = getattr(metric, "__call__", None)  # noqa: B004  an object's own, which may be `async`
    if is_module or inspect.iscoroutinefunction(metric) or inspect.iscoroutinefunction(call):
        what = "a dspex module, which runs on the system and asks its models" if is_module else "`async`"
        raise TypeError(
            f"metric_executor='process' computes plain functions in other processes, and {name} is {what}: "
            "leave metric_executor out, and it is computed here, many at a time"
        )


def _can_be_imported(main: dict[str, Any]) -> bool:
    """Whether `multiprocessing.spawn.prepare` makes something of it: it leaves the `__main__` of packages alone."""
    name = main.get("init_main_from_name", "")
    return bool(main) and name.rpartition(".")[2] != "__main__"


def _spawned(command: list[str], line: int) -> subprocess.Popen[bytes]:
    """A process in a session of its own: it can be ended with all that it starts, and Ctrl-C does not reach it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # of this thread, and inherited
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[line], start_new_session=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all gone, or (macOS) nothing left but what waits to be reaped
        os.killpg(leader, signal.SIGKILL)
