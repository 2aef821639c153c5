"""What an adapter writes as a demonstration's reply, it reads back as the same values."""

from __future__ import annotations

import enum
from typing import Any, Literal, Optional

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel

from dspex.adapters import Adapter, ChatAdapter, JSONAdapter, PlainAdapter, XMLAdapter
from dspex.signatures import InputField, OutputField, make_signature
from dspex.types import Code, Reasoning, ToolCalls


class Tone(enum.Enum):
    WARM = "warm"
    COLD = 2


class Person(BaseModel):
    name: str
    age: int | None = None
    tags: list[str] = []


# A text may hold what it likes but the marks of the formats: `[[ ##`, tags, and labels at the start of a line.
characters = st.characters(codec="utf-8", exclude_characters="<:", exclude_categories=["Cs", "Cc"])
texts = st.text(characters | st.just("\n"), min_size=1, max_size=20).filter(
    lambda text: text == text.strip() and "[[ ##" not in text and text.lower() not in ("none", "null")
)
inner_texts = st.text(characters | st.sampled_from('\n\t"\\{}[]'), max_size=12)
floats = st.floats(allow_nan=False, allow_infinity=False)
names = st.text("abc", min_size=1, max_size=3)

simple: st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]] = st.sampled_from(
    [
        (str, inner_texts),
        (int, st.integers(-(10**12), 10**12)),
        (float, floats),
        (bool, st.booleans()),
        (Tone, st.sampled_from(Tone)),
        (Literal["yes", "no", "not sure"], st.sampled_from(["yes", "no", "not sure"])),
        (Literal[1, 2, -3], st.sampled_from([1, 2, -3])),
        (
            Person,
            st.builds(
                Person, name=inner_texts, age=st.none() | st.integers(0, 99), tags=st.lists(inner_texts, max_size=2)
            ),
        ),
    ]
)
nested = st.recursive(
    simple,
    lambda inner: (
        inner.map(lambda p: (list[p[0]], st.lists(p[1], max_size=3)))
        | inner.map(lambda p: (dict[str, p[0]], st.dictionaries(names, p[1], max_size=3)))
        | inner.filter(lambda p: p[0] is not str).map(lambda p: (Optional[p[0]], st.none() | p[1]))  # noqa: UP045
    ),
    max_leaves=3,
)
fields = (
    st.just((str, texts))
    | st.just((Reasoning, texts.map(Reasoning)))
    | st.just((Code["python"], texts.filter(lambda t: "```" not in t).map(lambda t: Code["python"](code=t))))
    | nested.filter(lambda pair: pair[0] is not str)
)


@pytest.mark.parametrize(
    "adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter(), PlainAdapter()], ids=lambda a: type(a).__name__
)
@given(st.data())
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_demonstrated_reply_reads_back(adapter: Adapter, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(fields, min_size=1, max_size=3))
    declared: dict[str, Any] = {"question": InputField()}
    declared.update({f"out{i}": (pair[0], OutputField()) for i, pair in enumerate(pairs)})
    signature = make_signature(declared)
    values = {f"out{i}": data.draw(pair[1]) for i, pair in enumerate(pairs)}
    demo = {"question": "q", **values}
    messages = adapter.format(signature, [demo], {"question": "x"})
    (reply,) = [message["content"] for message in messages if message["role"] == "assistant"]
    assert adapter.parse(signature, reply) == values


@pytest.mark.parametrize(
    "adapter", [ChatAdapter(), JSONAdapter(), XMLAdapter(), PlainAdapter()], ids=lambda a: type(a).__name__
)
def test_tool_calls_read_back(adapter: Adapter) -> None:
    signature = make_signature({"q": InputField(), "calls": (ToolCalls, OutputField())})
    calls = ToolCalls.from_dict_list([{"name": "f", "args": {"x": [1, "a"]}}])
    reply = adapter.format_assistant_message_content(signature, {"calls": calls})
    assert adapter.parse(signature, reply) == {"calls": calls}
