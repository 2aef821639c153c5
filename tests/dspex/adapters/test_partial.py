"""A field read from pieces of a reply is the field read from the whole reply, wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dspex.adapters import Adapter, ChatAdapter, JSONAdapter, PlainAdapter, TwoStepAdapter, XMLAdapter
from dspex.adapters._partial import ObjectField
from dspex.signatures import make_signature
from dspex.testing import DummyLM

QA = make_signature("question -> answer, reason")
VALUES = st.text(alphabet='ab [#]</>\n"\\\u00e9\U0001f600:', max_size=12).map(str.strip).filter(bool)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter(), PlainAdapter()], ids=repr)
@given(answer=VALUES, reason=VALUES, cuts=st.lists(st.integers(0, 400), max_size=30))
@example(answer="[[ ## no marker", reason="]]", cuts=list(range(60)))
@example(answer="a </ans b", reason="</reason", cuts=list(range(60)))
def test_a_field_in_pieces_is_the_field_of_the_whole(
    adapter: Adapter, answer: str, reason: str, cuts: list[int]
) -> None:
    reply = adapter.format_assistant_message_content(QA, {"answer": answer, "reason": reason})
    try:
        whole = adapter.parse(QA, reply)
    except ValueError:  # a value that looks like the form itself
        return
    for name in ("answer", "reason"):
        reader = adapter.field_reader(QA, name)
        assert reader is not None
        said = "".join(reader.feed(piece) for piece in pieces(reply, cuts))
        assert whole[name].startswith(said)
        assert said == whole[name] or not reader.done


def test_what_is_certain_is_said_at_once() -> None:
    reader = ChatAdapter().field_reader(QA, "answer")
    assert reader is not None
    fed = ["[[ ## answer", " ## ]]\nOne t", "wo", " \n[[ #", " three\n\n[[ ## reason ## ]]", "\nno"]
    assert [reader.feed(piece) for piece in fed] == ["", "One t", "wo", "", " \n[[ # three", ""]
    assert reader.done


@given(value=st.recursive(st.none() | st.integers() | st.text(max_size=4), lambda v: st.lists(v, max_size=3)
       | st.dictionaries(st.text(max_size=3), v, max_size=3), max_leaves=6), ascii=st.booleans(),
       cuts=st.lists(st.integers(0, 400), max_size=20))  # fmt: skip
def test_of_an_object_any_value_is_read(value: Any, ascii: bool, cuts: list[int]) -> None:
    reply = "Here: " + json.dumps({"first": {"x": [value]}, "x": value, "last": 1}, ensure_ascii=ascii)
    reader = ObjectField("x")
    said = "".join(reader.feed(piece) for piece in pieces(reply, cuts))
    assert reader.done
    assert said == (value if isinstance(value, str) else json.dumps(value, ensure_ascii=ascii))


def test_an_adapter_that_extracts_with_another_model_reads_no_parts() -> None:
    assert TwoStepAdapter(DummyLM([])).field_reader(QA, "answer") is None
