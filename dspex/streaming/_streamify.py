"""`streamify`: a program that gives its answer piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from actors import Reply
from dspex._settings import context, settings
from dspex.programs._running import call_function
from dspex.streaming._listener import StreamListener
from dspex.streaming._session import Session
from dspex.streaming._status import StatusCallback, StatusMessageProvider
from dspex.system import current_system


def streamify(
    program: Any,
    status_message_provider: StatusMessageProvider | None = None,
    stream_listeners: Sequence[StreamListener] | None = None,
    include_final_prediction_in_output_stream: bool = True,
    is_async_program: bool = False,
    async_streaming: bool = True,
) -> Callable[..., Any]:
    """A function that takes the program's arguments and gives an async iterator (a plain one without
    `async_streaming`) of `StreamResponse`s and `StatusMessage`s, and at last the prediction.

    Without listeners it gives the chunks of all model calls as they come (`dspex.lm.StreamChunk`). A program is a
    module, a `ProgramRef` or a function. Each call has a stream of its own; leaving the iteration early ends the
    call, down to its HTTP request. What the call raises, the iteration raises. When nothing was streamed of a
    listener's field (the answer came from the cache, the adapter cannot read it from a part), its value comes as one
    chunk. With listeners the prediction can be left out. `is_async_program` has no use here: which kind it is, is
    found out.
    """
    listeners = tuple(stream_listeners or ())
    last = include_final_prediction_in_output_stream or not listeners
    provider = status_message_provider or StatusMessageProvider()
    call = program.acall if hasattr(program, "acall") else lambda **inputs: call_function(program, **inputs)

    def begin(inputs: dict[str, Any]) -> tuple[Session, Reply[Any], Callable[[], object]]:
        session = Session(program, listeners)
        watchers = (*(settings.callbacks or ()), StatusCallback(session, provider))
        running: list[Any] = []

        async def run() -> Any:
            running.append(asyncio.current_task())
            return await call(**inputs)

        scheduler = current_system().scheduler
        with context(send_stream=session, callbacks=watchers):
            reply = scheduler.submit(run())
        reply.add_done_callback(lambda _: session.stream.close())
        return session, reply, lambda: scheduler.call_soon(lambda: [task.cancel() for task in running])

    async def streamed(**inputs: Any) -> AsyncIterator[Any]:
        session, reply, cancel = begin(inputs)
        try:
            async for item in session.stream:
                yield item
            result = await reply
            if last:
                yield result
        finally:
            if not reply.done():
                cancel()

    def streamed_sync(**inputs: Any) -> Iterator[Any]:
        session, reply, cancel = begin(inputs)
        try:
            yield from session.stream
            result = reply.get()
            if last:
                yield result
        finally:
            if not reply.done():
                cancel()

    return streamed if async_streaming else streamed_sync
