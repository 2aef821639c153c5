"""`Adapter.acall`: what is asked of the LM, and what becomes of its reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dspex._errors import AdapterParseError, LMServerError
from dspex._settings import context
from dspex.adapters import Adapter, ChatAdapter, JSONAdapter, PlainAdapter, TwoStepAdapter, XMLAdapter
from dspex.adapters._describe import response_schema
from dspex.callbacks import BaseCallback
from dspex.lm._types import LMOutput, ToolCallPart
from dspex.signatures import InputField, OutputField, make_signature
from dspex.types import Reasoning, Tool, ToolCalls

QA = make_signature("question -> answer, score: int")
MOOD = make_signature("review -> mood: Literal['good', 'bad']")
GOOD = "[[ ## answer ## ]]\nx\n\n[[ ## score ## ]]\n3\n\n[[ ## completed ## ]]"
Scripted = Callable[..., Any]


def call(adapter: Adapter, lm: Any, signature: Any = QA, inputs: Any = None, **params: Any) -> list[dict[str, Any]]:
    given = inputs or dict.fromkeys(signature.input_fields, "q")
    return asyncio.run(adapter.acall(lm, params, signature, [], given))


def test_a_good_reply_is_one_request_with_the_calls_parameters(scripted: Scripted) -> None:
    lm = scripted(GOOD)
    assert call(ChatAdapter(), lm, temperature=1, rollout_id=7) == [{"answer": "x", "score": 3}]
    (request,) = lm.requests
    assert (request.model, request.params, request.rollout_id) == ("scripted", {"temperature": 1}, 7)
    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert request.prompt is None


def test_every_completion_is_read(scripted: Scripted) -> None:
    lm = scripted([GOOD, GOOD.replace("3", "4")])
    assert [value["score"] for value in call(ChatAdapter(), lm, n=2)] == [3, 4]


def test_the_callers_parameters_are_not_changed(scripted: Scripted) -> None:
    params = {"rollout_id": 1, "n": 1}
    lm = scripted('{"answer": "x", "score": 3}', response_schema=True)
    asyncio.run(JSONAdapter().acall(lm, params, QA, [], {"question": "q"}))
    assert params == {"rollout_id": 1, "n": 1}


def test_logprobs_come_along(scripted: Scripted) -> None:
    (value,) = call(ChatAdapter(), scripted(LMOutput(GOOD, logprobs=[-0.1])))
    assert value["logprobs"] == [-0.1]


def test_calling_synchronously_gives_the_same(scripted: Scripted) -> None:
    assert ChatAdapter()(scripted(GOOD), {}, QA, [], {"question": "q"}) == [{"answer": "x", "score": 3}]


@pytest.mark.parametrize("adapter", [ChatAdapter(), XMLAdapter()], ids=repr)
def test_an_unreadable_reply_is_asked_again_in_json_and_told_why(adapter: Adapter, scripted: Scripted) -> None:
    lm = scripted("I cannot say.", '{"answer": "x", "score": 3}')
    assert call(adapter, lm, temperature=1, rollout_id=7) == [{"answer": "x", "score": 3}]
    again = lm.requests[1]
    assert again.params == {"temperature": 1, "response_format": {"type": "json_object"}}
    assert again.rollout_id == 7
    assert [message["role"] for message in again.messages] == ["system", "user", "assistant", "user"]
    assert again.messages[2]["content"] == "I cannot say."
    assert "lacks the fields `answer`, `score`" in again.messages[3]["content"]
    assert "Respond with a JSON object" in again.messages[3]["content"]


def test_only_the_completions_that_failed_are_asked_again(scripted: Scripted) -> None:
    lm = scripted([GOOD, "bad", GOOD.replace("3", "5")], '{"answer": "y", "score": 4}')
    assert [value["score"] for value in call(ChatAdapter(), lm, n=3)] == [3, 4, 5]
    assert "n" not in lm.requests[1].params


@pytest.mark.parametrize(
    ("adapter", "good"),
    [
        (ChatAdapter(use_json_adapter_fallback=False), GOOD),
        (JSONAdapter(), '{"answer": "x", "score": 3}'),
        (PlainAdapter(), "Answer: x\nScore: 3"),
    ],
    ids=repr,
)
def test_other_adapters_ask_again_in_their_own_form(adapter: Adapter, good: str, scripted: Scripted) -> None:
    lm = scripted("I cannot say.", good)
    assert call(adapter, lm) == [{"answer": "x", "score": 3}]
    assert lm.requests[1].messages[:-2] == lm.requests[0].messages
    assert "score" in lm.requests[1].messages[-1]["content"]


def test_after_the_last_retry_the_error_of_the_last_reply_is_raised(scripted: Scripted) -> None:
    lm = scripted("first", "second", "third")
    with context(parse_retries=2), pytest.raises(AdapterParseError) as caught:
        call(ChatAdapter(), lm)
    assert caught.value.lm_response == "third"
    assert len(lm.requests) == 3
    assert lm.requests[2].messages[-2]["content"] == "second"


def test_no_retries_means_one_request(scripted: Scripted) -> None:
    lm = scripted("first")
    with context(parse_retries=0), pytest.raises(AdapterParseError):
        call(ChatAdapter(), lm)
    assert len(lm.requests) == 1


def test_an_error_of_the_lm_is_not_a_parse_failure(scripted: Scripted) -> None:
    lm = scripted(LMServerError("down"))
    with pytest.raises(LMServerError):
        call(ChatAdapter(), lm)
    assert len(lm.requests) == 1


def test_a_reply_that_was_cut_off_says_so(scripted: Scripted) -> None:
    lm = scripted(LMOutput("[[ ## answer ## ]]\nx", stop_reason="length"))
    with context(parse_retries=0), pytest.raises(AdapterParseError, match="max_tokens"):
        call(ChatAdapter(), lm)


def test_json_is_enforced_by_a_closed_schema_where_the_endpoint_has_it(scripted: Scripted) -> None:
    lm = scripted('{"answer": "x", "score": 3}', response_schema=True)
    call(JSONAdapter(), lm)
    form = lm.requests[0].params["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"] == {
        "type": "object",
        "properties": {"answer": {"type": "string"}, "score": {"type": "integer"}},
        "required": ["answer", "score"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("kind", ["dict[str, int]", "tuple[int, str]", "set[int]", "list[Any]"])
def test_what_providers_refuse_in_a_strict_schema_is_not_called_strict(kind: str) -> None:
    outputs = make_signature(f"x -> y: {kind}").output_fields
    form = response_schema("s", outputs)
    assert form is not None
    assert form["json_schema"]["strict"] is False


def test_a_schema_with_an_open_object_is_not_called_strict(scripted: Scripted) -> None:
    lm = scripted('{"y": {"a": 1}}', response_schema=True)
    assert call(JSONAdapter(), lm, make_signature("x -> y: dict[str, int]")) == [{"y": {"a": 1}}]
    assert lm.requests[0].params["response_format"]["json_schema"]["strict"] is False


def test_a_response_format_of_the_caller_stays(scripted: Scripted) -> None:
    lm = scripted('{"answer": "x", "score": 3}', response_schema=True)
    call(JSONAdapter(), lm, response_format={"type": "text"})
    assert lm.requests[0].params["response_format"] == {"type": "text"}


def test_plain_labels_are_enforced_by_a_grammar(scripted: Scripted) -> None:
    lm = scripted("good", grammar=True, response_schema=True)
    assert call(PlainAdapter(), lm, MOOD) == [{"mood": "good"}]
    assert lm.requests[0].params == {"grammar": 'root ::= ("good" | "bad")\n'}


def test_a_text_endpoint_gets_one_prompt_a_grammar_and_a_stop(scripted: Scripted) -> None:
    lm = scripted(" good", grammar=True, model_type="text")
    assert call(PlainAdapter(), lm, MOOD) == [{"mood": "good"}]
    (request,) = lm.requests
    assert request.messages is None
    assert request.prompt == "Mood: one of: good, bad.\n\nReview: q\nMood:"
    assert request.params == {"grammar": 'root ::= " " ("good" | "bad")\n', "stop": ["\nReview:"]}


def test_a_correction_on_a_text_endpoint_continues_the_prompt(scripted: Scripted) -> None:
    lm = scripted("awful", "bad", model_type="text")
    assert call(PlainAdapter(), lm, MOOD) == [{"mood": "bad"}]
    prompt = lm.requests[1].prompt
    assert prompt.startswith("Mood: one of: good, bad.\n\nReview: q\nMood: awful\n\n")
    assert "'awful' is not one of: good, bad" in prompt
    assert prompt.endswith("\nMood:")


def test_other_adapters_work_over_a_text_endpoint(scripted: Scripted) -> None:
    lm = scripted(GOOD, model_type="text")
    assert call(ChatAdapter(), lm) == [{"answer": "x", "score": 3}]
    assert lm.requests[0].prompt.endswith("Assistant:")


def test_plain_without_a_grammar_is_enforced_by_a_schema_and_shown_in_json(scripted: Scripted) -> None:
    lm = scripted('{"mood": "good"}', response_schema=True)
    demos = [{"review": "r", "mood": "bad"}]
    values = asyncio.run(PlainAdapter().acall(lm, {}, MOOD, demos, {"review": "q"}))
    assert values == [{"mood": "good"}]
    (request,) = lm.requests
    schema = request.params["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"mood": {"enum": ["good", "bad"], "type": "string"}}
    assert '"mood": "bad"' in request.messages[2]["content"]


def test_plain_text_outputs_are_not_enforced(scripted: Scripted) -> None:
    lm = scripted("x", grammar=True, response_schema=True)
    call(PlainAdapter(), lm, make_signature("q -> a"))
    assert lm.requests[0].params == {}


def look(city: str) -> str:
    """Look outside."""
    return city


AGENT = make_signature(
    {
        "question": InputField(),
        "tools": (list[Tool], InputField()),
        "thought": OutputField(),
        "calls": (ToolCalls, OutputField()),
    }
)


def test_native_tool_calls_replace_the_fields_of_tools_and_calls(scripted: Scripted) -> None:
    reply = LMOutput("[[ ## thought ## ]]\nhm", [ToolCallPart("look", {"city": "Rome"}, "c1")], None, "tool_calls")
    lm = scripted(reply, function_calling=True)
    given = {"question": "q", "tools": [Tool(look)]}
    (value,) = call(ChatAdapter(use_native_function_calling=True, parallel_tool_calls=False), lm, AGENT, given)
    assert value["thought"] == "hm"
    assert value["calls"] == ToolCalls.from_dict_list([{"name": "look", "args": {"city": "Rome"}, "id": "c1"}])
    (request,) = lm.requests
    assert request.params == {"tools": [Tool(look).to_openai()], "parallel_tool_calls": False}
    assert "calls" not in str(request.messages)


def test_a_model_that_only_calls_tools_leaves_the_texts_none(scripted: Scripted) -> None:
    lm = scripted(LMOutput("", [ToolCallPart("look", {"city": "x"})]), function_calling=True)
    given = {"question": "q", "tools": [look]}
    (value,) = call(ChatAdapter(use_native_function_calling=True), lm, AGENT, given)
    assert value["thought"] is None
    assert len(value["calls"]) == 1


def test_without_native_tools_the_calls_are_a_field_like_others(scripted: Scripted) -> None:
    text = '[[ ## thought ## ]]\nhm\n[[ ## calls ## ]]\n{"tool_calls": [{"name": "look", "args": {"city": "x"}}]}'
    lm = scripted(text)
    given = {"question": "q", "tools": [Tool(look)]}
    (value,) = call(ChatAdapter(use_native_function_calling=True), lm, AGENT, given)
    assert value["calls"].tool_calls[0].args == {"city": "x"}
    assert "Look outside" in lm.requests[0].messages[-1]["content"]


def test_native_reasoning_fills_a_reasoning_field(scripted: Scripted) -> None:
    signature = make_signature({"q": InputField(), "why": (Reasoning, OutputField()), "a": OutputField()})
    lm = scripted(LMOutput("[[ ## a ## ]]\nx", reasoning="because"), reasoning=True)
    assert call(ChatAdapter(), lm, signature, reasoning_effort="low") == [{"a": "x", "why": "because"}]
    assert "why" not in lm.requests[0].messages[-1]["content"]
    written = scripted("[[ ## why ## ]]\nbecause\n[[ ## a ## ]]\nx", reasoning=True)
    assert call(ChatAdapter(), written, signature) == [{"a": "x", "why": "because"}]


class Watcher(BaseCallback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_adapter_format_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self.seen.append(("format", len(outputs)))

    def on_adapter_parse_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.seen.append(("parse", inputs["completion"]))

    def on_adapter_parse_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self.seen.append((outputs, type(exception)))


def test_callbacks_see_formatting_and_reading_also_of_the_retry(scripted: Scripted) -> None:
    watcher = Watcher()
    with context(callbacks=[watcher]):
        call(ChatAdapter(), scripted("bad", '{"answer": "x", "score": 3}'))
    assert watcher.seen == [
        ("format", 2),
        ("parse", "bad"),
        (None, AdapterParseError),
        ("format", 2),
        ("parse", '{"answer": "x", "score": 3}'),
        ({"answer": "x", "score": 3}, type(None)),
    ]
    own = Watcher()
    call(ChatAdapter(callbacks=[own]), scripted(GOOD))
    assert len(own.seen) == 3


def test_two_steps_answer_freely_and_extract(scripted: Scripted) -> None:
    free, extractor = scripted("It is x, and I give it a three."), scripted(GOOD)
    adapter = TwoStepAdapter(extractor)
    assert call(adapter, free, temperature=1) == [{"answer": "x", "score": 3}]
    assert free.requests[0].params == {"temperature": 1}
    assert "[[ ##" not in str(free.requests[0].messages)
    assert extractor.requests[0].params == {}
    assert "a three" in extractor.requests[0].messages[-1]["content"]
    extractor.replies.append(GOOD)
    assert adapter.parse(QA, "x, three") == {"answer": "x", "score": 3}
    with pytest.raises(ValueError, match="extraction_model"):
        TwoStepAdapter("gpt")
