"""Prices: known, told, or None."""

from __future__ import annotations

import pytest

from dspex.lm import Price, Usage
from dspex.lm._prices import PriceList


def test_an_unknown_price_is_none_and_never_zero() -> None:
    assert PriceList().price_of("openai/no-such-model") is None


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-4o",
        "openai/gpt-4o-2024-08-06",
        "anthropic/claude-sonnet-4-5-20250929",
        "anthropic/claude-3-5-haiku-latest",
    ],
)
def test_a_dated_name_costs_what_the_model_costs(model: str) -> None:
    assert PriceList().price_of(model) is not None


def test_a_price_of_ones_own_comes_first_and_can_be_taken_back() -> None:
    prices, own = PriceList(), Price(1.0, 2.0)
    listed = prices.price_of("openai/gpt-4o")
    prices.register("openai/gpt-4o", own)
    assert prices.price_of("openai/gpt-4o") == own
    prices.register("openai/gpt-4o", None)
    assert prices.price_of("openai/gpt-4o") == listed


def test_cached_prompt_tokens_have_their_own_price_where_there_is_one() -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000, cached_tokens=400_000)
    assert Price(10.0, 20.0, 1.0).cost(usage) == pytest.approx(6.0 + 0.4 + 20.0)
    assert Price(10.0, 20.0).cost(usage) == pytest.approx(30.0)
