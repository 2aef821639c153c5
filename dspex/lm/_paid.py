"""One call that is paid for: what it may take is reserved, it is sent, and what it took is settled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dspex._errors import LMError
from dspex._settings import settings

from ._outcome import joined
from ._prices import prices
from ._types import LMResponse
from .wire import Source

if TYPE_CHECKING:
    from ._deposit import Deposit
    from ._http1 import RawReply
    from ._lm import LM
    from ._providers import Endpoint
    from ._types import LMRequest


async def pay(lm: LM, request: LMRequest, deadline: float | None) -> LMResponse:
    """The response, with its cost where the price is known. On the scheduler's loop. Raises the last LMError.

    What may have been billed without an answer (cancelled in flight, reset, timed out) is booked in full, each time.
    """
    endpoint = lm.endpoint
    if (request.params.get("n") or 1) > 1 and not endpoint.format.takes_n:
        return await _one_by_one(lm, request, deadline)
    pool = lm.to_pool()
    call = lm.outgoing(request, deadline, pool, stream=False)
    read = partial(_response, endpoint)
    deposit = lm.deposit_for(settings.budget, request, call)
    try:
        response, sent = await pool.request(call, read, deposit)
    except BaseException as error:
        if deposit is not None:
            deposit.release()
        if isinstance(error, LMError):
            raise lm.conceal(error) from error.__cause__
        raise
    settled = settle(endpoint.name, response, sent, deposit)
    if call.tokens:
        pool.gate.limiter.settle(call.tokens, response.usage.total_tokens)
    return settled


async def _one_by_one(lm: LM, request: LMRequest, deadline: float | None) -> LMResponse:
    """Several completions of an endpoint that gives one at a time."""
    single = replace(request, params={k: v for k, v in request.params.items() if k != "n"})
    return joined(await asyncio.gather(*(pay(lm, single, deadline) for _ in range(request.params["n"]))))


def _response(endpoint: Endpoint, reply: RawReply) -> LMResponse:
    source = Source(endpoint.provider, endpoint.model)
    return endpoint.format.parse(source, reply.status, reply.headers, reply.body)


def settle(model: str, response: LMResponse, sent: int, deposit: Deposit | None) -> LMResponse:
    """The response with its cost and the HTTP requests that it took; the budget gets its change. `model` is
    "provider/model".
    """
    usage = response.usage
    price = prices.price_of(model)
    cost = price.cost(usage) if price is not None else None
    if deposit is not None:
        deposit.settle(cost, usage.total_tokens)
    if sent > 1:
        usage = replace(usage, requests=sent)
    elif cost is None:
        return response
    return LMResponse(response.outputs, usage, response.model, response.id, cost, response.cached, response.provider)
