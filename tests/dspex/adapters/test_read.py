"""Readers: lenient about form, strict about content."""

# ruff: noqa: UP007, UP045 (both spellings of unions are what is tested)

from __future__ import annotations

import datetime
import enum
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from annotated_types import Ge, MaxLen
from pydantic import BaseModel, ValidationError

from dspex.adapters._read import decode_object, json_reader, text_reader


class Tone(enum.Enum):
    WARM = "w"
    COLD = "c"


class Person(BaseModel):
    name: str
    age: int = 0


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (bool, "True", True),
        (bool, "false.", False),
        (bool, "Yes", True),
        (int, "42", 42),
        (int, " **42** ", 42),
        (int, "1,234,567", 1234567),
        (int, "42.0", 42),
        (float, "3", 3.0),
        (float, "1,234.5", 1234.5),
        (float, "1e-3", 0.001),
        (Literal["yes", "no"], "yes", "yes"),
        (Literal["yes", "no"], '"No".', "no"),
        (Literal["a", "A"], "A", "A"),
        (Literal[1, 2], "2", 2),
        (Tone, "w", Tone.WARM),
        (Tone, "cold", Tone.COLD),
        (Optional[int], "None", None),
        (Optional[int], "null", None),
        (Optional[int], "3", 3),
        (Optional[str], "none", None),
        (Optional[str], "3", "3"),
        (list[str], '["a", "b"]', ["a", "b"]),
        (list[str], "['a', 'b']", ["a", "b"]),
        (list[int], "```json\n[1, 2]\n```", [1, 2]),
        (list[int], "[1, 2", [1, 2]),
        (dict[str, int], "{'a': 1,}", {"a": 1}),
        (Person, '{"name": "Ada", "age": "3"}', Person(name="Ada", age=3)),
        (Person, "Here it is: {name: 'Ada'}", Person(name="Ada")),
        (list[Person], '[{"name": "a"}]', [Person(name="a")]),
        (Union[int, str], "x", "x"),
        (Union[int, str], "5", 5),
        (datetime.date, "2024-02-29", datetime.date(2024, 2, 29)),
        (Decimal, "1.10", Decimal("1.10")),
        (Any, "[1]", [1]),
        (Any, "plain words", "plain words"),
        (Annotated[int, Ge(3)], "3", 3),
        (type(None), "None", None),
    ],
)
def test_a_value_is_read_out_of_text(annotation: Any, text: str, value: Any) -> None:
    read = text_reader(annotation)
    assert read is not None
    result = read(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "says"),
    [
        (bool, "maybe", "'maybe' is not one of: True, False"),
        (int, "The answer is 42", "is not a whole number"),
        (int, "42.5", "is not a whole number"),
        (int, "1,23", "is not a whole number"),
        (float, "x", "is not a number"),
        (Literal["yes", "no"], "yes or no", "is not one of: yes, no"),
        (Literal["a", "A"], "", "is not one of"),
        (Literal["aB", "Ab"], "ab", "is not one of: aB, Ab"),
        (Tone, "tepid", "is not one of: w, c"),
        (list[int], '["a"]', "0: .*valid integer"),
        (list[int], "words", "valid list"),
        (Person, '{"age": 1}', "name: Field required"),
        (Person, "", "cannot|valid"),
        (Annotated[int, Ge(3)], "2", "greater than or equal to 3"),
        (Annotated[str, MaxLen(2)], "abc", "at most 2"),
        (type(None), "x", "expected None"),
        (datetime.date, "yesterday", "valid date"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_why(annotation: Any, text: str, says: str) -> None:
    read = text_reader(annotation)
    assert read is not None
    with pytest.raises((ValueError, ValidationError), match=says):
        read(text)


def test_plain_text_needs_no_reader() -> None:
    assert text_reader(str) is None


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        (str, "x", "x"),
        (str, 5, "5"),
        (str, {"a": 1}, '{"a": 1}'),
        (int, "5", 5),
        (int, 5, 5),
        (bool, True, True),
        (bool, "yes", True),
        (Literal["1", "2"], 1, "1"),
        (Tone, "warm", Tone.WARM),
        (list[int], "[1]", [1]),
        (Optional[int], None, None),
        (Person, {"name": "a"}, Person(name="a")),
    ],
)
def test_a_decoded_json_value_is_taken_for_its_type(annotation: Any, given: Any, value: Any) -> None:
    assert json_reader(annotation)(given) == value


def test_a_json_value_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="valid integer"):
        json_reader(list[int])(["a"])
    with pytest.raises(ValueError):
        json_reader(int)(None)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '```json\n{"a": 1}\n```',
        'Sure! {"a": 1} Anything else?',
        "{'a': 1}",
        '{"a": 1',
        '{"a": 1,}',
        "{a: 1}",
    ],
)
def test_an_object_is_found_in_a_reply(text: str) -> None:
    assert decode_object(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", "no object", "[1, 2]", "5"])
def test_a_reply_without_an_object_has_none(text: str) -> None:
    assert decode_object(text) is None
