"""Answers piece by piece, as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from dspex.programs._call import chosen_system
from dspex.serve._interface import jsonable
from dspex.serve._problems import problem_of
from dspex.streaming import StatusMessage, StreamListener, StreamResponse, streamify

if TYPE_CHECKING:
    from dspex.programs import ProgramRef
    from dspex.system import System

__all__ = ["event", "events_of"]


def event(name: str, data: Any) -> bytes:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


async def events_of(
    system: System, program: ProgramRef, inputs: Mapping[str, Any], timeout: float | None
) -> AsyncIterator[bytes]:
    """The call as events: `chunk` for each piece of an output field that a predictor of the program says, `status` for
    what it does meanwhile, then `prediction` with the outputs, or `error`.  Leaving the iteration early ends the call.

    A chunk names the `predictor` ("self" for the program's own), the `field` and the `text`.  `last` is true of a
    field's last one, and `restarted` of one that takes the place of all before it, since an answer that could not be
    read was asked for again.
    """
    # A request's task has not seen the block that the application runs in.  Not put back: it is that task's alone.
    chosen_system.set(system)
    limit = {} if timeout is None else {"timeout": timeout}
    stream = streamify(program, stream_listeners=_listeners(program))
    try:
        async with aclosing(stream(**inputs, **limit)) as items:
            async for item in items:
                yield _told(item)
    except Exception as error:  # noqa: BLE001  the edge: whatever a program raises is an answer
        yield event("error", problem_of(error).to_json()["error"])


def _listeners(program: ProgramRef) -> list[StreamListener]:
    """One for every output field of every predictor, each time it is asked."""
    return [
        StreamListener(field, predict_name=name, allow_reuse=True)
        for name, predictor in program.program.named_predictors()
        for field in predictor.signature.output_fields
    ]


def _told(item: Any) -> bytes:
    match item:
        case StreamResponse(predict_name, field, text, last, restarted):
            about = {"predictor": predict_name, "field": field, "text": text, "last": last, "restarted": restarted}
            return event("chunk", about)
        case StatusMessage(message):
            return event("status", {"message": message})
    return event("prediction", jsonable(item))
