"""The base of all LMs: what adapters call, what users subclass."""

from __future__ import annotations

import copy
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Self, TextIO

from actors import current_scheduler, wait
from actors.runtime import nearest_scheduler
from dspex._errors import LMConfigurationError, LMUnexpectedError
from dspex._settings import settings
from dspex.callbacks import Watch, active_callbacks

from ._events import Span
from ._history import entry_of, pretty_print_history, remember
from ._service import LmService
from ._tally import Tally
from ._types import LMOutput, LMRequest, LMResponse, StreamChunk, ToolCallPart, Usage
from .wire import OpenAIChat, Source, dumps

MODEL_TYPES = ("chat", "text", "responses")
_WARM = 0.7  # the least temperature of a repeated question


class BaseLM:
    """A language model. Subclass it and override one of

    * `aforward(prompt, messages, **kwargs)`, a coroutine, or `forward(...)`, plain (it runs in a thread): either
      returns an `LMResponse`, or an OpenAI-shaped chat completion as a dict or an object;
    * `respond(request)`, a coroutine from `LMRequest` to `LMResponse`.

    History, callbacks, events and usage tracking are done here, around whichever it is. An LM may be called from any
    thread, task, fiber or actor.
    """

    def __init__(
        self,
        model: str,
        model_type: str = "chat",
        temperature: float | None = None,
        max_tokens: int | None = None,
        cache: bool = True,
        callbacks: Any = None,
        num_retries: int = 3,
        **kwargs: Any,
    ) -> None:
        if model_type not in MODEL_TYPES:
            known = ", ".join(MODEL_TYPES)
            raise LMConfigurationError(f"model_type is one of {known}, not {model_type!r}", model=model)
        self.model = model
        self.model_type = model_type
        self.cache = cache
        self.callbacks = list(callbacks or ())
        self.num_retries = num_retries
        self.kwargs: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens, **kwargs}
        self.history: list[dict[str, Any]] = []

    # --- what it can do: adapters ask -----------------------------------------------------------------------

    @property
    def supports_response_schema(self) -> bool:
        """Whether the endpoint holds replies to a JSON schema."""
        return False

    @property
    def supports_function_calling(self) -> bool:
        """Whether the endpoint takes tools."""
        return False

    @property
    def supports_reasoning(self) -> bool:
        """Whether the model reasons before it answers, and says so."""
        return False

    @property
    def supports_grammar(self) -> bool:
        """Whether the endpoint holds replies to a GBNF grammar."""
        return False

    # --- calls ----------------------------------------------------------------------------------------------

    def __call__(
        self, prompt: str | None = None, messages: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str | dict[str, Any]]:
        """The outputs: a string each, or a dict with "text" and whatever came beside it. Blocks the thread or parks
        the fiber.
        """
        return wait(self.acall(prompt, messages, **kwargs))

    async def acall(
        self, prompt: str | None = None, messages: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> list[str | dict[str, Any]]:
        """As calling it, awaited. On any event loop."""
        rollout_id = kwargs.pop("rollout_id", None)
        if prompt is None and messages is None:
            raise LMConfigurationError("an LM call needs a prompt or messages", model=self.model)
        request = LMRequest(self.model, messages, prompt if messages is None else None, kwargs, rollout_id)
        return [plain_output(output) for output in (await self.arespond(request)).outputs]

    async def arespond(self, request: LMRequest, on_chunk: Callable[[StreamChunk], object] | None = None) -> LMResponse:
        """The answer to one request: what adapters call. The LM's own parameters fill in what the request leaves
        open. With `on_chunk` the answer is streamed, and that is called with each of its pieces.
        """
        full = self.complete(request)
        callbacks = active_callbacks(self)
        tally = self._tally()
        tally.begun()
        try:
            if not callbacks:
                # No coroutine that only waits for another one: with thousands of calls in flight each is memory.
                return self._account(full, await self._responding(full, on_chunk), tally)
            inputs = {"prompt": full.prompt, "messages": full.messages, "kwargs": full.params}
            with Watch(callbacks, "lm", self, inputs) as watch:
                response = self._account(full, await self._responding(full, on_chunk), tally)
                watch.outputs = [plain_output(output) for output in response.outputs]
            return response
        finally:
            tally.ended()

    def _responding(
        self, full: LMRequest, on_chunk: Callable[[StreamChunk], object] | None
    ) -> Coroutine[Any, Any, LMResponse]:
        answer = self.respond(full) if on_chunk is None else self._respond_in_pieces(full, on_chunk)
        span = Span.of(self.model, self._provider(), full)
        return answer if span is None else span.around(answer)

    def _provider(self) -> str:
        """Who answers, as events name it."""
        return "custom"

    async def _respond_in_pieces(self, full: LMRequest, on_chunk: Callable[[StreamChunk], object]) -> LMResponse:
        async with aclosing(self.pieces(full)) as pieces:
            async for piece in pieces:
                if isinstance(piece, LMResponse):
                    return piece
                on_chunk(piece)
        raise LMUnexpectedError(f"{type(self).__name__}.pieces ended without the whole response", model=self.model)

    async def astream(self, request: LMRequest) -> AsyncIterator[StreamChunk]:
        """The answer piece by piece, the last chunk with usage and stop reason. On any event loop. Callbacks do not
        see it; history and usage do, when it has come to its end. A model that cannot stream gives it in one piece.
        """
        full = self.complete(request)
        span = Span.of(self.model, self._provider(), full)
        whole = self.pieces(full) if span is None else span.around_pieces(self.pieces(full))
        tally = self._tally()
        tally.begun()
        try:
            async with aclosing(whole) as pieces:
                async for piece in pieces:
                    if isinstance(piece, LMResponse):
                        self._account(full, piece, tally)
                    else:
                        yield piece
        finally:
            tally.ended()

    async def pieces(self, request: LMRequest) -> AsyncGenerator[StreamChunk | LMResponse, None]:
        """The chunks of the answer to a complete request, and at last the whole response. Models that can stream
        override it.
        """
        response = await self.respond(request)
        for chunk in chunks_of(response):
            yield chunk
        yield response

    async def respond(self, request: LMRequest) -> LMResponse:
        """How this model answers a complete request. By default through `aforward` or `forward`."""
        kwargs = dict(request.params)
        if type(self).aforward is not BaseLM.aforward:
            answer = await self.aforward(request.prompt, request.messages, **kwargs)
        elif type(self).forward is not BaseLM.forward:
            forward = self.forward
            # It may block for as long as a model thinks: never on the loop.
            answer = await current_scheduler().run_blocking(lambda: forward(request.prompt, request.messages, **kwargs))
            if inspect.isawaitable(answer):
                answer = await answer
        else:
            raise LMConfigurationError(f"{type(self).__name__} overrides neither aforward, forward nor respond")
        return response_of(answer, self.model)

    def forward(self, prompt: str | None = None, messages: list[dict[str, Any]] | None = None, **kwargs: Any) -> Any:
        """The answer to one call, blocking. Subclasses override it."""
        return wait(self.aforward(prompt, messages, **kwargs))

    async def aforward(
        self, prompt: str | None = None, messages: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> Any:
        """The answer to one call, as a coroutine. Subclasses override it."""
        rollout_id = kwargs.pop("rollout_id", None)
        return await self.respond(LMRequest(self.model, messages, prompt, kwargs, rollout_id))

    def complete(self, request: LMRequest) -> LMRequest:
        """`request` with this LM's own parameters under its own; None means "not given". Under `settings.resample` it
        is a question of its own.
        """
        params = {k: v for k, v in self.kwargs.items() if v is not None}
        for name, value in request.params.items():
            if value is None:
                params.pop(name, None)
            else:
                params[name] = value
        rollout_id = params.pop("rollout_id", None)
        if request.rollout_id is not None:
            rollout_id = request.rollout_id
        resample = settings.resample
        if resample is not None:
            rollout_id = resample if rollout_id is None else f"{rollout_id}.{resample}"
            params["temperature"] = max(_WARM, params.get("temperature") or 0.0)
        return LMRequest(request.model or self.model, request.messages, request.prompt, params, rollout_id)

    def _tally(self) -> Tally:
        """Where this call is counted: by the LM service of the scheduler that it is made on, if there is one."""
        scheduler = nearest_scheduler()
        service = None if scheduler is None else LmService.found(scheduler)
        return Tally() if service is None else service.tally

    def _account(self, request: LMRequest, response: LMResponse, tally: Tally) -> LMResponse:
        tally.answered(response.usage, response.cost, response.cached)
        tracker = settings.usage_tracker
        if tracker is not None:
            tracker.add(self.model, response.usage, response.cost, response.cached)
        if not settings.disable_history:
            outputs = [plain_output(output) for output in response.outputs]
            remember(self.history, entry_of(self.model, self.model_type, request, response, outputs))
        return response

    # --- copies and files -------------------------------------------------------------------------------------

    def copy(self, **changes: Any) -> Self:
        """Another LM like this one, with an empty history and `changes` to its attributes or parameters."""
        twin = copy.copy(self)
        twin.history = []
        twin.kwargs = dict(self.kwargs)
        twin.callbacks = list(self.callbacks)
        for name, value in changes.items():
            if name in ("model", "model_type", "cache", "num_retries", "callbacks"):
                setattr(twin, name, value)
            else:
                twin.kwargs[name] = value
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A copied program shares its endpoint, limits and connections with the original.
        return self.copy()

    def dump_state(self) -> dict[str, Any]:
        """What a saved program keeps of it: no key, no header, nothing secret."""
        kept = {k: v for k, v in self.kwargs.items() if k not in SECRET_PARAMS}
        state = {"model": self.model, "model_type": self.model_type, "cache": self.cache}
        return {**state, "num_retries": self.num_retries, **kept}

    @classmethod
    def load_state(cls, state: Mapping[str, Any], *, allow_unsafe: bool = False) -> Self:
        """The LM that `dump_state` described. Where its requests go is taken from the state only with
        `allow_unsafe`: a file from elsewhere must not send prompts, and the key in the environment, to an address of
        its choice. What starts with an underscore is a note of DSPy's (a class to import), and left out.
        """
        known = {k: v for k, v in state.items() if k not in _NOT_OURS and not k.startswith("_")}
        if not allow_unsafe:
            known = {k: v for k, v in known.items() if k not in ENDPOINT_PARAMS}
        return cls(**known)

    def inspect_history(self, n: int = 1, file: TextIO | None = None) -> None:
        """Print the last `n` calls of this LM."""
        pretty_print_history(self.history, n, file)

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.kwargs.items() if v is not None and k not in SECRET_PARAMS)
        return f"{type(self).__name__}({self.model!r}{', ' + shown if shown else ''})"


SECRET_PARAMS = frozenset(
    {"api_key", "headers", "extra_headers", "default_headers", "azure_ad_token", "aws_secret_access_key"}
)
ENDPOINT_PARAMS = frozenset({"base_url", "api_base", "proxy", "headers", "extra_headers", "api_key"})
_NOT_OURS = frozenset({"finetuning_model", "launch_kwargs", "train_kwargs", "provider", "engine", "async_engine"})


def plain_output(output: LMOutput) -> str | dict[str, Any]:
    """An output as `lm(...)` returns it: its text, or a dict when there is more than text."""
    if not output.tool_calls and output.reasoning is None and output.logprobs is None:
        return output.text
    plain: dict[str, Any] = {"text": output.text}
    if output.tool_calls:
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in output.tool_calls
        ]
    if output.reasoning is not None:
        plain["reasoning_content"] = output.reasoning
    if output.logprobs is not None:
        plain["logprobs"] = output.logprobs
    return plain


