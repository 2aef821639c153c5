"""An evaluation's outcomes as rows, and their values as JSON."""

import io
import json

import pytest

from dspex.evaluate import EvaluationResult, Failed, FailureKind, Scored
from dspex.evaluate._render import show_result
from dspex.evaluate._rows import as_json, rows_of
from dspex.primitives import Example, Prediction


def test_no_field_is_covered_by_the_verdict_s_own_columns():
    example = Example(q="x", error="e", failure="f", attempts=9, exact="m")
    answer = Prediction(answer=1, error="p", exact="n")
    (row,) = rows_of([Scored(example, answer, 0.5, attempts=2)], "exact", None)
    assert row == {
        "q": "x", "example_error": "e", "example_failure": "f", "example_attempts": 9, "example_exact": "m",
        "answer": 1, "pred_error": "p", "pred_exact": "n",
        "exact": 0.5, "failure": None, "error": None, "attempts": 2,
    }  # fmt: skip


def test_a_prefix_is_repeated_where_the_prefixed_name_is_there_too():
    example = Example(answer="gold", example_answer="old", pred_answer="older")
    (row,) = rows_of([Scored(example, Prediction(answer="new"), 1.0)], "exact", None)
    assert {name: row[name] for name in row if "answer" in name} == {
        "example_example_answer": "gold", "example_answer": "old", "pred_answer": "older", "pred_pred_answer": "new",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["error", "failure", "attempts"])
def test_a_metric_called_as_another_column_has_one_of_its_own(name):
    (row,) = rows_of([Failed(Example(q=1), 0, FailureKind.OUTAGE)], name, 0.25)
    assert row == {"q": 1, f"metric_{name}": 0.25, "failure": "outage", "error": "outage", "attempts": 1}


def test_a_column_means_the_same_in_all_rows():
    outcomes = [
        Failed(Example(answer="a"), 0, FailureKind.OUTAGE),
        Scored(Example(answer="a"), Prediction(answer="b"), 1),
    ]
    rows = rows_of(outcomes, "exact", None)
    assert [row["example_answer"] for row in rows] == ["a", "a"]
    assert "answer" not in rows[0]


def test_what_json_has_not_becomes_text():
    endless = []
    endless.append(endless)

    class Thing:
        def __str__(self):
            return "a thing"

    value = {(1, 2): 3, 4: float("nan"), "set": Thing(), "example": Example(a={None: (1,)}), "in": float("-inf")}
    assert as_json(value) == {"(1, 2)": 3, "4": "nan", "set": "a thing", "example": {"a": {"None": [1]}}, "in": "-inf"}
    json.dumps(as_json(endless), allow_nan=False)


def test_files_hold_whatever_a_program_answers(tmp_path):
    answer = Prediction(deep={(1, 2): [float("nan")]}, half="\ud800", nul="\x00")
    result = EvaluationResult([Scored(Example(q=1), answer, 1.0)], metric_name="exact")
    result.save_as_json(tmp_path / "r.json")
    result.save_as_csv(tmp_path / "r.csv")
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert row["deep"] == {"(1, 2)": ["nan"]}
    assert row["half"] == "\ud800"
    assert '{""(1, 2)"": [""nan""]}' in (tmp_path / "r.csv").read_text()
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["rows"] == [row]


def test_a_table_shows_names_and_values_as_they_are_and_no_escapes():
    out = io.StringIO()
    answer = Prediction(**{"[/b]": "\x1b[31mred"})
    show_result(EvaluationResult([Scored(Example(q=1), answer, 1.0)], metric_name="[/x]"), file=out)
    for part in ("[/b]", "[/x]", "�[31mred"):
        assert part in out.getvalue()
    assert "\x1b" not in out.getvalue()
