"""What the prompts hold, by adapter."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from dspex.adapters import Adapter, ChatAdapter, JSONAdapter, PlainAdapter, XMLAdapter
from dspex.adapters._wording import INCOMPLETE, NOT_GIVEN, as_prompt
from dspex.signatures import InputField, OutputField, Signature, make_signature
from dspex.types import History, Image, Tool, Type

PNG = b"\x89PNG\r\n\x1a\n"
ALL = [ChatAdapter(), JSONAdapter(), XMLAdapter(), PlainAdapter()]


class Person(BaseModel):
    name: str


class Grade(Signature):
    """Grade the answer."""

    question: str = InputField()
    answer: str = InputField(desc="the student's")
    score: int = OutputField(desc="points", ge=0, le=10)
    verdict: Literal["pass", "fail"] = OutputField()
    why: str = OutputField()


QUESTION = {"question": "2+2?", "answer": "4"}


def by_role(messages: list[dict[str, Any]], role: str) -> list[Any]:
    return [message["content"] for message in messages if message["role"] == role]


@pytest.mark.parametrize("adapter", ALL, ids=repr)
def test_the_first_message_tells_fields_descriptions_constraints_and_the_task(adapter: Adapter) -> None:
    system, question = adapter.format(Grade, [], QUESTION)
    assert (system["role"], question["role"]) == ("system", "user")
    for words in ("the student's", "points", "at least 0, at most 10", "pass", "fail", "Grade the answer."):
        assert words in system["content"]
    assert "2+2?" in question["content"]


def test_the_chat_instruction_names_the_fields_in_order_with_their_forms() -> None:
    content = ChatAdapter().format(Grade, [], QUESTION)[-1]["content"]
    assert content.startswith("[[ ## question ## ]]\n2+2?\n\n[[ ## answer ## ]]\n4\n\n")
    asked = content[content.rindex("starting with the field") :]
    found = re.findall(r"\[\[ ## (\w+) ## \]\]`?( \(must [^)]*\)|)", asked)
    assert found == [
        ("score", " (must be a single int value, at least 0, at most 10)"),
        ("verdict", " (must be exactly one of: pass; fail)"),
        ("why", ""),
        ("completed", ""),
    ]


def test_the_json_instruction_names_the_keys_in_order() -> None:
    content = JSONAdapter().format(Grade, [], QUESTION)[-1]["content"]
    asked = content[content.rindex("Respond with a JSON object") :]
    assert re.findall(r"`(\w+)`", asked) == ["score", "verdict", "why"]
    assert "starting with the field" not in content


@pytest.mark.parametrize("adapter", ALL, ids=repr)
def test_demonstrations_are_turns_before_the_question(adapter: Adapter) -> None:
    demos = [
        {**QUESTION, "score": 10, "verdict": "pass", "why": "right"},
        {"question": "only", "verdict": "fail"},
        {"question": "no output"},
        {"verdict": "pass"},
    ]
    messages = adapter.format(Grade, demos, QUESTION)
    assert [message["role"] for message in messages] == [
        "system",
        *["user", "assistant"] * 2,
        "user",
    ]
    replies = by_role(messages, "assistant")
    assert any("right" in reply and "10" in reply for reply in replies)


@pytest.mark.parametrize("adapter", ALL[:3], ids=repr)
def test_an_incomplete_demonstration_comes_first_and_says_so(adapter: Adapter) -> None:
    whole = {**QUESTION, "score": 10, "verdict": "pass", "why": "right"}
    messages = adapter.format(Grade, [whole, {"question": "only", "verdict": "fail"}], QUESTION)
    assert messages[1]["content"].startswith(INCOMPLETE)
    assert messages[2]["content"].count(NOT_GIVEN) == 2
    assert INCOMPLETE not in messages[3]["content"]
    assert NOT_GIVEN not in messages[4]["content"]


@pytest.mark.parametrize("adapter", ALL, ids=repr)
def test_a_history_becomes_turns_and_is_no_field(adapter: Adapter) -> None:
    signature = make_signature(
        {"past": (History, InputField()), "question": InputField(), "answer": OutputField()}, "Talk."
    )
    past = History(messages=[{"question": "one?", "answer": "1"}, {"question": "two?", "answer": "2"}])
    messages = adapter.format(signature, [], {"past": past, "question": "three?"})
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert "one?" in messages[1]["content"]
    assert "2" in messages[4]["content"]
    assert "past" not in json.dumps(messages)
    assert len(adapter.format(signature, [], {"question": "three?"})) == 2


@pytest.mark.parametrize("adapter", ALL, ids=repr)
def test_an_image_is_a_part_between_the_texts_around_it(adapter: Adapter) -> None:
    signature = make_signature({"a": InputField(), "b": (Image, InputField()), "c": InputField(), "d": OutputField()})
    content = adapter.format(signature, [], {"a": "AAA", "b": Image(PNG), "c": "CCC"})[-1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    assert "AAA" in content[0]["text"]
    assert "CCC" in content[2]["text"]
    plain_url = adapter.format(signature, [], {"a": "x", "b": "https://x.org/y.png", "c": "z"})[-1]["content"]
    assert plain_url[1]["image_url"]["url"] == "https://x.org/y.png"


def test_images_inside_lists_dicts_and_models_are_parts_too() -> None:
    class Page(BaseModel):
        title: str
        picture: Image

    signature = make_signature({"x": (Any, InputField()), "y": OutputField()})
    for value in ([Image(PNG)], {"k": [Image(PNG), "t"]}, Page(title="T", picture=Image(PNG))):
        content = ChatAdapter().format(signature, [], {"x": value})[-1]["content"]
        assert [part["type"] for part in content] == ["text", "image_url", "text"]


def test_a_type_of_ones_own_is_formatted_its_way_and_described() -> None:
    class Money(Type):
        cents: int

        def format(self) -> str:
            return f"{self.cents / 100:.2f} EUR"

        @classmethod
        def description(cls) -> str:
            return "an amount of money"

    signature = make_signature({"price": (Money, InputField()), "fair": (bool, OutputField())})
    system, question = ChatAdapter().format(signature, [], {"price": Money(cents=199)})
    assert "Money: an amount of money" in system["content"]
    assert "1.99 EUR" in question["content"]


def test_tools_are_shown_by_name_and_arguments() -> None:
    def look(city: str) -> str:
        """Look outside."""
        return city

    signature = make_signature({"tools": (list[Tool], InputField()), "next": OutputField()})
    content = ChatAdapter().format(signature, [], {"tools": [Tool(look)]})[-1]["content"]
    assert 'look: Look outside.. Arguments: {"city": {"type": "string"}}' in content


def test_values_read_as_in_python_or_json() -> None:
    signature = make_signature("a: int, b: bool, c: list[int], d: Person, e, f: float | None -> y")
    given = {"a": 1, "b": True, "c": [1], "d": Person(name="é"), "e": ["x", "y"], "f": None}
    content = ChatAdapter().format(signature, [], given)[-1]["content"]
    shown = dict(re.findall(r"\[\[ ## (\w) ## \]\]\n(.*?)\n\n", content, re.DOTALL))
    assert shown == {
        "a": "1",
        "b": "True",
        "c": "[1]",
        "d": '{"name": "é"}',
        "e": "[1] x\n[2] y",
        "f": "None",
    }


def test_a_composite_output_shows_its_schema_once() -> None:
    system, question = ChatAdapter().format(make_signature("q -> who: Person"), [], {"q": "x"})
    assert '"properties": {"name": {"type": "string"}}' in system["content"]
    assert "(must be a JSON object that fits its JSON schema)" in question["content"]


def test_inputs_that_are_not_given_are_left_out() -> None:
    content = ChatAdapter().format(Grade, [], {"question": "x", "other": "ignored"})[-1]["content"]
    assert "[[ ## answer ## ]]" not in content
    assert "ignored" not in content


def test_fixed_parts_are_made_once_per_signature() -> None:
    class Counting(ChatAdapter):
        made = 0

        def format_system_message(self, signature: type[Signature]) -> str:
            self.made += 1
            return super().format_system_message(signature)

    adapter = Counting()
    for text in ("a", "b", "c"):
        adapter.format(Grade, [], {"question": text, "answer": text})
    assert adapter.made == 1
    adapter.format(Grade.with_instructions("Other."), [], QUESTION)
    assert adapter.made == 2


def test_hooks_of_a_subclass_are_used() -> None:
    class Shouting(ChatAdapter):
        def format_task_description(self, signature: type[Signature]) -> str:
            return signature.instructions.upper()

    assert "GRADE THE ANSWER." in Shouting().format(Grade, [], QUESTION)[0]["content"]
    assert "GRADE THE ANSWER." not in ChatAdapter().format(Grade, [], QUESTION)[0]["content"]


def test_finetuning_data_is_the_prompt_and_the_reply() -> None:
    row = ChatAdapter().format_finetune_data(make_signature("q -> a"), [], {"q": "x"}, {"a": "y"})
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
    assert row["messages"][-1]["content"] == "[[ ## a ## ]]\ny\n\n[[ ## completed ## ]]"


def test_the_plain_prompt_is_terse() -> None:
    signature = make_signature("review -> sentiment: Literal['positive', 'negative']")
    adapter = PlainAdapter()
    demos = [{"review": "Great.", "sentiment": "positive"}]
    assert adapter.format_prompt(signature, demos, {"review": "Bad."}) == (
        "Sentiment: one of: positive, negative.\n\nReview: Great.\nSentiment: positive\n\nReview: Bad.\nSentiment:"
    )
    assert [m["content"] for m in adapter.format(signature, demos, {"review": "Bad."})] == [
        "Sentiment: one of: positive, negative.",
        "Review: Great.\nSentiment:",
        "positive",
        "Review: Bad.\nSentiment:",
    ]


def test_several_plain_outputs_have_a_line_each() -> None:
    demo = {**QUESTION, "score": 10, "verdict": "pass", "why": "right"}
    prompt = PlainAdapter().format_prompt(Grade, [demo], {"question": "x", "answer": "y"})
    assert "Question: 2+2?\nAnswer: 4\nScore: 10\nVerdict: pass\nWhy: right\n\n" in prompt
    assert prompt.endswith("Question: x\nAnswer: y\nScore:")


def test_a_conversation_becomes_one_text_for_a_text_endpoint() -> None:
    text = as_prompt(ChatAdapter().format(make_signature("q -> a"), [{"q": "1", "a": "2"}], {"q": "3"}))
    assert re.findall(r"^(User|Assistant):", text, re.MULTILINE) == ["User", "Assistant", "User", "Assistant"]
    with pytest.raises(ValueError, match="no images"):
        as_prompt([{"role": "user", "content": Image(PNG).format()}])