def _arguments(call: ToolCallPart) -> str:
    return call.raw if call.raw is not None else dumps(call.arguments).decode()


def chunks_of(response: LMResponse) -> Iterator[StreamChunk]:
    """A whole answer as a stream of one chunk for each output."""
    for index, output in enumerate(response.outputs):
        usage = response.usage if index == len(response.outputs) - 1 else None
        yield StreamChunk(output.text, output.reasoning, index, usage, output.stop_reason, tuple(output.tool_calls))


def response_of(answer: Any, model: str) -> LMResponse:
    """An `LMResponse` from whatever a user's `forward` returned."""
    if isinstance(answer, LMResponse):
        return answer
    if isinstance(answer, str):
        return LMResponse([LMOutput(answer)], Usage(requests=1), model)
    if isinstance(answer, list) and all(isinstance(item, str) for item in answer):
        return LMResponse([LMOutput(item) for item in answer], Usage(requests=1), model)
    if hasattr(answer, "model_dump"):
        answer = answer.model_dump()
    elif not isinstance(answer, Mapping) and hasattr(answer, "choices"):
        answer = _as_dict(answer)
    if not isinstance(answer, Mapping):
        raise LMUnexpectedError(
            f"forward returned {type(answer).__name__}: return an LMResponse or an OpenAI-shaped chat completion",
            model=model,
        )
    return OpenAIChat().parse(Source("custom", model), 200, {}, dumps(answer))


def _as_dict(value: Any) -> Any:
    """Attribute-style responses (SimpleNamespace and the like) as the dicts that they stand for."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Mapping):
        return {k: _as_dict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_dict(item) for item in value]
    return {k: _as_dict(v) for k, v in vars(value).items()}
