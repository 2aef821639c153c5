"""What LM access tells those who listen: the topics, and what comes with each.

| topic | measurements | metadata |
|---|---|---|
| `lm.request.start` | | `id`, `model`, `provider`, `messages` or `prompt` |
| `lm.request.stop` | `duration`, `prompt_tokens`, `completion_tokens`, `requests`, `cost` if known | `id`, `model`, `provider`, `cached`, `outputs` |
| `lm.request.exception` | `duration` | `id`, `model`, `provider`, `kind`, `code`, `status`, `error` |
| `lm.retry` | `wait` | `pool`, `error`, `code` |
| `lm.fallback` | | `model`, `to`, `error`, `code` |
| `lm.breaker.opened` | `trips` | `pool`, `failure` |
| `lm.breaker.closed` | `trips` | `pool` |
| `lm.limiter.paused` | `seconds`, `throttled` | `pool` |
| `lm.limiter.resumed` | `rate`, 0 for no limit | `pool` |
| `cache.hit` | | `tier`: memory, disk, or flight for an identical call's answer |
| `cache.miss`, `cache.corrupt` | | |
| `cache.write_failed` | `count` | `error` |

A request here is one call of an LM, however many HTTP requests it takes; `duration` is in seconds. With the setting
`redact_prompts` the messages, prompts, outputs and error texts are left out here, where they would be put in. An event
that nobody listens to is not made.
"""  # noqa: E501  a table

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from itertools import count
from typing import TYPE_CHECKING, Any

from actors.runtime import nearest_scheduler
from dspex._settings import settings

from ._types import LMResponse

if TYPE_CHECKING:
    from actors import Scheduler

    from ._types import LMRequest, StreamChunk

START = "lm.request.start"
STOP = "lm.request.stop"
EXCEPTION = "lm.request.exception"
RETRY = "lm.retry"
FALLBACK = "lm.fallback"
BREAKER_OPENED = "lm.breaker.opened"
BREAKER_CLOSED = "lm.breaker.closed"
LIMITER_PAUSED = "lm.limiter.paused"
LIMITER_RESUMED = "lm.limiter.resumed"

_numbers = count(1)


def error_text(error: BaseException, scheduler: Scheduler) -> str | None:
    """What an event may say of an error: providers quote prompts in theirs, and keys."""
    return None if settings.redact_prompts else str(scheduler.shown(str(error)))


class Span:
    """The events of one call, from start to stop or exception."""

    __slots__ = ("_began", "_events", "_known", "_scheduler", "_time")

    @classmethod
    def of(cls, model: str, provider: str, request: LMRequest) -> Span | None:
        """A span that has begun; None when nobody listens."""
        scheduler = nearest_scheduler()
        if scheduler is None or not scheduler.events.active:
            return None
        events = scheduler.events
        if not (events.wants(START) or events.wants(STOP) or events.wants(EXCEPTION)):
            return None
        return cls(scheduler, model, provider, request)

    def __init__(self, scheduler: Scheduler, model: str, provider: str, request: LMRequest) -> None:
        self._scheduler = scheduler
        self._events = scheduler.events
        self._time = scheduler.clock.time
        self._began = self._time()
        self._known: dict[str, Any] = {"id": next(_numbers), "model": model, "provider": provider}
        asked: dict[str, Any] = {}
        if not settings.redact_prompts:
            asked = {"prompt": request.prompt} if request.messages is None else {"messages": request.messages}
        self._events.emit(START, {}, {**self._known, **asked})

    async def around(self, answer: Awaitable[LMResponse]) -> LMResponse:
        """The answer, which ends it."""
        try:
            response = await answer
        except BaseException as error:
            self.exception(error)
            raise
        self.stop(response)
        return response

    async def around_pieces(
        self, pieces: AsyncGenerator[StreamChunk | LMResponse, None]
    ) -> AsyncGenerator[StreamChunk | LMResponse, None]:
        """The pieces of an answer, the last of which ends it."""
        ended = False
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, LMResponse):
                        ended = True
                        self.stop(piece)
                    yield piece
        except BaseException as error:
            if not ended:
                self.exception(error)
            raise

    def stop(self, response: LMResponse) -> None:
        """It was answered."""
        usage = response.usage
        measured: dict[str, float] = {
            "duration": self._time() - self._began,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "requests": usage.requests,
        }
        if response.cost is not None:
            measured["cost"] = response.cost
        said = {} if settings.redact_prompts else {"outputs": [output.text for output in response.outputs]}
        self._events.emit(STOP, measured, {**self._known, "cached": response.cached, **said})

    def exception(self, error: BaseException) -> None:
        """It failed, or was given up."""
        failed = {
            "kind": type(error).__name__,
            "code": getattr(error, "code", None),
            "status": getattr(error, "status", None),
            "error": error_text(error, self._scheduler),
        }
        self._events.emit(EXCEPTION, {"duration": self._time() - self._began}, {**self._known, **failed})
