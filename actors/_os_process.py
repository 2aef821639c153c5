"""The kind of actor that can really be killed: its handlers run in an operating system process of their own."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from multiprocessing import current_process, spawn
from multiprocessing.connection import Connection
from typing import Any

from actors._errors import ActorError, Ignore, Reject, StopActor, UnpicklableMessageError
from actors._exits import Crash, ExitReason
from actors._mailbox import Envelope
from actors._messages import Exit
from actors._os_child import Answered, Crashed, Ended, Ignored, Message, Rejected, Start, Stop
from actors._post import State
from actors._process import Process
from actors._reply import Reply
from actors._thread_actor import ThreadActor

__all__ = ["ProcessActor", "ProcessDiedError"]

_SURROUNDINGS = ("sys_path", "sys_argv", "dir", "orig_dir")
_MAIN_MODULE = ("init_main_from_name", "init_main_from_path")


class ProcessDiedError(ActorError):
    """The child process ended without a word.  `signal` is what killed it, if a signal did; `exit_code` else."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        self.signal = signal.Signals(-exit_code) if exit_code < 0 else None
        how = f"was killed by {self.signal.name}" if self.signal is not None else f"exited with code {exit_code}"
        super().__init__(f"the child process {how}")


class _Over(StopActor):
    """The child is gone, and the actor is dead for this reason."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A message as its sender pickled it."""

    data: bytes
    shown_as: str

    def __repr__(self) -> str:
        return f"<{self.shown_as}, pickled>"


class ProcessActor(ThreadActor):
    """An actor whose constructor, hooks and handlers run in a spawned Python process.

    Outside it is an actor like any other: mailbox, links, monitors, names, supervision.  Exit signals and `kill` end
    the process at once (SIGKILL), whatever it does; a segmentation fault, `os._exit` and the like are a `Crash` whose
    exception is a `ProcessDiedError`.  At its `Down` by `stop` the process has been reaped.

    Class, constructor arguments, messages and answers are pickled: what cannot be raises `UnpicklableMessageError` at
    the sender.  Handlers are `def` or `async def`, one message at a time; in them there are `exit`, `stop`, `Reject`
    and `exit_reason`, but no scheduler, links or references to other actors.  POSIX only.
    """

    __slots__ = ("_child", "_made")

    _in_child = False
    _stop_asked = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._has_on_start = cls._has_on_stop = True  # the child is started and stopped there

    def _prepare(self, scheduler: Any, options: Any) -> None:
        super()._prepare(scheduler, options)
        self._child: _Child | None = None
        self._made = b""

    def _construct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not hasattr(os, "fork"):
            raise ActorError("a ProcessActor needs a POSIX system: use a ThreadActor here")
        if getattr(current_process(), "_inheriting", False):
            raise ActorError(
                "this process is importing the main script to find a class in it, and the script starts a process "
                'as it is imported: put what it does under `if __name__ == "__main__":`'
            )
        self._made = _pickle((type(self), args, kwargs), f"the arguments of {type(self).__qualname__}")

    def __getattr__(self, name: str) -> Any:
        if self._in_child and not name.startswith("__"):
            raise AttributeError(
                f"{type(self).__qualname__} has no {name!r} in its child process: it is set nowhere, "
                "or belongs to the actor's side that stays in the parent"
            )
        raise AttributeError(f"{type(self).__qualname__!r} object has no attribute {name!r}")

    def stop(self) -> None:
        """End with `Normal` after the messages that are in the mailbox now."""
        if self._in_child:
            self._stop_asked = True
        else:
            super().stop()

    # -- sending

    def deliver(self, envelope: Envelope) -> None:
        message, reply, context = envelope
        try:
            parcel = _Parcel(_pickle(message, f"a message for {self._ref}"), type(message).__name__)
        except UnpicklableMessageError as error:
            if reply is None:
                raise
            reply.set_exception(error)
        else:
            super().deliver((parcel, reply, context))

    # -- in the actor's thread, which speaks for the child

    def _callee(self, message: Any) -> Callable[[], Any]:
        if not isinstance(message, _Parcel):
            if isinstance(message, Exit):
                message = Exit(None, message.reason.summary())  # no reference can cross
            message = _Parcel(_pickle(message, f"a message for {self._ref}"), type(message).__name__)
        return lambda: self._exchange(Message(message.data))

    def _callee_in_child(self, message: Any) -> Callable[[], Any] | None:
        return Process._callee(self, message)

    def _run(self, handler: Callable[..., Any], arguments: tuple[Any, ...], context: Context) -> Any:
        if handler == self.on_start:
            return self._boot()
        if handler == self.on_stop:
            return self._wind_up()
        return handler(*arguments)

    def _boot(self) -> None:
        child = self._child = _Child(str(self._ref), self._child_ended)
        if self._state == State.DEAD:  # killed meanwhile: whoever did may not have seen the child
            child.kill()
        data = spawn.get_preparation_data(str(self._ref))
        surroundings = {key: data[key] for key in _SURROUNDINGS if key in data}
        main_module = {key: data[key] for key in _MAIN_MODULE if key in data}
        self._exchange(Start(surroundings, main_module, self._made))
        self._made = b""

    def _wind_up(self) -> None:
        child = self._child
        if child is not None:
            assert self.exit_reason is not None
            try:
                self._exchange(Stop(_sendable(self.exit_reason)))
            finally:
                child.end()

    def _exchange(self, request: Start | Message | Stop) -> Any:
        child = self._child
        assert child is not None
        try:
            answer = child.exchange(pickle.dumps(request))
        except (EOFError, OSError):
            raise self._gone(child) from None
        match answer:
            case Answered(data, stop):
                if stop:
                    self.stop()
                return _unpickle(data)
            case Rejected(data):
                raise Reject(_unpickle(data))
            case Ended(reason):
                raise StopActor(reason)
            case Ignored():
                raise Ignore
            case Crashed(crash, exception):
                child.end()
                raise _Over(_with_exception(crash, exception))
        raise AssertionError(f"the child process answered {answer!r}")

    def _gone(self, child: _Child) -> BaseException:
        """Why there was no answer: we have ended it, or it ended."""
        code = child.end()
        for kind, _, reason in list(self._signals or ()):
            if kind in ("exit", "link"):
                if self._state == State.ALIVE:
                    return asyncio.CancelledError(f"{self} was told to end")
                return StopActor(reason)
        return _Over(_death(code))

    def _failed(self, error: BaseException, reply: Reply[Any] | None) -> None:
        if isinstance(error, _Over) and self._state != State.DEAD:
            self._die(error.reason)
        else:
            super()._failed(error, reply)

    # -- from any thread

    def _child_ended(self, code: int) -> None:
        """The child has been reaped.  If nobody has ended it, its actor is dead, also while it is idle."""
        self.signal(("inspect", lambda actor: actor._over(code), Reply()))

    def _over(self, code: int) -> None:
        if self._state < State.STOPPING:
            self._die(_death(code))

    def _interrupt(self) -> None:
        super()._interrupt()
        if self._child is not None and self._state < State.STOPPING:
            self._child.kill()

    def _die(self, reason: ExitReason) -> None:
        super()._die(reason)
        if self._child is not None:
            self._child.kill()


