"""`Signature` classes: declaration, derivation, identity, state."""

from __future__ import annotations

import copy
import enum
import pickle
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge
from pydantic import BaseModel

from dspex._errors import SignatureError
from dspex.signatures import (
    InputField,
    OutputField,
    Signature,
    ensure_signature,
    infer_prefix,
    make_signature,
)
from dspex.signatures._field import constraint_text, extra_of


class Grade(Signature):
    """Grade the answer.

    Be strict.
    """

    question: str = InputField()
    answer: str = InputField(desc="the student's")
    score: int = OutputField(ge=0, le=10, desc="points")
    why = OutputField()


class Base(Signature):
    a: str = InputField()
    b: str = OutputField()


class Derived(Base):
    c: int = OutputField()


def test_the_class_form_reads_docstring_types_and_order() -> None:
    assert Grade.instructions == "Grade the answer.\n\nBe strict."
    assert list(Grade.input_fields) == ["question", "answer"]
    assert list(Grade.output_fields) == ["score", "why"]
    assert Grade.output_fields["why"].annotation is str
    assert Grade.signature == "question, answer -> score, why"


def test_a_field_without_annotation_keeps_its_place() -> None:
    class Mixed(Signature):
        first = InputField()
        second: int = InputField()
        third = InputField()
        out: str = OutputField()

    assert list(Mixed.input_fields) == ["first", "second", "third"]


def test_inputs_come_before_outputs_in_fields() -> None:
    class Odd(Signature):
        out: str = OutputField()
        given: str = InputField()

    assert list(Odd.fields) == ["given", "out"]


def test_types_are_resolved_where_the_class_is() -> None:
    class Mood(enum.Enum):
        GOOD = "good"

    class Local(Signature):
        text: str = InputField()
        mood: Mood = OutputField()

    assert Local.output_fields["mood"].annotation is Mood


def test_an_undefined_type_is_a_signature_error() -> None:
    with pytest.raises(SignatureError, match="Undefined"):

        class Wrong(Signature):
            x: Undefined = InputField()  # type: ignore[name-defined]  # noqa: F821


def test_a_field_that_says_no_direction_is_an_error_that_names_it() -> None:
    with pytest.raises(SignatureError, match=r"`q` of `Wrong`.*InputField") as caught:

        class Wrong(Signature):
            q: str
            a: str = OutputField()

    assert caught.value.field == "q"
    with pytest.raises(SignatureError, match="underscore"):

        class Hidden(Signature):
            _q: str = InputField()


def test_fields_may_be_called_like_methods_and_properties() -> None:
    signature = Signature("copy, fields, instructions: int, json -> signature, append: bool, model_name")
    assert list(signature.fields) == [
        "copy",
        "fields",
        "instructions",
        "json",
        "signature",
        "append",
        "model_name",
    ]
    assert signature.input_fields["instructions"].annotation is int
    assert list(signature.append("z", InputField()).input_fields)[-1] == "z"


def test_default_instructions_name_the_fields_and_follow_them() -> None:
    signature = Signature("a, b -> c")
    assert signature.instructions == "Given the fields `a`, `b`, produce the fields `c`."
    assert signature.append("d", OutputField()).instructions.endswith("produce the fields `c`, `d`.")
    assert Derived.instructions == "Given the fields `a`, produce the fields `b`, `c`."


def test_written_instructions_stay_and_are_inherited() -> None:
    class Stricter(Grade):
        extra: bool = OutputField()

    assert Stricter.instructions == Grade.instructions
    assert list(Stricter.output_fields) == ["score", "why", "extra"]
    assert Grade.delete("why").instructions == Grade.instructions


def test_derivation_makes_a_new_signature_and_leaves_the_old_one() -> None:
    before = Grade.dump_state()
    other = Grade.with_instructions("Other.")
    assert (other.instructions, other.__name__) == ("Other.", "Grade")
    assert Grade.append_instructions("More.").instructions == "Grade the answer.\n\nBe strict.\n\nMore."
    assert list(Grade.prepend("z", InputField()).input_fields) == ["z", "question", "answer"]
    assert list(Grade.append("z", OutputField(), bool).output_fields) == ["score", "why", "z"]
    assert list(Grade.insert(1, "z", InputField()).input_fields) == ["question", "z", "answer"]
    assert list(Grade.insert(-2, "z", InputField()).input_fields) == ["question", "z", "answer"]
    assert list(Grade.insert(0, "why", OutputField()).output_fields) == ["why", "score"]
    assert list(Grade.delete("answer").fields) == ["question", "score", "why"]
    assert Grade.delete("nothing") == Grade
    assert Grade.dump_state() == before
    assert list(Grade.fields) == ["question", "answer", "score", "why"]


def test_an_impossible_place_or_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place 5"):
        Grade.insert(5, "z", InputField())
    with pytest.raises(ValueError, match="no place -4"):
        Grade.insert(-4, "z", InputField())
    with pytest.raises(SignatureError, match="InputField"):
        Grade.append("z", "text")


