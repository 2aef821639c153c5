"""What tokens cost, where it is known, in USD per million tokens: list prices as of October 2025.

Prices change: `register_price` overrides, and `price_of` answers None, never 0, for a model that is not listed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import MappingProxyType

from ._types import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. `cached` is the price of prompt tokens that the provider had cached (None: as any
    other).
    """

    prompt: float
    completion: float
    cached: float | None = None

    def cost(self, usage: Usage) -> float:
        """USD for `usage`."""
        cached = usage.cached_tokens if self.cached is not None else 0
        fresh = usage.prompt_tokens - cached
        return (fresh * self.prompt + cached * (self.cached or 0.0) + usage.completion_tokens * self.completion) / 1e6


KNOWN = MappingProxyType(
    {
        "openai/gpt-4o": Price(2.50, 10.00, 1.25),
        "openai/gpt-4o-mini": Price(0.15, 0.60, 0.075),
        "openai/gpt-4.1": Price(2.00, 8.00, 0.50),
        "openai/gpt-4.1-mini": Price(0.40, 1.60, 0.10),
        "openai/gpt-4.1-nano": Price(0.10, 0.40, 0.025),
        "openai/gpt-5": Price(1.25, 10.00, 0.125),
        "openai/gpt-5-mini": Price(0.25, 2.00, 0.025),
        "openai/gpt-5-nano": Price(0.05, 0.40, 0.005),
        "openai/o3": Price(2.00, 8.00, 0.50),
        "openai/o4-mini": Price(1.10, 4.40, 0.275),
        "openai/text-embedding-3-small": Price(0.02, 0.0),
        "openai/text-embedding-3-large": Price(0.13, 0.0),
        "anthropic/claude-opus-4-1": Price(15.00, 75.00, 1.50),
        "anthropic/claude-sonnet-4-5": Price(3.00, 15.00, 0.30),
        "anthropic/claude-sonnet-4": Price(3.00, 15.00, 0.30),
        "anthropic/claude-haiku-4-5": Price(1.00, 5.00, 0.10),
        "anthropic/claude-3-5-haiku": Price(0.80, 4.00, 0.08),
        "gemini/gemini-2.5-pro": Price(1.25, 10.00, 0.31),
        "gemini/gemini-2.5-flash": Price(0.30, 2.50, 0.075),
        "gemini/gemini-2.5-flash-lite": Price(0.10, 0.40, 0.025),
    }
)


class PriceList:
    """The known prices and the caller's own. Any thread."""

    def __init__(self) -> None:
        self._own: dict[str, Price] = {}
        self._found: dict[str, Price | None] = {}
        self._lock = threading.Lock()

    def register(self, model: str, price: Price | None) -> None:
        """Set the price of "provider/model"; None forgets it, also a listed one's override."""
        with self._lock:
            own = dict(self._own)
            if price is None:
                own.pop(model, None)
            else:
                own[model] = price
            self._own, self._found = own, {}  # replaced as a whole: readers need no lock

    def price_of(self, model: str) -> Price | None:
        """The price of "provider/model", with or without the date at its end; None when it is not known."""
        found = self._found
        if model not in found:
            names = (model, _undated(model))
            listed = (prices.get(name) for name in names for prices in (self._own, KNOWN))
            found[model] = next((price for price in listed if price is not None), None)
        return found[model]


def _undated(model: str) -> str:
    """gpt-4o-2024-08-06 and claude-sonnet-4-5-20250929 are sold as gpt-4o and claude-sonnet-4-5."""
    head, _, tail = model.rpartition("-")
    if len(tail) == 8 and tail.isdigit():
        return head
    parts = model.rsplit("-", 3)
    if len(parts) == 4 and all(p.isdigit() for p in parts[1:]) and len(parts[1]) == 4:
        return parts[0]
    return model.removesuffix("-latest")


prices = PriceList()
"""The process's price list: configuration, like `settings`."""


def register_price(model: str, *, prompt: float, completion: float, cached: float | None = None) -> None:
    """Tell what "provider/model" costs, in USD per million tokens: for models that are not listed, or have a new
    price.
    """
    prices.register(model, Price(prompt, completion, cached))
