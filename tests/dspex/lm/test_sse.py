"""Server-sent events survive any cutting of the stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.lm._sse import EventReader, EventTooLargeError

STREAM = (
    b"\xef\xbb\xbf: a comment\ndata: one\n\nevent: named\r\ndata: two\r\ndata:three\r\n\r\n"
    b"id: 7\rdata: f\xc3\xbcr\r\rretry: 10\n\ndata\n\ndata: [DONE]\n\n"
)
EVENTS = [("message", "one"), ("named", "two\nthree"), ("message", "für"), ("message", ""), ("message", "[DONE]")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_wherever_it_is_cut_the_events_are_the_same(cuts: list[int]) -> None:
    reader, found = EventReader(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        found += list(reader.feed(STREAM[start:end]))
    found += list(reader.close())
    assert found == EVENTS


def test_an_event_without_its_blank_line_is_given_at_the_end() -> None:
    reader = EventReader()
    assert list(reader.feed(b"data: last")) == []
    assert list(reader.close()) == [("message", "last")]


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: x\n" * 200])
def test_an_endless_event_is_refused(data: bytes) -> None:
    with pytest.raises(EventTooLargeError):
        list(EventReader(max_event=100).feed(data))
