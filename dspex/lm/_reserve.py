"""Room in a budget for the most that a call may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors import Reply
from dspex._errors import LMConfigurationError

from ._prices import prices
from ._types import Usage

if TYPE_CHECKING:
    from ._budget import Budget, Reservation
    from ._types import LMRequest

DEFAULT_COMPLETION = 4096  # tokens reserved for a reply whose length the call does not bound


def most_tokens(request: LMRequest) -> int:
    """The completion tokens that a call may bring at most."""
    params = request.params
    longest = params.get("max_tokens") or params.get("max_completion_tokens") or DEFAULT_COMPLETION
    return int(longest * (params.get("n") or 1))


def unknown_price(model: str, instead: str) -> LMConfigurationError:
    """What to raise when money is limited and nobody knows what the model costs. ``instead``: a limit that works."""
    return LMConfigurationError(
        f"a usd budget is in force and the price of {model} is not known: tell it with "
        f"register_price({model!r}, prompt=..., completion=...), or for a BaseLM of one's own with the cost of its "
        f"LMResponse, or use {instead}",
        code="unknown_price",
        model=model,
    )


async def reserve(budget: Budget, model: str, prompt_bytes: int, completion: int) -> Reservation:
    """A reservation; waits for calls in flight if they may leave room. `model` is "provider/model".

    A token is at least one byte, so the bytes of the request bound its prompt tokens. Raises LMConfigurationError when
    dollars are limited and the price is not known, BudgetExceededError when the call cannot fit.
    """
    price = prices.price_of(model)
    if price is None and budget.limits_usd:
        raise unknown_price(model, "budget(tokens=...)")
    usage = Usage(prompt_tokens=prompt_bytes, completion_tokens=completion)
    usd = price.cost(usage) if price is not None else 0.0
    while (reservation := budget.reserve(usd, prompt_bytes + completion)) is None:
        changed: Reply[None] = Reply()
        budget.when_changed(changed.set)
        await changed
    return reservation
