"""Texts to vectors: a hosted model, or a function of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr

from actors import current_scheduler, wait
from dspex._errors import LMError, LMUnexpectedError, LMUnsupportedFeatureError, MissingExtraError
from dspex._extras import how_to_install
from dspex._settings import settings
from dspex.cache import hash_of

from ._lm import LM
from ._pool import Call
from ._prices import prices
from ._reserve import reserve
from ._retry import RetryPolicy
from ._route import on_loop
from ._types import Usage
from .wire import OpenAIChat, OpenAIEmbeddings, Source, dumps

if TYPE_CHECKING:
    import numpy as np

    from ._http1 import RawReply

Vectors = list[list[float]]


class Embedder:
    """`embedder("text")` is a vector, `embedder(["one", "two"])` a matrix, as numpy arrays of float32.

    `model` is "provider/model" of an OpenAI-compatible endpoint, or a function from a list of texts to their vectors
    (plain: it runs in a thread; or a coroutine). Texts go in batches; each text of a hosted model is cached by
    itself. Further arguments go into every request, or to the function. Calls go through the same pools, retries and
    usage tracking as an LM's.
    """

    def __init__(
        self,
        model: str | Callable[..., Any],
        batch_size: int = 200,
        caching: bool = True,
        *,
        api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        api_base: str | None = None,
        num_retries: int = 3,
        timeout: float | None = 120.0,
        transport: Any = None,
        **kwargs: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.model = model
        self.batch_size = batch_size
        self.caching = caching
        self.kwargs = kwargs
        self._retry = RetryPolicy(retries=num_retries)
        self._lm: LM | None = None
        if isinstance(model, str):
            self._lm = LM(model, api_key=api_key, base_url=base_url or api_base, timeout=timeout, transport=transport)
            if not isinstance(self._lm.endpoint.format, OpenAIChat):
                raise LMUnsupportedFeatureError(
                    f"{self._lm.provider} has no OpenAI-compatible embeddings: give a function instead",
                    feature="embeddings",
                )

    def __call__(
        self, inputs: str | Sequence[str], batch_size: int | None = None, caching: bool | None = None, **kwargs: Any
    ) -> np.ndarray[Any, Any]:
        """Blocks the thread or parks the fiber."""
        return wait(self.acall(inputs, batch_size, caching, **kwargs))

    async def acall(
        self, inputs: str | Sequence[str], batch_size: int | None = None, caching: bool | None = None, **kwargs: Any
    ) -> np.ndarray[Any, Any]:
        """As calling it, awaited. On any event loop."""
        numpy = _numpy()
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        size = batch_size or self.batch_size
        params = {**self.kwargs, **kwargs}
        if self._lm is not None:
            keep = self.caching if caching is None else caching
            vectors = await on_loop(current_scheduler(), self._hosted(self._lm, texts, size, keep, params))
        else:
            vectors = []
            for start in range(0, len(texts), size):
                vectors.extend(await self._own(texts[start : start + size], params))
        if len(vectors) != len(texts):
            raise LMUnexpectedError(f"the embedding function gave {len(vectors)} vectors for {len(texts)} texts")
        matrix = numpy.asarray(vectors, dtype=numpy.float32)
        return cast("np.ndarray[Any, Any]", matrix[0] if isinstance(inputs, str) else matrix)

    async def _own(self, texts: list[str], params: Mapping[str, Any]) -> Any:
        function = cast("Callable[..., Any]", self.model)
        if inspect.iscoroutinefunction(function):
            return await function(texts, **params)
        return await current_scheduler().run_blocking(lambda: function(texts, **params))

    async def _hosted(self, lm: LM, texts: list[str], size: int, keep: bool, params: Mapping[str, Any]) -> Vectors:
        service = lm._find_route().service
        found: dict[str, list[float]] = {}
        keys: dict[str, str | None] = {}
        for text in dict.fromkeys(texts):
            described = {"embed": text, "model": lm.model, "base_url": lm.endpoint.base_url, "params": dict(params)}
            keys[text] = hash_of(described) if keep else None
            key = keys[text]
            vector = await service.vectors.load(key) if key is not None else None
            if vector is not None:
                found[text] = vector
        missing = [text for text in keys if text not in found]
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            for text, vector in zip(batch, await self._request(lm, batch, params), strict=True):
                found[text] = vector
                key = keys[text]
                if key is not None:
                    service.vectors.put(key, vector)
        return [found[text] for text in texts]

    async def _request(self, lm: LM, batch: list[str], params: Mapping[str, Any]) -> Vectors:
        pool = lm.to_pool()
        source, form = Source(lm.endpoint.provider, lm.endpoint.model), OpenAIEmbeddings()
        wire = form.build(lm.endpoint.model, batch, params)

        def read(reply: RawReply) -> tuple[Vectors, Usage]:
            return form.parse(source, reply.status, reply.headers, reply.body, len(batch))

        url = lm.endpoint.base_url + wire.path
        call = Call(url, lm.request_headers(), dumps(wire.body), lm.timeout, settings.deadline, self._retry)
        tally = lm._tally()
        budget = settings.budget
        reservation = await reserve(budget, lm.endpoint.name, len(call.body), 0) if budget is not None else None
        tally.begun()
        try:
            (vectors, usage), _ = await pool.request(call, read)
        except LMError as error:
            raise lm.conceal(error) from error.__cause__
        else:
            price = prices.price_of(lm.endpoint.name)
            cost = price.cost(usage) if price is not None else None
            if reservation is not None:
                reservation.settle(cost, usage.total_tokens)
            tally.answered(usage, cost, cached=False)
            if settings.usage_tracker is not None:
                settings.usage_tracker.add(lm.model, usage, cost, False)
            return vectors
        finally:
            tally.ended()
            if reservation is not None:
                reservation.release()


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise MissingExtraError(f"embeddings need numpy: {how_to_install('embeddings')}", extra="embeddings") from error
    return numpy
