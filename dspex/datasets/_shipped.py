"""The two data sets that come with the package. Origin and licence of each: `data/README.md` beside this file."""

from __future__ import annotations

from pathlib import Path

from dspex.datasets._loader import DataLoader
from dspex.primitives import Example

_DATA = Path(__file__).with_name("data")

SENTIMENTS = ("positive", "negative")
"""The labels of `sentiment()`."""

INTENTS = (
    "add_to_playlist",
    "book_restaurant",
    "get_weather",
    "play_music",
    "rate_book",
    "search_creative_work",
    "search_screening_event",
)
"""The labels of `intent()`."""


def sentiment() -> list[Example]:
    """1,000 review sentences, half of them positive: `review` (the input), `sentiment`, `source`.

    From "Sentiment Labelled Sentences", Kotzias et al. 2015, CC BY 4.0. A new list at each call, always in one order.
    """
    rows = DataLoader().from_jsonl(_DATA / "sentiment.jsonl")
    return [Example(review=r.text, sentiment=r.label, source=r.source).with_inputs("review") for r in rows]


def intent() -> list[Example]:
    """450 requests to a voice assistant: `utterance` (the input) and `intent`, one of `INTENTS`.

    From BIG-bench's intent_recognition, Apache-2.0. A new list at each call, always in one order.
    """
    rows = DataLoader().from_jsonl(_DATA / "intent.jsonl")
    return [Example(utterance=r.text, intent=r.label).with_inputs("utterance") for r in rows]
