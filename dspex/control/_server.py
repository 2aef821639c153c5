"""The control socket of a system: answers the command line, from a thread and a loop of its own.

It shares nothing with the loop that the actors run on, so it answers while that one is stalled: a stall is what one
wants to look at.  Garbage, slow readers and too many clients cost a connection, never the system.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

from actors.runtime import logger
from dspex.control import _wire as wire
from dspex.control._errors import OperationError, SocketPathError, WireError
from dspex.control._sockets import listens

__all__ = ["ControlServer", "Operation", "Stream"]

Operation: TypeAlias = Callable[[Mapping[str, Any]], Any]
"""Arguments in, JSON-able result out.  Runs on a thread and may wait; raises `OperationError` to refuse."""

Stream: TypeAlias = Callable[[Mapping[str, Any]], contextlib.AbstractContextManager[AsyncIterator[Any]]]
"""Arguments in, items out until the client goes away."""

_CLIENTS = 64
_BACKLOG = 1024
_WRITE_SECONDS = 5.0
_WRITE_BYTES = 4 << 20
_DISCARDED = 64 * 1024


class ControlServer:
    """Serves `operations` and `streams` on a unix socket of mode 0600 at `path`.

    `start` returns when the socket accepts; `close` ends everything and removes it.  Both may be called once.
    """

    def __init__(
        self,
        path: Path,
        operations: Mapping[str, Operation],
        streams: Mapping[str, Stream] | None = None,
        *,
        waiting: Collection[str] = (),
        redact: Callable[[str], str] = str,
    ) -> None:
        """
        Args:
            waiting: the operations that may wait for the system.  However many of them do, the others are answered.
            redact: what may be told of an error's text.
        """
        self.path = path
        self._operations = dict(operations)
        self._streams = dict(streams or {})
        self._redact = redact
        self._waiting = frozenset(waiting)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="dspex-control-op")
        self._patient_threads = ThreadPoolExecutor(8, thread_name_prefix="dspex-control-wait")
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._idle: dict[asyncio.Task[None], None] = {}  # those that ask nothing now, the longest first
        self._stop: asyncio.Event | None = None
        self._error: OSError | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            SocketPathError: another system listens at the path, or the socket cannot be made there.
        """
        if self.path.exists():
            if listens(self.path):
                raise SocketPathError(f"another system listens on {self.path}: give this one another name")
            self.path.unlink(missing_ok=True)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="dspex-control", daemon=True)
        self._thread.start()
        ready.wait()
        if self._error is not None:
            raise SocketPathError(f"the control socket cannot be made: {self._error}") from self._error

    def close(self, timeout: float = 2.0) -> None:
        """Stop listening, drop the clients, remove the socket."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is not None and stop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        for threads in (self._threads, self._patient_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self.path.unlink(missing_ok=True)

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        mask = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(
                self._accept, path=os.fspath(self.path), limit=wire.MAX_REQUEST, backlog=_BACKLOG
            )
        except OSError as error:
            self._error = error
            return
        finally:
            os.umask(mask)
            ready.set()
        async with server:
            await self._stop.wait()
            await self._dismiss(server)

    async def _dismiss(self, server: asyncio.Server) -> None:
        """Accept nobody any more and end all clients.

        asyncio leaves a connection open that is being accepted when its server closes, and a transport that was aborted
        in the loop's last turn: so accepting ends first, and a few turns pass.
        """
        loop = asyncio.get_running_loop()
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(8):
            await asyncio.sleep(0)
            clients = list(self._clients)
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _CLIENTS and not self._make_room():
            writer.write(wire.failure(None, "too_many_clients", f"{_CLIENTS} clients are connected: close one"))
            writer.close()
            return
        writer.transport.set_write_buffer_limits(high=_WRITE_BYTES)
        client = asyncio.ensure_future(self._attend(reader, writer))
        self._clients[client] = writer
        self._idle[client] = None
        client.add_done_callback(self._left)

    def _make_room(self) -> bool:
        """Hang up on whoever has asked nothing for the longest time; False if all are being answered."""
        for client in self._idle:
            self._left(client)
            client.cancel()
            return True
        return False

    def _left(self, client: asyncio.Task[None]) -> None:
        """Also of a client that was cancelled before it had begun."""
        self._idle.pop(client, None)
        writer = self._clients.pop(client, None)
        if writer is not None:
            writer.transport.abort()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError):
            pass  # the client went away, or does not read: its loss

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.current_task()
        assert client is not None
        while True:
            self._idle[client] = None
            try:
                line = await reader.readline()
            except ValueError:
                await self._send(
                    writer, wire.failure(None, "bad_request", f"a line has at most {wire.MAX_REQUEST} bytes")
                )
                return
            if not line:
                return
            self._idle.pop(client, None)
            try:
                asked = wire.read_request(line)
            except WireError as error:
                await self._send(writer, wire.failure(None, "bad_request", str(error)))
                return
            if asked.op in self._streams:
                await self._stream(asked, reader, writer)
                return
            await self._send(writer, await self._answer(asked))

    async def _answer(self, asked: wire.Request) -> bytes:
        operation = self._operations.get(asked.op)
        if operation is None:
            known = ", ".join(sorted([*self._operations, *self._streams]))
            return wire.failure(asked.id, "unknown_operation", f"no operation {asked.op!r}; there are: {known}")
        loop = asyncio.get_running_loop()
        try:
            threads = self._patient_threads if asked.op in self._waiting else self._threads
            result = await loop.run_in_executor(threads, operation, asked.args)
            return wire.answer(asked.id, result)
        except Exception as error:  # noqa: BLE001  the socket's edge: a broken operation must not end the connection
            return self._failure(asked, error)

    def _failure(self, asked: wire.Request, error: Exception) -> bytes:
        if isinstance(error, OperationError):
            return wire.failure(asked.id, error.kind, self._redact(str(error)))
        words = self._redact(f"{type(error).__name__}: {error}")
        logger("dspex.control").error("control operation failed", op=asked.op, error=words)
        return wire.failure(asked.id, "internal", words)

    async def _stream(self, asked: wire.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.ensure_future(_gone(reader))
        try:
            with self._streams[asked.op](asked.args) as items:
                iterator = items.__aiter__()
                while True:
                    following = asyncio.ensure_future(_next(iterator))
                    done, _ = await asyncio.wait({following, gone}, return_when=asyncio.FIRST_COMPLETED)
                    if following not in done:
                        following.cancel()
                        await asyncio.gather(following, return_exceptions=True)
                        return
                    try:
                        value = following.result()
                    except StopAsyncIteration:
                        await self._send(writer, wire.answer(asked.id, None))
                        return
                    await self._send(writer, wire.item(asked.id, value))
        except (ConnectionError, TimeoutError):
            raise  # the client's doing
        except Exception as error:  # noqa: BLE001  as above
            await self._send(writer, self._failure(asked, error))
        finally:
            gone.cancel()

    async def _send(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(line)
        async with asyncio.timeout(_WRITE_SECONDS):
            await writer.drain()


async def _gone(reader: asyncio.StreamReader) -> None:
    """Until the client hangs up.  What it says meanwhile is not kept: it could be endless."""
    while await reader.read(_DISCARDED):
        pass


async def _next(iterator: AsyncIterator[Any]) -> Any:
    return await iterator.__anext__()
