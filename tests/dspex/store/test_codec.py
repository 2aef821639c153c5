from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from dspex.store import StoreValueError
from dspex.store._codec import Codec, decode, identifier, redact

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Answer(BaseModel):
    text: str
    key: SecretStr


@given(json_values)
def test_every_json_value_reads_back_equal(value: object) -> None:
    encoded = Codec().encode(value, "it")
    assert decode(encoded) == value
    assert encoded.isascii()  # so that any database takes it


@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_text_that_a_database_takes(text: str) -> None:
    stored = Codec().text(text)
    stored.encode("utf-8")
    assert "\0" not in stored


def test_secrets_are_written_as_redacted() -> None:
    codec = Codec()
    assert decode(codec.encode({"k": SecretStr("hidden-key")}, "it")) == {"k": "[redacted]"}
    assert "hidden-key" not in codec.encode(Answer(text="a", key=SecretStr("hidden-key")), "it")


def test_a_concealed_value_is_written_nowhere() -> None:
    codec = Codec()
    codec.conceal("0123456789")
    codec.conceal("0123456789-longer")
    assert decode(codec.encode(["is 0123456789-longer!", {"0123456789": 1}], "it")) == [
        "is [redacted]!",
        {"[redacted]": 1},
    ]
    assert codec.text("0123456789") == "[redacted]"
    assert codec.reveals(b"..0123456789..")
    assert not codec.reveals(b"..012345678..")
    with pytest.raises(StoreValueError, match="8 characters"):
        codec.conceal("short")


def test_redaction_looks_at_names_at_any_depth_and_leaves_the_rest() -> None:
    value = {
        "api_key": "a",
        "OPENAI_API_KEY": "b",
        "headers": [{"Authorization": "c", "x-api-key": "d"}],
        "access_token": "e",
        "max_tokens": 5,
        "token_count": 6,
        "keyboard": "qwerty",
        "api_base": "https://user:pw@host/v1",
        "password": None,
    }
    assert redact(value) == {
        "api_key": "[redacted]",
        "OPENAI_API_KEY": "[redacted]",
        "headers": [{"Authorization": "[redacted]", "x-api-key": "[redacted]"}],
        "access_token": "[redacted]",
        "max_tokens": 5,
        "token_count": 6,
        "keyboard": "qwerty",
        "api_base": "https://[redacted]@host/v1",
        "password": None,
    }
    assert value["api_key"] == "a"


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {(1, 2): 3}])
def test_what_is_not_json_is_refused_by_name(value: object) -> None:
    with pytest.raises(StoreValueError, match="the thing cannot be stored as JSON"):
        Codec().encode(value, "the thing")


def test_what_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(StoreValueError, match="Circular"):
        Codec().encode(value, "it")


def test_an_identifier_is_text_of_reasonable_length() -> None:
    assert identifier("ö" * 400, "key") == "ö" * 400
    for bad in ("", "ö" * 401, "\0", "\udc80"):
        with pytest.raises(StoreValueError, match="key"):
            identifier(bad, "key")
    with pytest.raises(StoreValueError, match="must be a str, not int"):
        identifier(5, "key")  # type: ignore[arg-type]
