"""Whatever a server sends, reading it ends in a response of plain types or in an LMError."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex._errors import LMError, LMUnexpectedError
from dspex.lm import LMResponse
from dspex.lm.wire import OpenAIEmbeddings, OpenAIText
from tests.dspex.lm.wire_samples import REPLIES, SOURCE, STREAMS, TEXT_STREAM

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.sampled_from([-1, 0, 7, 10**30, 1e300, float("inf")]) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text"]), inner, max_size=2),
    max_leaves=4,
)
HEADERS = {"content-type": "application/json"}


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value something could be replaced: everywhere, the value itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, each in inner for path in paths(each, (*here, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    twin = copy.deepcopy(value)
    place = twin
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return twin


def is_plain(response: LMResponse) -> bool:
    texts: list[Any] = [response.model, *(output.text for output in response.outputs)]
    maybe: list[Any] = [response.id, *(output.reasoning for output in response.outputs)]
    stops: list[Any] = [output.stop_reason for output in response.outputs]
    numbers = list(response.usage.to_json().values())
    back = LMResponse.from_json(json.loads(json.dumps(response.to_json())))
    return (
        all(isinstance(text, str) for text in texts + stops)
        and all(text is None or isinstance(text, str) for text in maybe)
        and all(type(number) is int for number in numbers)
        and back.outputs == response.outputs
    )


def names(value: Any) -> str:
    return getattr(value, "name", "")


@pytest.mark.parametrize(("form", "good"), REPLIES, ids=names)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_reply_of_which_any_part_is_something_else_is_read_or_a_typed_error(
    form: Any, good: dict[str, Any], data: st.DataObject
) -> None:
    body = replaced(good, data.draw(st.sampled_from(paths(good))), data.draw(JSON))
    try:
        response = form.parse(SOURCE, 200, HEADERS, json.dumps(body).encode())
    except LMError as error:
        named = (error.provider, error.model)
    else:
        named = (SOURCE.provider, SOURCE.model)
        assert is_plain(response)
    assert named == ("p", "m")


@pytest.mark.parametrize(("form", "events"), [*STREAMS, (OpenAIText(), TEXT_STREAM)], ids=names)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_stream_of_which_any_part_is_something_else_is_read_or_a_typed_error(
    form: Any, events: list[Any], data: st.DataObject
) -> None:
    sent = replaced(events, data.draw(st.sampled_from(paths(events)[1:])), data.draw(JSON))
    assembler = form.assembler(SOURCE)
    try:
        for event in sent:
            for chunk in assembler.feed("message", event if event == "[DONE]" else json.dumps(event)):
                assert isinstance(chunk.text, str)
        response = assembler.response()
    except LMError as error:
        named = (error.provider, error.model)
    else:
        named = (SOURCE.provider, SOURCE.model)
        assert is_plain(response)
    assert named == ("p", "m")


@pytest.mark.parametrize(("form", "good"), REPLIES, ids=names)
@given(status=st.integers(300, 599), body=JSON)
@settings(max_examples=40, deadline=None)
def test_an_error_of_any_shape_is_a_typed_error(form: Any, good: Any, status: int, body: Any) -> None:
    with pytest.raises(LMError) as caught:
        form.parse(SOURCE, status, {}, json.dumps({"error": body}).encode())
    assert caught.value.status == status


@pytest.mark.parametrize(("form", "good"), REPLIES, ids=names)
@pytest.mark.parametrize("body", [{"usage": 1}, {"choices": 1, "content": 1, "candidates": 1, "output": 1}])
def test_a_reply_that_is_none_is_an_unexpected_error_that_names_the_endpoint(form: Any, good: Any, body: Any) -> None:
    with pytest.raises(LMUnexpectedError, match=r"p \(m\)"):
        form.parse(SOURCE, 200, HEADERS, json.dumps(body).encode())


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_embeddings_of_any_shape_are_vectors_or_a_typed_error(data: st.DataObject) -> None:
    good = {"data": [{"index": 0, "embedding": [0.5, 1.0]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    body = replaced(good, data.draw(st.sampled_from(paths(good))), data.draw(JSON))
    try:
        vectors, _ = OpenAIEmbeddings().parse(SOURCE, 200, HEADERS, json.dumps(body).encode(), 1)
    except LMError:
        return
    assert [type(number) for vector in vectors for number in vector] == [float] * len(vectors[0])
