"""`Prediction` and `Completions`."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.primitives import Completions, Example, Prediction

rows = st.integers(0, 4).flatmap(
    lambda width: st.lists(
        st.fixed_dictionaries({f"f{i}": st.integers() for i in range(width)}), min_size=1, max_size=5
    )
)


@given(rows)
def test_completions_are_the_same_by_row_and_by_column(table: list[dict[str, int]]) -> None:
    by_row = Completions(table)
    by_column = Completions({name: [row[name] for row in table] for name in table[0]})
    assert by_row == by_column
    if table[0]:
        assert len(by_row) == len(table)
        assert [row.toDict() for row in by_row] == table
        assert by_row[-1].toDict() == table[-1]


@given(rows)
def test_a_prediction_holds_the_first_completion_and_all_of_them(table: list[dict[str, int]]) -> None:
    prediction = Prediction.from_completions(table)
    assert prediction.toDict() == table[0]
    assert prediction.completions == Completions(table)


def test_completions_read_by_field_index_and_attribute() -> None:
    completions = Completions([{"answer": "a"}, {"answer": "b"}])
    assert completions.answer == completions["answer"] == ["a", "b"]
    assert completions[1].answer == "b"
    assert "answer" in completions
    with pytest.raises(IndexError, match="2 completions"):
        completions[2]
    with pytest.raises(AttributeError, match=r"no field `x`.*answer"):
        completions.x


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="a: 1, b: 2"):
        Completions({"a": [1], "b": [1, 2]})


def test_a_prediction_made_by_a_program_has_itself_as_its_completion() -> None:
    prediction = Prediction(answer="x")
    assert prediction.completions.answer == ["x"]
    assert prediction == Example(answer="x")


def test_a_scored_prediction_counts_as_its_number() -> None:
    low, high = Prediction(score=1), Prediction(score=3.0)
    assert low < high
    assert low <= 1
    assert high > 2
    assert high >= low
    assert low + high == 4
    assert sum([low, high]) == 4
    assert (high - low, high * 2, high / 2, 6 / high, 5 - low) == (2, 6, 1.5, 2, 4)
    assert max([low, high]) is high
    assert float(high) == 3.0


def test_equality_is_of_values_and_not_of_scores() -> None:
    assert Prediction(score=1, why="a") != Prediction(score=1, why="b")


def test_without_a_score_it_is_not_a_number() -> None:
    with pytest.raises(ValueError, match=r"without a `score`.*It has: answer"):
        float(Prediction(answer="x"))
    with pytest.raises(TypeError):
        Prediction(score=1) < "x"  # noqa: B015


def test_usage_and_completions_survive_copies() -> None:
    prediction = Prediction.from_completions([{"a": 1}, {"a": 2}])
    prediction.set_lm_usage({"m": {"total_tokens": 3}})
    for twin in (pickle.loads(pickle.dumps(prediction)), copy.deepcopy(prediction)):
        assert twin.get_lm_usage() == {"m": {"total_tokens": 3}}
        assert twin.completions == prediction.completions
    assert Prediction().get_lm_usage() is None
