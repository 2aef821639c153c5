"""GBNF: which replies a grammar lets through."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dspex.adapters._grammar import gbnf
from dspex.signatures import OutputField, make_signature


def grammar(text: str, opened: bool = False) -> str | None:
    fields = make_signature(f"x -> {text}").output_fields
    return gbnf(fields, {name: f"{name.title()}:" for name in fields}, opened)


@pytest.mark.parametrize(
    ("fields", "opened", "expected"),
    [
        ("a: Literal['x', 'y z']", False, '("x" | "y z")'),
        ("a: Literal['x']", True, '" " ("x")'),
        ("a: bool", False, '("True" | "False")'),
        ("a: bool | None", False, '("True" | "False" | "None")'),
        ("a: int", False, '("-"? [0-9]{1,15})'),
        ("a: float", False, '("-"? [0-9]{1,15} ("." [0-9]{1,15})?)'),
        ("why, a: bool", False, r'"Why: " [^\n]+ "\nA: " ("True" | "False")'),
        ("why, a: bool", True, r'" " [^\n]+ "\nA: " ("True" | "False")'),
    ],
)
def test_a_grammar_lists_the_values(fields: str, opened: bool, expected: str) -> None:
    assert grammar(fields, opened) == f"root ::= {expected}\n"


@pytest.mark.parametrize("fields", ["a", "a, b: str", "a: list[str]", "a: bool, b: dict[str, int]"])
def test_there_is_none_for_texts_alone_and_for_composite_types(fields: str) -> None:
    assert grammar(fields) is None


@pytest.mark.parametrize(
    ("limits", "numbers"),
    [
        ({"ge": 1, "le": 3}, ["1", "2", "3"]),
        ({"gt": -2, "lt": 1}, ["-1", "0"]),
        ({"ge": 0, "le": 9, "multiple_of": 4}, ["0", "4", "8"]),
    ],
)
def test_a_small_range_is_spelled_out(limits: dict[str, Any], numbers: list[str]) -> None:
    fields = make_signature({"a": (int, OutputField(**limits))}).output_fields
    assert re.findall(r'"([^"]+)"', gbnf(fields, {"a": "A:"}, False) or "") == numbers


def test_quotes_and_backslashes_are_escaped() -> None:
    assert grammar("a: Literal['\"\\\\']") == 'root ::= ("\\"\\\\")\n'
