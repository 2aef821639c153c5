"""One stream of one call: what adapters tell it, and what its reader gets."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from actors import EventStream
from dspex._settings import settings
from dspex.adapters import Adapter
from dspex.streaming._listener import StreamListener
from dspex.streaming._messages import StreamResponse

if TYPE_CHECKING:
    from dspex.adapters._partial import FieldReader
    from dspex.lm import LMRequest, LMResponse, StreamChunk

Answered = Callable[[list[dict[str, Any]]], object]


class Session:
    """It is the `send_stream` of the call's settings: adapters ask through it. Any thread.

    Without listeners every chunk of every model call goes into the stream, with listeners the fields that they want.
    Nothing is lost: what its reader has not taken yet waits for it.
    """

    def __init__(self, program: Any, listeners: Sequence[StreamListener]) -> None:
        self.stream: EventStream[Any] = EventStream(limit=sys.maxsize)
        self._listeners = tuple(listeners)
        self._names = {id(predictor): name for name, predictor in _predictors(program)}
        self._used: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    def push(self, item: Any) -> None:
        """Put something into the stream."""
        self.stream.push(item)

    async def ask(self, adapter: Adapter, lm: Any, request: LMRequest, signature: Any) -> tuple[LMResponse, Answered]:
        """The response to an adapter's request, streamed if anyone wants it, and whom to tell the values in it."""
        predictor = (settings.caller_modules or (None,))[-1]
        name = self._names.get(id(predictor), "self")
        fields = self._wanted(predictor, name, signature.__dspex_outputs__)
        if self._listeners and not fields:
            return await lm.arespond(request), _nobody
        streams = [_FieldStream(self, name, field, adapter.field_reader(signature, field)) for field in fields]
        response = await lm.arespond(request, _listen(streams) if self._listeners else self.push)

        def answered(values: list[dict[str, Any]]) -> None:
            for stream in streams:
                stream.finish(values[0])

        return response, answered

    def _wanted(self, predictor: Any, name: str, outputs: Any) -> list[str]:
        """The fields that are listened to in this call, each once."""
        fields: dict[str, None] = {}
        with self._lock:
            for number, listener in enumerate(self._listeners):
                if not listener.hears(predictor, name, outputs):
                    continue
                use = (number, id(predictor))
                if listener.allow_reuse or use not in self._used:
                    self._used.add(use)
                    fields[listener.signature_field_name] = None
        return list(fields)


class _FieldStream:
    """The chunks of one field in one call."""

    def __init__(self, session: Session, predict_name: str, field: str, reader: FieldReader | None) -> None:
        self._session = session
        self._name = predict_name
        self._field = field
        self._reader = reader
        self._said: list[str] = []

    def feed(self, text: str) -> None:
        if self._reader is not None and (new := self._reader.feed(text)):
            self._said.append(new)
            self._session.push(StreamResponse(self._name, self._field, new))

    def finish(self, values: dict[str, Any]) -> None:
        """The reply was read: say what is left of the value."""
        value, said = _text(values.get(self._field)), "".join(self._said)
        goes_on = value.startswith(said)
        rest = value[len(said) :] if goes_on else value
        self._session.push(StreamResponse(self._name, self._field, rest, True, not goes_on))


def _listen(streams: Sequence[_FieldStream]) -> Callable[[StreamChunk], None]:
    def on_chunk(chunk: StreamChunk) -> None:
        if chunk.index == 0 and chunk.text:
            for stream in streams:
                stream.feed(chunk.text)

    return on_chunk


def _nobody(values: Any) -> None:
    pass


def _text(value: Any) -> str:
    from dspex.adapters._render import render_reply

    return value if isinstance(value, str) else str(render_reply(value))


def _predictors(program: Any) -> list[tuple[str, Any]]:
    """The predictors of a module, or of the copy that runs behind a `ProgramRef`."""
    named = getattr(getattr(program, "program", program), "named_predictors", None)
    return list(named()) if named is not None else []
