"""Reading replies that are well formed, sloppy, or unusable."""

from __future__ import annotations

from typing import Any

import pytest

from dspex._errors import AdapterParseError
from dspex.adapters import Adapter, ChatAdapter, JSONAdapter, PlainAdapter, XMLAdapter
from dspex.signatures import make_signature

TWO = make_signature("q -> answer, score: int")
ONE = make_signature("q -> verdict: Literal['yes', 'no']")


@pytest.mark.parametrize(
    ("adapter", "reply"),
    [
        (ChatAdapter(), "[[ ## answer ## ]]\nx\n\n[[ ## score ## ]]\n3\n\n[[ ## completed ## ]]"),
        (ChatAdapter(), "Sure.\n\n[[ ## score ## ]] 3\n[[ ## other ## ]]\nz\n  [[ ## answer ## ]]\nx"),
        (ChatAdapter(), "[[ ## answer ## ]]\nx\n[[ ## score ## ]]\n3\n[[ ## answer ## ]]\nagain"),
        (JSONAdapter(), '{"answer": "x", "score": 3, "more": 1}'),
        (JSONAdapter(), 'Here: {"answer": "x", "score": "3"'),
        (XMLAdapter(), "<answer>x</answer>\n<score>\n3\n</score>"),
        (XMLAdapter(), "<out><answer>x</answer><score>3</score></out>"),
        (PlainAdapter(), "Answer: x\nScore: 3"),
        (PlainAdapter(), " x\nScore: 3"),
        (PlainAdapter(), "**Answer:** x\n**Score:** 3"),
        (PlainAdapter(), "score: 3\nanswer: x"),
        (PlainAdapter(), '{"answer": "x", "score": 3}'),
    ],
)
def test_the_fields_are_read(adapter: Adapter, reply: str) -> None:
    values = adapter.parse(TWO, reply)
    assert values == {"answer": "x", "score": 3}
    assert list(values) == ["answer", "score"]


@pytest.mark.parametrize("reply", ["yes", " Yes.", "Verdict: yes", "yes\nQ: more", "I think\nVerdict: yes\nok"])
def test_a_lone_plain_output_is_the_bare_value(reply: str) -> None:
    assert PlainAdapter().parse(ONE, reply) == {"verdict": "yes"}


def test_a_lone_plain_text_may_have_many_lines() -> None:
    assert PlainAdapter().parse(make_signature("q -> a"), " one\n\ntwo\n") == {"a": "one\n\ntwo"}


@pytest.mark.parametrize(
    ("adapter", "reply", "says", "parsed"),
    [
        (ChatAdapter(), "I cannot say.", "lacks the fields `answer`, `score`", {}),
        (ChatAdapter(), "[[ ## answer ## ]]\nx", "lacks the field `score`", {"answer": "x"}),
        (
            ChatAdapter(),
            "[[ ## answer ## ]]\nx\n[[ ## score ## ]]\nhigh",
            "`score` does not fit: 'high' is not a whole number",
            {"answer": "x"},
        ),
        (JSONAdapter(), "I cannot say.", "no JSON object", {}),
        (JSONAdapter(), '{"answer": "x"}', "lacks the field `score`", {"answer": "x"}),
        (JSONAdapter(), '{"answer": "x", "score": "high"}', "`score` does not fit", {"answer": "x"}),
        (XMLAdapter(), "<answer>x</answer>", "lacks the field `score`", {"answer": "x"}),
        (PlainAdapter(), "x", "lacks the field `score`", {"answer": "x"}),
        (PlainAdapter(), "x\nScore: high", "`score` does not fit", {"answer": "x"}),
    ],
)
def test_an_unusable_reply_is_an_error_that_carries_everything(
    adapter: Adapter, reply: str, says: str, parsed: dict[str, Any]
) -> None:
    with pytest.raises(AdapterParseError) as caught:
        adapter.parse(TWO, reply)
    error = caught.value
    assert says in error.reason
    assert says in str(error)
    assert reply in str(error)
    assert error.adapter_name == type(adapter).__name__
    assert error.lm_response == reply
    assert error.signature is TWO
    assert error.parsed_result == parsed


def test_an_empty_plain_reply_is_an_error() -> None:
    with pytest.raises(AdapterParseError, match="lacks the field `a`"):
        PlainAdapter().parse(make_signature("q -> a"), "  \n")


def test_two_plain_outputs_cannot_share_a_label() -> None:
    signature = make_signature("q -> a, b").with_updated_fields("b", prefix="A:")
    with pytest.raises(ValueError, match="same label"):
        PlainAdapter().parse(signature, "A: x")
