"""Answers piece by piece: an adapter that lets models stream, whatever predictor asks them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dspex.lm import LMOutput, LMRequest, LMResponse, Usage
from dspex.serve._interface import jsonable
from dspex.serve._pieces import FieldPieces
from dspex.serve._problems import problem_of

if TYPE_CHECKING:
    from dspex.lm import BaseLM
    from dspex.programs import ProgramRef

__all__ = ["event", "events_of"]

Tell = Callable[[dict[str, Any]], None]


def event(name: str, data: Any) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


async def events_of(
    program: ProgramRef, inputs: Mapping[str, Any], timeout: float | None, adapter: Any
) -> AsyncIterator[bytes]:
    """The call as events: `chunk` for each piece of text that a model says, then `prediction` with the outputs, or
    `error`.  Leaving the iteration early ends the call.

    A chunk names the `call` (they count from 1: a program may make several, some of them at once), the output `field`
    that the text belongs to (null where the adapter's format does not tell until the end), and the `text`.
    """
    from dspex import context

    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def tell(chunk: dict[str, Any]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, event("chunk", chunk))

    async def work() -> bytes:
        limit = {} if timeout is None else {"timeout": timeout}
        with context(adapter=_StreamingAdapter(adapter, tell)):
            return event("prediction", jsonable(await program.acall(**inputs, **limit)))

    working = asyncio.ensure_future(work())
    working.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (piece := await queue.get()) is not None:
            yield piece
        while not queue.empty():  # told from the loop of the actors just before the end
            if (piece := queue.get_nowait()) is not None:
                yield piece
        error = working.exception()
        yield working.result() if error is None else event("error", problem_of(error).to_json()["error"])
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


class _StreamingAdapter:
    """Another adapter, given models that stream."""

    def __init__(self, inner: Any, tell: Tell) -> None:
        self._inner = inner
        self._tell = tell
        self._numbers = itertools.count(1)

    async def acall(
        self, lm: Any, lm_kwargs: Mapping[str, Any], signature: Any, demos: Sequence[Any], inputs: Mapping[str, Any]
    ) -> Any:
        from dspex.adapters import ChatAdapter

        fields = tuple(signature.output_fields) if type(self._inner) is ChatAdapter else None
        streamed = _StreamedLM(lm, self._tell, self._numbers, fields)
        return await self._inner.acall(streamed, lm_kwargs, signature, demos, inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _StreamedLM:
    """Another language model, which tells each piece of its answers.  Its cache is not used."""

    def __init__(self, inner: BaseLM, tell: Tell, numbers: itertools.count[int], fields: Sequence[str] | None) -> None:
        self._inner = inner
        self._tell = tell
        self._numbers = numbers
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def arespond(self, request: LMRequest) -> LMResponse:
        """The whole answer, told piece by piece on the way; several completions at once are not told."""
        full = self._inner.complete(request)
        if (full.params.get("n") or 1) > 1 or full.params.get("logprobs"):
            return await self._inner.arespond(request)
        number = next(self._numbers)
        reader = None if self._fields is None else FieldPieces(self._fields)
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[Any] = []
        usage, stop_reason = Usage(), None
        async for chunk in self._inner.astream(request):
            texts.append(chunk.text)
            if chunk.reasoning:
                thoughts.append(chunk.reasoning)
            calls += chunk.tool_calls
            usage = chunk.usage or usage
            stop_reason = chunk.stop_reason or stop_reason
            self._say(number, reader, chunk.text)
        for field, text in reader.close() if reader is not None else ():
            self._tell({"call": number, "field": field, "text": text})
        reasoning = "".join(thoughts) or None
        output = LMOutput("".join(texts), tool_calls=calls, reasoning=reasoning, stop_reason=stop_reason or "stop")
        return LMResponse([output], usage, self._inner.model)

    def _say(self, number: int, reader: FieldPieces | None, text: str) -> None:
        if not text:
            return
        if reader is None:
            self._tell({"call": number, "field": None, "text": text})
            return
        for field, piece in reader.feed(text):
            self._tell({"call": number, "field": field, "text": piece})
