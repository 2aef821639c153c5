"""What runs in the child process of a `ProcessActor`: one actor, one message at a time.

The parent writes requests, the child writes one answer to each.  When the parent goes away, however it does, the
child sees its end of the life line close and ends too, even in the middle of a handler.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import current_process, spawn
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from actors._errors import Ignore, Reject, StopActor, UnpicklableMessageError
from actors._exits import Crash, ExitReason

if TYPE_CHECKING:
    from actors._os_process import ProcessActor

__all__ = ["Answered", "Crashed", "Ended", "Ignored", "Message", "Rejected", "Start", "Stop", "main"]


@dataclass(frozen=True, slots=True)
class Start:
    """First request: be this actor.  `made` is (class, args, kwargs), pickled.

    `surroundings` and `main_module` are what multiprocessing's spawn prepares a child with: the search path and the
    like at once, the parent's main module only if something that is defined in it comes along.
    """

    surroundings: dict[str, Any]
    main_module: dict[str, Any]
    made: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """Handle a message, pickled by its sender."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Stop:
    """Last request: run `on_stop` and end."""

    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Answered:
    """What the handler returned, pickled; `stop` if it called `self.stop()`."""

    data: bytes
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The handler raised `Reject`; the error, pickled."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The handler called `self.exit(reason)`."""

    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Crashed:
    """The handler raised.  `exception` is pickled, or None if that cannot be done."""

    crash: Crash
    exception: bytes | None


@dataclass(frozen=True, slots=True)
class Ignored:
    """`on_start` raised `Ignore`."""


def main(requests: int, life_line: int) -> None:
    """Serve one actor over these file descriptors, until the parent says stop or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with_parent, args=(life_line,), name="life-line", daemon=True).start()
    with Connection(requests) as connection:
        try:
            _Server(connection).serve()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # the parent is gone or has no more use for us
        finally:
            sys.stdout.flush()


def _end_with_parent(life_line: int) -> None:
    os.read(life_line, 1)  # nothing is ever written: it returns when the other end is closed
    os._exit(1)


class _Server:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runner: asyncio.Runner | None = None
        self._main_module: dict[str, Any] = {}
        self._actor: ProcessActor

    def serve(self) -> None:
        """From the first request to the last."""
        answer = self._guarded(self._start, self._receive())
        self._connection.send_bytes(pickle.dumps(answer))
        while isinstance(answer, Answered):
            request = self._receive()
            if isinstance(request, Stop):
                self._actor.exit_reason = request.reason
                answer = self._guarded(self._call, self._actor.on_stop)
                self._connection.send_bytes(pickle.dumps(answer))
                break
            answer = self._guarded(self._handle, request)
            self._connection.send_bytes(pickle.dumps(answer))
            if isinstance(answer, (Rejected, Ended)):
                answer = Answered(b"")  # it lives on, or is about to be told to stop
        if self._runner is not None:
            self._runner.close()

    def _receive(self) -> Any:
        return pickle.loads(self._connection.recv_bytes())

    def _start(self, request: Start) -> None:
        spawn.prepare(request.surroundings)
        self._main_module = request.main_module
        actor_class, args, kwargs = self._read(request.made)
        actor: ProcessActor = actor_class.__new__(actor_class)
        actor._in_child = True
        actor.__init__(*args, **kwargs)  # type: ignore[misc]
        self._actor = actor
        self._call(actor.on_start)

    def _handle(self, request: Message) -> Any:
        try:
            message = self._read(request.data)
        except Exception as error:
            raise Reject(UnpicklableMessageError(f"the child process cannot read the message: {error!r}")) from error
        callee = self._actor._callee_in_child(message)
        return self._call(self._actor.on_receive, message) if callee is None else self._call(callee)

    def _read(self, data: bytes) -> Any:
        return _Unpickler(io.BytesIO(data), self._import_main).load()

    def _import_main(self) -> None:
        """Run the parent's main script as a module, once, as multiprocessing does."""
        main_module, self._main_module = self._main_module, {}
        process = current_process()
        process._inheriting = True  # type: ignore[attr-defined]  # multiprocessing's own mark, for the same guard
        try:
            spawn.prepare(main_module)
        finally:
            del process._inheriting  # type: ignore[attr-defined]

    def _call(self, handler: Callable[..., Any], *arguments: Any) -> Any:
        value = handler(*arguments)
        if not asyncio.iscoroutine(value):
            return value
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(value)

    def _guarded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do it; the answer says what came of it."""
        try:
            value = work(*arguments)
        except Reject as rejection:
            return Rejected(_pickled(rejection.error) or pickle.dumps(RuntimeError(repr(rejection.error))))
        except Ignore:
            return Ignored()
        except StopActor as end:
            return Ended(_sendable(end.reason))
        except BaseException as error:  # noqa: BLE001  this is where handlers crash
            self._tell_failure(error)
            return Crashed(Crash.of(error).summary(), _pickled(error))
        data = _pickled(value)
        if data is None:
            complaint = f"the answer, a {type(value).__qualname__}, cannot leave the child process"
            return Rejected(pickle.dumps(UnpicklableMessageError(complaint)))
        return Answered(data, getattr(self, "_actor", None) is not None and self._actor._stop_asked)

    def _tell_failure(self, error: BaseException) -> None:
        actor = getattr(self, "_actor", None)
        if actor is not None:
            try:
                actor.on_failure(type(error), error, error.__traceback__)
            except Exception as second:  # noqa: BLE001  the first crash is the one to report
                error.add_note(f"on_failure raised as well: {second!r}")


class _Unpickler(pickle.Unpickler):
    """Has the parent's main module imported before anything is looked up in it."""

    def __init__(self, file: io.BytesIO, import_main: Callable[[], None]) -> None:
        super().__init__(file)
        self._import_main = import_main

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == "__main__":
            self._import_main()
        return super().find_class(module_name, global_name)


def _pickled(value: Any) -> bytes | None:
    """The pickled value, if it comes back from that too."""
    try:
        data = pickle.dumps(value)
        if isinstance(value, BaseException):
            pickle.loads(data)  # many exceptions pickle and cannot be made again
    except Exception:  # noqa: BLE001  there are as many ways to fail as there are __reduce__ methods
        return None
    return data


def _sendable(reason: ExitReason) -> ExitReason:
    reason = reason.summary()
    return reason if _pickled(reason) is not None else Crash("Exit", str(reason))
