"""`LM("provider/model")`: a hosted or local model behind an HTTP endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from threading import get_ident
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from actors import Reply, current_scheduler
from dspex._errors import LMError, LMTimeoutError
from dspex._settings import settings

from ._base import BaseLM, chunks_of
from ._breaker import BreakerPolicy
from ._budget import Budget
from ._cached import request_key
from ._deposit import Deposit
from ._events import FALLBACK, error_text
from ._outcome import worth_a_fallback
from ._outgoing import outgoing, request_headers
from ._paid import pay
from ._pool import Call, Pool, PoolOptions
from ._providers import Endpoint, endpoint_of
from ._reserve import most_tokens
from ._retry import RetryPolicy
from ._route import Route, on_loop
from ._service import LmService, PoolKey
from ._stream import HostedStream
from ._tally import Tally
from ._transport import Transport
from ._types import LMRequest, LMResponse, StreamChunk

if TYPE_CHECKING:
    import httpx


class LM(BaseLM):
    """A model at an endpoint: "openai/gpt-4o-mini", "anthropic/...", "gemini/...", or any OpenAI-compatible server
    with `base_url`.

    Further keyword arguments go into every request. LMs with the same endpoint, key and limits share one pool: its
    connections, rate limits and breaker. Calls raise `LMError`s; what is worth trying again was tried again by then.

    Args:
        timeout: seconds for one request, connecting included; for a stream, before each of its pieces.
        `settings.deadline`
            (seconds on the scheduler's clock) bounds the whole call, retries included.
        num_retries: further tries after a failure that may pass; 0 turns all retrying off.
        fallbacks: LMs, or names of models, asked in order when this one fails for a reason that is not the request's
        own. cache: whether equal requests are answered from the cache. `rollout_id` (with a temperature above 0)
        asks anew. transport: an `httpx.AsyncBaseTransport` or a `Transport` of one's own; "aiohttp" or "direct"
        choose between ours. proxy: URL of a proxy; by default the environment's (HTTPS_PROXY and so on).
        rpm, tpm: requests and tokens a minute that may be sent; by default what the endpoint says, if it does.
        max_in_flight: requests under way at most; more wait in line.
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
        *,
        api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        api_base: str | None = None,
        headers: Mapping[str, str] | None = None,
        rollout_id: int | str | None = None,
        timeout: float | None = 120.0,
        fallbacks: Sequence[BaseLM | str] = (),
        transport: Transport | httpx.AsyncBaseTransport | str | None = None,
        proxy: str | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        max_in_flight: int = 16_384,
        breaker: BreakerPolicy | None = None,
        retry: RetryPolicy | None = None,
        use_developer_role: bool = False,
        supports: Mapping[str, bool] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, model_type, temperature, max_tokens, cache, callbacks, num_retries, **kwargs)
        if rollout_id is not None:
            self.kwargs["rollout_id"] = rollout_id
        self.timeout = timeout
        self.use_developer_role = use_developer_role
        self.headers = dict(headers or {})
        self.fallbacks = tuple(fallbacks)
        self._key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._base_url = base_url or api_base
        self._transport = transport
        self._proxy = proxy
        self._supports = dict(supports or {})
        self._options = PoolOptions(max_in_flight=max_in_flight, rpm=rpm, tpm=tpm, breaker=breaker)
        self._retry = retry
        self._settle_in()

    def _settle_in(self) -> None:
        self._endpoint = endpoint_of(self.model, self.model_type, self._base_url, self._key)
        self._route: Route | None = None
        self._sent_headers: dict[str, str] | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go, and in which dialect."""
        return self._endpoint

    @property
    def provider(self) -> str:
        return self._endpoint.provider

    @property
    def supports_response_schema(self) -> bool:
        return self._supports.get("response_schema", self.model_type != "text" or self._base_url is not None)

    @property
    def supports_function_calling(self) -> bool:
        return self._supports.get("function_calling", self.model_type != "text")

    @property
    def supports_reasoning(self) -> bool:
        return self._supports.get("reasoning", self.kwargs.get("reasoning_effort") is not None)

    @property
    def supports_grammar(self) -> bool:
        """Off unless said so (`supports={"grammar": True}`) or the provider is llama.cpp: others reject the
        parameter.
        """
        return self._supports.get("grammar", self._endpoint.provider == "llamacpp")

    def _provider(self) -> str:
        return self._endpoint.provider

    # --- one call ---------------------------------------------------------------------------------------------

    async def respond(self, request: LMRequest) -> LMResponse:
        return await self._respond_routed(request, self._find_route())

    def _cache_key(self, request: LMRequest) -> str | None:
        if not request.params.get("cache", self.cache):
            return None
        return request_key(request, base_url=self._endpoint.base_url, format=self._endpoint.format.name)

    # What follows returns the coroutine that does the work, not one that waits for it: every call in flight holds all
    # of them.

    def _respond_routed(self, request: LMRequest, route: Route) -> Awaitable[LMResponse]:
        key = self._cache_key(request)
        if key is not None:
            found = route.service.cache.peek(key)
            if found is not None:
                return Reply.of(found)
        elif route.pool is not None and not self.fallbacks:
            route.pool.gate.check_open()  # while the breaker is open a call fails here, in microseconds
        work = self._respond(request, route, key)
        return work if get_ident() == route.scheduler.ident else on_loop(route.scheduler, work)

    def _respond(self, request: LMRequest, route: Route, key: str | None) -> Coroutine[Any, Any, LMResponse]:
        deadline = settings.deadline
        if deadline is not None:
            return self._respond_in_time(request, route, key, deadline)
        if key is None and not self.fallbacks:
            return pay(self, request, None)
        return self._respond_cached(request, route, key, None)

    async def _respond_in_time(self, request: LMRequest, route: Route, key: str | None, deadline: float) -> LMResponse:
        left = deadline - route.scheduler.clock.time()
        try:
            async with asyncio.timeout(max(left, 0.0)):
                return await self._respond_cached(request, route, key, deadline)
        except TimeoutError as error:
            raise LMTimeoutError(
                f"the call's deadline passed before {self.model} answered", code="deadline", model=self.model
            ) from error

    async def _respond_cached(
        self, request: LMRequest, route: Route, key: str | None, deadline: float | None
    ) -> LMResponse:
        try:
            if key is None:
                return await pay(self, request, deadline)
            return await route.service.cache.fetch(key, lambda: pay(self, request, deadline))
        except LMError as error:
            if not self.fallbacks or not worth_a_fallback(error):
                raise
            return await self._fall_back(request, error, route.service)

    async def _fall_back(self, request: LMRequest, error: LMError, service: LmService) -> LMResponse:
        for other in self.fallbacks:
            lm = self._next_model(other, error, service)
            try:
                return await lm.respond(lm.complete(replace(request, model=lm.model)))
            except LMError as failed:
                if not worth_a_fallback(failed):
                    raise
                failed.__context__ = error
                error = failed
        raise error

    def _next_model(self, other: BaseLM | str, error: LMError, service: LmService) -> BaseLM:
        lm = LM(other, self.model_type, cache=self.cache, timeout=self.timeout) if isinstance(other, str) else other
        events = service.scheduler.events
        if events.wants(FALLBACK):
            where = {"model": self.model, "to": lm.model, "error": error_text(error, service.scheduler)}
            events.emit(FALLBACK, {}, {**where, "code": error.code})
        return lm

    # --- streaming --------------------------------------------------------------------------------------------

    async def pieces(self, request: LMRequest) -> AsyncGenerator[StreamChunk | LMResponse, None]:
        """As `BaseLM.pieces`. Tried again, and by the fallbacks, until the first piece has come, not afterwards. A
        cached answer comes as one chunk; a streamed one is cached. Leaving the iteration early aborts the request.
        """
        async with aclosing(self._streamed(request, self._find_route())) as pieces:
            async for piece in pieces:
                yield piece

    async def _streamed(self, request: LMRequest, route: Route) -> AsyncGenerator[StreamChunk | LMResponse, None]:
        cache, key = route.service.cache, self._cache_key(request)
        found = await on_loop(route.scheduler, cache.load(key)) if key is not None else None
        if found is None and (request.params.get("n") or 1) > 1 and not self._endpoint.format.takes_n:
            found = await self._respond_routed(request, route)
        if found is not None:
            for chunk in chunks_of(found):
                yield chunk
            yield found
            return
        stream, begun = HostedStream(self, request, route), False
        try:
            async for chunk in stream.chunks():
                begun = True
                yield chunk
        except LMError as error:
            if begun or not self.fallbacks or not worth_a_fallback(error):
                raise
            async with aclosing(self._streamed_elsewhere(request, error, route.service)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        assert stream.response is not None
        if key is not None:
            written = cache.put(key, stream.response)  # from any thread: the tier has a lock, the writer is an actor
            if written is not None:
                await written
        yield stream.response

    async def _streamed_elsewhere(
        self, request: LMRequest, error: LMError, service: LmService
    ) -> AsyncGenerator[StreamChunk | LMResponse, None]:
        for other in self.fallbacks:
            lm, begun = self._next_model(other, error, service), False
            try:
                async with aclosing(lm.pieces(lm.complete(replace(request, model=lm.model)))) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except LMError as failed:
                if begun or not worth_a_fallback(failed):
                    raise
                failed.__context__ = error
                error = failed
        raise error

    # --- pieces -----------------------------------------------------------------------------------------------

    def _find_route(self) -> Route:
        scheduler = current_scheduler()
        route = self._route
        if route is not None and route.scheduler is scheduler and route.is_alive():
            return route
        endpoint, transport = self._endpoint, self._transport
        key = PoolKey(
            endpoint.provider,
            endpoint.model,
            endpoint.base_url,
            endpoint.api_key.get_secret_value() if endpoint.api_key is not None else None,
            transport if transport is None or isinstance(transport, str) else id(transport),
            self._proxy,
            self._options,
        )
        self._route = route = Route(scheduler, LmService.of(scheduler), key)
        return route

    def _tally(self) -> Tally:
        return self._find_route().service.tally

    def to_pool(self) -> Pool:
        """The pool that its requests go through on the current scheduler. On that scheduler's loop."""
        return self._find_route().to_pool(self._transport)

    def request_headers(self) -> dict[str, str]:
        """What goes with every request, the key among it. Not to be changed, shown or kept."""
        headers = self._sent_headers
        if headers is None:
            headers = self._sent_headers = request_headers(self._endpoint, self.headers)
        return headers

    def outgoing(self, request: LMRequest, deadline: float | None, pool: Pool, *, stream: bool) -> Call:
        """The HTTP request for a request of ours."""
        retry = self._retry or RetryPolicy(retries=self.num_retries)
        call = outgoing(
            self._endpoint, self.request_headers(), request, self.timeout, retry, self.use_developer_role, stream
        )
        return call.bounded(deadline, pool.scheduler.clock.time(), not pool.gate.limiter.unlimited)

    def deposit_for(self, budget: Budget | None, request: LMRequest, call: Call) -> Deposit | None:
        """What makes room in the budget for the most that each try of this call may take."""
        if budget is None:
            return None
        return Deposit(budget, self._endpoint.name, len(call.body), most_tokens(request))

    def conceal(self, error: LMError) -> LMError:
        """Some providers quote the key that they reject."""
        secret = self._endpoint.api_key.get_secret_value() if self._endpoint.api_key is not None else ""
        if len(secret) >= 4 and secret in error.message:
            error.message = error.message.replace(secret, "**********")
            error.args = (error.message,)
        if error.model is None:
            error.model = self._endpoint.model
        if error.provider is None:
            error.provider = self._endpoint.provider
        return error

    # --- copies and files -------------------------------------------------------------------------------------

    def copy(self, **changes: Any) -> Self:
        own = {
            k: changes.pop(k)
            for k in ("api_key", "base_url", "api_base", "timeout", "headers", "fallbacks")
            if k in changes
        }
        twin = super().copy(**changes)
        if "api_key" in own:
            key = own.pop("api_key")
            twin._key = SecretStr(key) if isinstance(key, str) else key
        if "base_url" in own or "api_base" in own:
            twin._base_url = own.pop("base_url", None) or own.pop("api_base", None)
        for name, value in own.items():
            setattr(twin, name, value)
        twin._settle_in()
        return twin

    def dump_state(self) -> dict[str, Any]:
        state = super().dump_state()
        if self._base_url is not None:
            state["api_base"] = self._base_url
        return state

    def __getstate__(self) -> dict[str, Any]:
        # For another process: the key comes from the environment there, routes and sockets stay here.
        state = self.__dict__.copy()
        state.update(_route=None, _sent_headers=None, history=[])
        return state