class _Child:
    """The child process, the two lines to it, and the thread that reaps it."""

    def __init__(self, name: str, ended: Callable[[int], None]) -> None:
        ours, theirs = socket.socketpair()
        life_line, self._life_line = os.pipe()
        command = (
            f"import sys; sys.path[:] = {sys.path!r}; from actors._os_child import main; main(*map(int, sys.argv[1:]))"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", command, str(theirs.fileno()), str(life_line)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), life_line),
            )
        except BaseException:
            ours.close()
            os.close(self._life_line)
            raise
        finally:
            theirs.close()
            os.close(life_line)
        self._connection = Connection(ours.detach())
        self._ended = ended
        self._reaped = threading.Event()
        # At the interpreter's end too, should nobody have stopped the actor by then.
        self._finalizer = weakref.finalize(self, self._process.kill)
        threading.Thread(target=self._reap, name=f"{name} reaper", daemon=True).start()

    def exchange(self, request: bytes) -> Any:
        """One request, its answer.

        Raises:
            EOFError, OSError: the child is gone.
        """
        self._connection.send_bytes(request)
        return pickle.loads(self._connection.recv_bytes())

    def kill(self) -> None:
        """SIGKILL.  No effect if it has ended."""
        self._process.kill()

    def end(self, grace: float = 5.0) -> int:
        """Wait until it has ended and been reaped; kill it after `grace` seconds.  Its exit code."""
        if not self._reaped.wait(grace):
            self.kill()
            self._reaped.wait()
        assert self._process.returncode is not None
        return self._process.returncode

    def _reap(self) -> None:
        code = self._process.wait()
        self._finalizer.detach()
        os.close(self._life_line)
        self._reaped.set()
        self._ended(code)


def _pickle(value: Any, what: str) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:  # there are as many ways to fail as there are __reduce__ methods
        raise UnpicklableMessageError(
            f"{what} cannot be sent to another process: {error}; send plain data, and functions and classes that "
            "can be imported"
        ) from error


def _unpickle(data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:
        raise Reject(
            UnpicklableMessageError(f"the answer of the child process cannot be read here: {error!r}")
        ) from error


def _sendable(reason: ExitReason) -> ExitReason:
    reason = reason.summary()
    try:
        pickle.dumps(reason)
    except Exception:  # noqa: BLE001  as in _pickle; on_stop learns at least what it says
        return Crash("Exit", str(reason))
    return reason


def _death(code: int) -> Crash:
    return Crash.of(ProcessDiedError(code))


def _with_exception(crash: Crash, data: bytes | None) -> Crash:
    """The crash with the child's exception, whose traceback it could not take along but as a note."""
    if data is None:
        return crash
    exception = pickle.loads(data)
    exception.add_note(f"in the child process:\n{crash.traceback}")
    return Crash(crash.type, crash.message, crash.frames, exception)
