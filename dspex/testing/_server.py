"""An OpenAI-compatible server with real sockets that fails on demand, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ._answers import answer_to, fitting, text_value
from ._faults import Chooser, Fault, FaultName, Seen, none

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class FaultServer:
    """`with FaultServer(faults=...) as server: LM("openai/m", base_url=server.url)`.

    Answers chat completions, text completions and embeddings as `_answers` says, after `latency` seconds, unless
    `faults` chooses a fault. It counts what it saw: `requests` (in order), `completed` (whole replies written, so:
    paid for), `abandoned` (requests whose client went away first), `max_in_flight`, `connections`. `faults` may be
    changed at any time. Leaving the block drops every connection and ends the thread. `stop()` and `start()` in
    between take the endpoint down and bring it back on the same port.
    """

    def __init__(
        self,
        *,
        faults: Chooser | None = None,
        latency: float = 0.0,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        stream_chars: int = 4,
        stream_gap: float = 0.0,
    ) -> None:
        self.faults = faults if faults is not None else none()
        self.latency = latency
        self.headers = dict(headers or {})
        self.stream_chars = stream_chars
        self.stream_gap = stream_gap
        self._tls = tls
        self._changed = threading.Condition()
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self) -> None:
        """Zero the counters."""
        with self._changed:
            self.requests: list[Seen] = []
            self.completed = self.abandoned = self.connections = 0
            self.in_flight = self.max_in_flight = 0
            self.faulted: Counter[str] = Counter()
            self.completions: Counter[str] = Counter()
            self._attempts: defaultdict[str, int] = defaultdict(int)

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/v1"

    @property
    def port(self) -> int:
        return self._port

    def wait_until(self, condition: str, value: int, timeout: float = 10.0) -> None:
        """Block until the counter named `condition` is at least `value`. TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count(condition) >= value, timeout):
                raise TimeoutError(f"{condition} is {self._count(condition)}, not {value}, after {timeout} s")

    def paid_twice(self) -> dict[str, int]:
        """Request bodies that got a whole reply more than once, with their counts."""
        with self._changed:
            return {body: count for body, count in self.completions.items() if count > 1}

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        started = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(started, failed), name="fault-server", daemon=True)
        self._thread.start()
        started.wait()
        if failed:
            self._thread.join()
            raise failed[0]
        return self

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, started: threading.Event, failed: list[BaseException]) -> None:
        try:
            asyncio.run(self._serve(started))
        except OSError as error:
            failed.append(error)
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks = set()
        loop = self._loop

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(_Reader(loop), self._connected, loop=loop)

        server = await loop.create_server(
            protocol, "127.0.0.1", self._port, ssl=self._tls, backlog=2048, reuse_address=True
        )
        self._port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        # asyncio leaves a connection open that is being accepted when its server closes: first nobody is accepted any
        # more, then those who were come up and are dropped.
        for listening in server.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(8):
            await asyncio.sleep(0)
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        server.close()
        await asyncio.sleep(0)

    # --- connections --------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._note(connections=1)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # the server stops; asyncio's stream callback would log it as an error
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply. False when the connection is over."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        lines = head.decode("latin-1").split("\r\n")
        _, path, _ = lines[0].split(" ", 2)
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        body = json.loads(raw) if raw else {}
        seen = self._seen(path, headers, body, raw)
        self._note(in_flight=1)
        assert isinstance(reader, _Reader)
        gone = asyncio.ensure_future(reader.gone.wait())
        work = asyncio.ensure_future(self._reply(seen, raw, writer))
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._note(abandoned=1)
                return False
            return work.result()
        finally:
            self._note(in_flight=-1)
            for future in (gone, work):
                if not future.done():
                    future.cancel()
            await asyncio.gather(gone, work, return_exceptions=True)

    def _seen(self, path: str, headers: Mapping[str, str], body: dict[str, Any], raw: bytes) -> Seen:
        with self._changed:
            key = raw.decode("utf-8", "replace")
            seen = Seen(len(self.requests), self._attempts[key], path, headers, body)
            self._attempts[key] += 1
            self.requests.append(seen)
            self._changed.notify_all()
            return seen

    def _note(self, **changes: int) -> None:
        with self._changed:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self._changed.notify_all()

    def _count(self, name: str) -> int:
        value = getattr(self, name)
        return value if isinstance(value, int) else len(value)

    # --- replies ------------------------------------------------------------------------------------------------

    async def _reply(self, seen: Seen, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        chosen = self.faults(seen)
        fault = Fault(chosen) if isinstance(chosen, str) else chosen
        if fault is not None:
            with self._changed:
                self.faulted[fault.name] += 1
        if self.latency:
            await asyncio.sleep(self.latency)
        if fault is not None:
            return await self._fail(fault, seen, raw, writer)
        if seen.body.get("stream"):
            await self._stream(seen, writer)
            self._paid(raw)
        else:
            self._paid(raw)  # before it is written: a client that has its reply finds it counted
            writer.write(self._http(200, completion(seen)))
            await writer.drain()
        return True

    async def _fail(self, fault: Fault, seen: Seen, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        name: FaultName = fault.name
        whole = self._http(200, completion(seen))
        if name == "hang":
            await asyncio.Event().wait()
        elif name == "slow_head":
            await asyncio.sleep(fault.seconds)
            self._paid(raw)
            writer.write(whole)
        elif name == "slow_body":
            for piece in (
                whole[i : i + max(1, len(whole) // 8)] for i in range(0, len(whole), max(1, len(whole) // 8))
            ):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(fault.seconds / 8)
            self._paid(raw)
        elif name == "reset":
            _reset(writer)
            return False
        elif name == "stream_cut" and seen.body.get("stream"):
            await self._stream(seen, writer, pieces=3)
            return False
        elif name in ("reset_mid_body", "stream_cut"):
            writer.write(whole[:-20])
            await writer.drain()
            _reset(writer)
            return False
        elif name == "huge":
            writer.write(self._http(200, json.dumps({"choices": [], "padding": "x" * fault.size}).encode()))
        else:
            if name in ("truncated_json", "invalid_json", "wrong_content_type", "empty_choices", "no_markers"):
                self._paid(raw)
            writer.write(self._faulty(fault, seen))
        await writer.drain()
        return True

    def _faulty(self, fault: Fault, seen: Seen) -> bytes:
        """The faults that are a whole HTTP reply."""
        name = fault.name
        extra = {**fault.headers}
        if name == "rate_limit":
            extra.setdefault("retry-after", f"{fault.seconds:g}")
        errors = {
            "error_500": (500, "The server had an error", "server_error"),
            "unavailable_503": (503, "The engine is overloaded", "server_error"),
            "rate_limit": (429, "Rate limit reached", "rate_limit_exceeded"),
            "rate_limit_bare": (429, "Rate limit reached", "rate_limit_exceeded"),
            "auth_401": (401, f"Incorrect API key: {seen.headers.get('authorization', '')}", "invalid_api_key"),
            "invalid_400": (400, "Unknown parameter", "invalid_request_error"),
            "context_window": (400, "This model's maximum context length is 8 tokens", "context_length_exceeded"),
        }
        if name in errors:
            status, message, code = errors[name]
            body = json.dumps({"error": {"message": message, "type": code, "code": code}}).encode()
            return self._http(status, body, extra)
        good = completion(seen)
        if name == "truncated_json":
            return self._http(200, good[: len(good) // 2], extra)
        if name == "invalid_json":
            return self._http(200, b"{'choices': None,}", extra)
        if name == "wrong_content_type":
            return self._http(200, b"<html><body>Please log in</body></html>", {**extra, "content-type": "text/html"})
        if name == "empty_choices":
            return self._http(200, b'{"id":"x","object":"chat.completion","choices":[]}', extra)
        return self._http(200, completion(seen, "I cannot say."), extra)

    def _paid(self, raw: bytes) -> None:
        with self._changed:
            self.completed += 1
            self.completions[raw.decode("utf-8", "replace")] += 1
            self._changed.notify_all()

    def _http(self, status: int, body: bytes, extra: Mapping[str, str] | None = None) -> bytes:
        headers = {"content-type": "application/json", "x-request-id": "req-test", **self.headers, **(extra or {})}
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def _stream(self, seen: Seen, writer: asyncio.StreamWriter, pieces: int | None = None) -> None:
        """The whole stream, or only its first `pieces`."""
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        text, step = answer_to(seen.body), self.stream_chars
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": text[i : i + step]}, "finish_reason": None}]}
            for i in range(0, len(text), step)
        ]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        events.append({"choices": [], "usage": _usage(seen.body, text)})
        whole = [*(json.dumps({"id": "c", "model": seen.body.get("model"), **e}) for e in events), "[DONE]"]
        for event in whole[:pieces]:
            data = f"data: {event}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
            await asyncio.sleep(self.stream_gap)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


class _Reader(asyncio.StreamReader):
    """Tells when the client goes away, also while nobody reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=64 * 1024 * 1024, loop=loop)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


def completion(seen: Seen, text: str | None = None) -> bytes:
    """The body of the reply that a request deserves."""
    body = seen.body
    if seen.path.endswith("/embeddings"):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"index": i, "embedding": [float(len(t)), float(t.count("e"))]} for i, t in enumerate(texts)]
        return json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}).encode()
    text = answer_to(body) if text is None else text
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    message: dict[str, Any] = {"role": "assistant", "content": text}
    forced = body.get("tool_choice")
    if body.get("tools") and (forced == "required" or isinstance(forced, dict)):
        function = body["tools"][0]["function"]
        arguments = json.dumps(fitting(function.get("parameters", {}), text_value(text)))
        call = {"id": f"call_{seen.number}", "type": "function"}
        call["function"] = {"name": function["name"], "arguments": arguments}  # type: ignore[assignment]
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice["finish_reason"] = "tool_calls"
    shape = {"text": text} if seen.path.endswith("/completions") and "prompt" in body else {"message": message}
    choices = [{**choice, **shape, "index": i} for i in range(body.get("n") or 1)]
    reply = {"id": f"cmpl-{seen.number}", "object": "chat.completion", "created": 0, "model": body.get("model")}
    return json.dumps({**reply, "choices": choices, "usage": _usage(body, text)}).encode()


def _usage(body: dict[str, Any], text: str) -> dict[str, int]:
    prompt, words = len(json.dumps(body)) // 4, max(1, len(text) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words}


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of an orderly end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
