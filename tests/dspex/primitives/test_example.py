"""`Example`: a record with named values."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dspex.primitives import Example

names = st.text("abcdefgh", min_size=1, max_size=4)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(names, st.lists(scalars, max_size=1), max_size=2)
records = st.dictionaries(names, values, max_size=4)


@given(records)
def test_a_record_gives_its_values_by_item_key_and_get(record: dict[str, Any]) -> None:
    example = Example(record)
    assert dict(example) == record == example.toDict()
    assert list(example.keys()) == list(example) == list(record)
    assert list(example.values()) == list(record.values())
    assert dict(example.items()) == record
    assert len(example) == len(record)
    assert all(example.get(name) == value for name, value in record.items())
    assert example.get("-", 7) == 7


@given(records)
def test_equal_records_are_equal_and_hash_alike_in_any_order(record: dict[str, Any]) -> None:
    reverse = Example(dict(reversed(list(record.items()))))
    assert Example(record) == reverse
    assert hash(Example(record)) == hash(reverse)


@given(records, st.sets(names, max_size=4))
def test_inputs_and_labels_split_a_record(record: dict[str, Any], chosen: set[str]) -> None:
    example = Example(record).with_inputs(*chosen)
    inputs, labels = example.inputs(), example.labels()
    assert set(inputs.keys()) == chosen & set(record)
    assert {**inputs.toDict(), **labels.toDict()} == record
    assert not set(inputs) & set(labels)


@given(records, st.sets(names, max_size=4))
def test_without_and_copy_leave_the_original_alone(record: dict[str, Any], gone: set[str]) -> None:
    example = Example(record).with_inputs("a")
    less = example.without(*gone)
    more = example.copy(zzz=1)
    assert set(less) == set(record) - gone
    assert more["zzz"] == 1
    assert example.toDict() == record
    assert example.with_inputs("b").inputs() == Example({k: v for k, v in record.items() if k == "b"})
    assert set(example.inputs()) == {"a"} & set(record)


@given(records)
def test_a_record_survives_pickle_and_deepcopy(record: dict[str, Any]) -> None:
    example = Example(record).with_inputs("a", "b")
    for twin in (pickle.loads(pickle.dumps(example)), copy.deepcopy(example)):
        assert twin == example
        assert twin.inputs() == example.inputs()


def test_a_deep_copy_shares_nothing() -> None:
    example = Example(items_=[1])
    twin = copy.deepcopy(example)
    twin.items_.append(2)
    assert example.items_ == [1]


def test_values_are_attributes_that_may_be_set_and_deleted() -> None:
    example = Example(a=1)
    example.a = 2
    example.b = 3
    example["c"] = 4
    assert (example.a, example.b, example.c, "c" in example) == (2, 3, 4, True)
    del example.b
    del example["c"]
    assert example == Example(a=2)
    with pytest.raises(AttributeError, match=r"no value `nope`.*It has: a"):
        example.nope
    with pytest.raises(AttributeError):
        del example.nope
    with pytest.raises(KeyError):
        example["nope"]


def test_a_value_may_be_called_like_a_method() -> None:
    example = Example(copy="mine")
    example.inputs = "too"  # type: ignore[method-assign, assignment]
    assert example["copy"] == "mine"
    assert example["inputs"] == "too"
    assert example.with_inputs("inputs").inputs() == Example(inputs="too")


def test_inputs_unsaid_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="with_inputs"):
        Example(a=1).inputs()
    with pytest.raises(ValueError, match="with_inputs"):
        Example(a=1).labels()


def test_a_base_record_is_extended_and_keeps_its_inputs() -> None:
    base = Example(a=1, b=2).with_inputs("a")
    assert Example(base, c=3).inputs() == Example(a=1)
    assert Example({"a": 1}, a=2) == Example(a=2)


def test_to_dict_turns_records_and_models_inside_into_dicts() -> None:
    class Person(BaseModel):
        name: str

    nested = Example(people=[Person(name="Ada")], inner={"e": Example(x=1)})
    assert nested.toDict() == {"people": [{"name": "Ada"}], "inner": {"e": {"x": 1}}}


def test_repr_shows_values_and_inputs() -> None:
    assert repr(Example(q="x", a=1).with_inputs("q")) == "Example(q='x', a=1, input_keys=['q'])"
