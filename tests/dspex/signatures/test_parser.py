"""The string form: what it means, and where its errors point."""

# ruff: noqa: UP007, UP045 (both spellings of unions are what is tested)

from __future__ import annotations

import enum
from typing import Any, Literal, Optional, Union

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex._errors import SignatureError
from dspex.signatures import Signature, make_signature
from dspex.signatures._names import type_name
from dspex.signatures._parser import parse_signature
from dspex.types import Code, Image


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(pydantic.BaseModel):
    name: str

    class Pet(pydantic.BaseModel):
        kind: str


def type_of(text: str, **custom: Any) -> Any:
    return make_signature(f"x -> y: {text}", custom_types=custom).output_fields["y"].annotation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("str", str),
        ("bool", bool),
        ("list[str]", list[str]),
        ("list[ list [int] ]", list[list[int]]),
        ("dict[str, list[int]]", dict[str, list[int]]),
        ("tuple[int, ...]", tuple[int, ...]),
        ("Optional[int]", Optional[int]),
        ("int | None", Optional[int]),
        ("int|str|None", Union[int, str, None]),
        ("Union[int, str]", Union[int, str]),
        ("(int | str)", Union[int, str]),
        ("list[int | None]", list[int | None]),
        ("Literal['a', \"b c\", 3, -1, True, None]", Literal["a", "b c", 3, -1, True, None]),
        ("Literal['a, b -> c: d']", Literal["a, b -> c: d"]),
        ("Literal[Color.RED]", Literal[Color.RED]),
        ("Any", Any),
        ("Person", Person),
        ("Person.Pet", Person.Pet),
        ("list[Color]", list[Color]),
        ("pydantic.BaseModel", pydantic.BaseModel),
        ("Image", Image),
        ("Code['python']", Code["python"]),
        ("None", type(None)),
    ],
)
def test_a_type_is_read_as_python_reads_it(text: str, expected: Any) -> None:
    assert type_of(text) == expected


def test_types_are_found_in_custom_types_first_and_in_the_callers_frame() -> None:
    class Local(pydantic.BaseModel):
        pass

    assert type_of("Local") is Local
    assert type_of("Mine", Mine=Local) is Local
    assert type_of("Person", Person=Local) is Local


def test_a_local_variable_that_is_no_type_does_not_hide_one() -> None:
    Image = "a text"  # noqa: F841
    assert Signature("x -> y: Image").output_fields["y"].annotation.__name__ == "Image"


def test_fields_without_a_type_are_text_and_keep_their_order() -> None:
    signature = Signature("b, a: int -> d: bool, c")
    assert list(signature.fields) == ["b", "a", "d", "c"]
    assert signature.input_fields["b"].annotation is str
    assert signature.signature == "b, a -> d, c"


def test_there_may_be_no_inputs() -> None:
    assert list(Signature("-> joke").output_fields) == ["joke"]


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("q", 1, "expected `->`"),
        ("q ->", 4, "at least one output"),
        ("", 0, "expected"),
        ("q -> a -> b", 7, "second `->`"),
        ("q, q -> a", 3, "already a field `q`"),
        ("q -> q", 5, "already a field `q`"),
        ("q,, r -> a", 2, "name of a field"),
        ("q -> a,", 7, "name of a field"),
        ("1q -> a", 0, "name of a field"),
        ("class -> a", 0, "word of Python"),
        ("_q -> a", 0, "underscore"),
        ("q$ -> a", 1, "unexpected character '$'"),
        ("q r -> a", 2, "expected `,` or `->`"),
        ("q -> a b", 7, "expected `,` or the end"),
        ("q: -> a", 3, "expected a type"),
        ("q: Strr -> a", 3, "no type `Strr`"),
        ("q: lst[str] -> a", 3, "did you mean `list`"),
        ("q: list[str -> a", 12, "expected `,` or `]`"),
        ("q: list[int, str] -> a", 7, "takes 1 type, found 2"),
        ("q: dict[str] -> a", 7, "takes 2 types, found 1"),
        ("q: int[str] -> a", 6, "cannot take this in brackets"),
        ("q: int | -> a", 9, "expected a type"),
        ("q -> a: Literal", 15, "Literal needs its values"),
        ("q -> a: Literal[x]", 16, "Literal takes"),
        ("q -> a: Literal['x", 16, "not closed"),
        ("q -> a: 'x'", 8, "only in Literal"),
        ("q -> a: list['x']", 13, "only in Literal"),
        ("q -> a: Person.Nope", 15, "no `Nope`"),
        ("q -> a: Optional", 16, "needs a type in brackets"),
        ("q -> a: (int", 12, "expected `)`"),
    ],
)
def test_an_error_points_at_the_offending_character(text: str, position: int, says: str) -> None:
    with pytest.raises(SignatureError) as caught:
        Signature(text)
    assert says in caught.value.reason
    assert caught.value.position == position
    line, mark = str(caught.value).splitlines()[-2:]
    assert line == f"    {text}"
    assert mark.index("^") == 4 + position


def test_the_error_of_an_unknown_type_says_how_to_give_it() -> None:
    with pytest.raises(SignatureError, match=r"custom_types=\{'Unknown': Unknown\}"):
        Signature("q -> a: Unknown")


names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not __import__("keyword").iskeyword(name)
)
literals = st.lists(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=6) | st.integers(-99, 99),
    min_size=1,
    max_size=3,
    unique_by=repr,
).map(lambda values: Literal[tuple(values)])  # type: ignore[valid-type]
annotations = st.recursive(
    st.sampled_from([str, int, float, bool, Any]) | literals,
    lambda inner: (
        inner.map(lambda t: list[t])
        | inner.map(lambda t: dict[str, t])
        | inner.map(lambda t: Optional[t])
        | st.tuples(inner, inner).map(lambda ts: tuple[ts])
        | st.tuples(inner, inner).map(lambda ts: Union[ts])
    ),
    max_leaves=5,
)


@given(st.dictionaries(names, annotations, min_size=2, max_size=5), st.data())
def test_what_is_written_in_the_string_form_is_read_back(fields: dict[str, Any], data: st.DataObject) -> None:
    items = list(fields.items())
    cut = data.draw(st.integers(0, len(items) - 1))
    text = " -> ".join(
        ", ".join(f"{name}: {type_name(annotation)}" for name, annotation in side)
        for side in (items[:cut], items[cut:])
    )
    signature = Signature(text)
    assert {name: field.annotation for name, field in signature.fields.items()} == fields
    assert list(signature.input_fields) == [name for name, _ in items[:cut]]


@given(st.text("abl:,[]|.()->'\"0 \n\té", max_size=25))
def test_any_text_is_a_signature_or_a_signature_error_inside_it(text: str) -> None:
    def lookup(name: str) -> Any:
        raise LookupError(name)

    try:
        _, outputs = parse_signature(text, lookup)
    except SignatureError as error:
        position = error.position
    else:
        assert outputs
        position = text.index("->")
    assert position is not None
    assert 0 <= position <= len(text)