def test_updating_a_field_changes_what_is_given_and_keeps_the_rest() -> None:
    changed = Grade.with_updated_fields("score", type_=float, desc="new", le=5)
    field = changed.output_fields["score"]
    assert field.annotation is float
    assert extra_of(field)["desc"] == "new"
    assert constraint_text(field) == "at least 0, at most 5"
    assert constraint_text(Grade.output_fields["score"]) == "at least 0, at most 10"
    wider = Grade.with_updated_fields("score", le=20).output_fields["score"]
    assert sorted(map(repr, wider.metadata)) == ["Ge(ge=0)", "Le(le=20)"]
    with pytest.raises(SignatureError, match="no field `nope`; it has: question"):
        Grade.with_updated_fields("nope", desc="x")


def test_constraints_come_from_arguments_and_from_annotated() -> None:
    class Limits(Signature):
        text: str = InputField(max_length=20)
        n: Annotated[int, Ge(3)] = OutputField(lt=9)
        code: str = OutputField(pattern="^a+$", min_length=2)

    assert constraint_text(Limits.input_fields["text"]) == "a length of at most 20"
    assert constraint_text(Limits.output_fields["n"]) == "at least 3, less than 9"
    assert constraint_text(Limits.output_fields["code"]) == "a length of at least 2, matching the pattern ^a+$"
    derived = Limits.with_instructions("x").append("z", OutputField())
    assert constraint_text(derived.output_fields["n"]) == "at least 3, less than 9"


def test_equality_is_of_content() -> None:
    same = make_signature("a -> b", "I.")
    assert same == make_signature("a -> b", "I.")
    assert same.equals(make_signature("a -> b", "I."))
    assert hash(same) == hash(make_signature("a -> b", "I."))
    assert same != make_signature("a -> b", "J.")
    assert same != make_signature("a -> b: int", "I.")
    assert same != make_signature("a -> c", "I.")
    assert same != make_signature("-> a, b", "I.")
    assert same != same.with_updated_fields("b", desc="x")
    assert same != same.with_updated_fields("b", max_length=3)
    assert len({same, make_signature("a -> b", "I.")}) == 1


def test_state_has_instructions_and_a_label_and_description_per_field() -> None:
    assert Grade.dump_state() == {
        "instructions": "Grade the answer.\n\nBe strict.",
        "fields": [
            {"prefix": "Question:", "description": "${question}"},
            {"prefix": "Answer:", "description": "the student's"},
            {"prefix": "Score:", "description": "points"},
            {"prefix": "Why:", "description": "${why}"},
        ],
    }


def test_a_dumped_state_loads_into_the_same_fields() -> None:
    tuned = Grade.with_instructions("New.").with_updated_fields("why", desc="reason", prefix="Because:")
    loaded = Grade.load_state(tuned.dump_state())
    assert loaded == tuned
    assert loaded.output_fields["score"].annotation is int
    with pytest.raises(SignatureError, match="saved from another signature"):
        Signature("a -> b").load_state(Grade.dump_state())


class Tone(enum.Enum):
    WARM = "warm"


class Address(BaseModel):
    city: str


@pytest.mark.parametrize(
    "signature",
    [
        Grade,
        Grade.with_instructions("x").append("z", OutputField(gt=3), float),
        make_signature("a: list[Tone], b: Address -> c: Literal['x', 'y'], d: int | None, e: Code['python']"),
    ],
    ids=["imported", "derived", "string"],
)
def test_a_signature_survives_pickle_and_copies(signature: Any) -> None:
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        twin = pickle.loads(pickle.dumps(signature, protocol))
        assert twin == signature
        assert twin.dump_state() == signature.dump_state()
    assert copy.deepcopy(signature) is signature
    assert copy.copy(signature) is signature


def test_a_class_that_can_be_imported_is_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(Derived)) is Derived


def test_a_local_class_is_pickled_by_its_fields() -> None:
    class Here(Signature):
        """Do."""

        a: int = InputField()
        b: Literal["x"] = OutputField(desc="d")

    assert pickle.loads(pickle.dumps(Here)) == Here


def test_a_signature_is_made_of_dicts_and_strings_and_signatures() -> None:
    made = make_signature({"q": InputField(), "n": (int, OutputField(desc="d"))}, "Do.", "Named")
    assert (made.__name__, made.instructions, made.signature) == ("Named", "Do.", "q -> n")
    assert Signature({"n": (int, OutputField()), "q": InputField()}).signature == "q -> n"
    assert ensure_signature(Grade) is Grade
    assert ensure_signature("a -> b", "I.").instructions == "I."
    with pytest.raises(ValueError, match="with_instructions"):
        ensure_signature(Grade, "x")
    for wrong in (3, None, int):
        with pytest.raises(SignatureError):
            ensure_signature(wrong)  # type: ignore[arg-type]
    with pytest.raises(SignatureError):
        make_signature({"q": "text"})


def test_an_instance_can_be_made_and_is_checked() -> None:
    made = Derived(a="x", b="y", c="3")
    assert made.c == 3


def test_repr_shows_the_whole_declaration() -> None:
    text = repr(Grade)
    assert text.startswith("Grade(question, answer -> score, why\n")
    assert "score: int = OutputField(desc='points', prefix='Score:', ge=0, le=10)" in text
    assert "instructions='Grade the answer." in text


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("question", "Question"),
        ("some_field_name", "Some Field Name"),
        ("someFieldName", "Some Field Name"),
        ("HTMLPage", "HTML Page"),
        ("page_URL", "Page URL"),
        ("step2", "Step 2"),
        ("a", "A"),
    ],
)
def test_a_label_is_the_name_in_words(name: str, label: str) -> None:
    assert infer_prefix(name) == label
