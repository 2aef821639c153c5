"""The result of an evaluation and how it is shown."""

import csv
import io
import json
import sys

import pytest

from dspex._errors import LMAuthError
from dspex.evaluate._failures import FailureKind
from dspex.evaluate._line import lay_out
from dspex.evaluate._outcomes import Failed, Scored
from dspex.evaluate._progress import Progress
from dspex.evaluate._render import ProgressBar, progress_parts, show_result
from dspex.evaluate._report import EvaluationResult
from dspex.primitives import Example, Prediction


def example(n):
    return Example(question=f"q{n}", answer=f"a{n}").with_inputs("question")


OUTCOMES = [
    Scored(example(0), Prediction(answer="a0", why=["x"]), 1.0, 0),
    Failed(example(1), 1, FailureKind.OUTAGE, ValueError("server\nburned"), "Traceback...", 3),
    Scored(example(2), Prediction(answer="b2"), 0.0, 2),
    Failed(example(3), 3, FailureKind.METRIC_ERROR, None, prediction=Prediction(answer="a3")),
    Failed(example(4), 4, FailureKind.CANCELLED, attempts=0),
]


def test_failures_are_not_in_the_score_but_beside_it():
    result = EvaluationResult(OUTCOMES, metric_name="exact")
    assert result.score == 50.0
    assert float(result) == 50.0
    assert result.counts == {FailureKind.OUTAGE: 1, FailureKind.METRIC_ERROR: 1, FailureKind.CANCELLED: 1}
    assert [failure.index for failure in result.failures] == [1, 3, 4]
    assert not result.is_complete
    assert "exact 50.00 over 2 of 5" in result.summary()
    assert "3 failed (not in the score)" in result.summary()
    assert result.summary().splitlines()[1:] == [
        "3 failed (not in the score): 1 outage, 1 metric_error, 1 cancelled",
        "  outage: ValueError: server",
    ]


def test_every_kind_of_failure_says_why_the_first_of_it_failed():
    refusals = [
        Failed(example(n), n, FailureKind.REFUSED, LMAuthError(f"no API key for {n}: set\nTHE_KEY")) for n in range(30)
    ]
    result = EvaluationResult([*refusals, Failed(example(30), 30, FailureKind.PROGRAM_ERROR, KeyError("place"))])
    assert result.reasons() == {
        FailureKind.REFUSED: "no API key for 0: set THE_KEY",
        FailureKind.PROGRAM_ERROR: "KeyError: 'place'",
    }
    assert result.summary().splitlines() == [
        "no score: 0 of 31 examples have one, 0.0 s",
        "31 failed (not in the score): 30 refused, 1 program_error",
        "  refused: no API key for 0: set THE_KEY",
        "  program_error: KeyError: 'place'",
    ]


def test_answers_that_all_came_from_the_cache_are_free_and_an_unknown_price_is_not():
    def spent(**figures):
        return EvaluationResult(OUTCOMES[:1], **figures).summary().splitlines()[1]

    assert spent(calls=60, cached=60, cost=0.0) == "60 calls, all from the cache, $0"
    assert spent(calls=60, cached=59) == "60 calls, 0 tokens, cost unknown"
    assert spent(calls=1, tokens=1200, cost=0.5) == "1 call, 1,200 tokens, $0.5000"
    assert EvaluationResult(OUTCOMES[:1], retries=1).summary().endswith("\n1 further attempt was made")


def test_with_a_failure_score_failures_count_but_cancelled_examples_do_not():
    result = EvaluationResult(OUTCOMES, failure_score=0.0)
    assert result.score == pytest.approx(25.0)
    assert "over 4 of 5" in result.summary()


def test_results_are_in_the_order_of_the_examples_with_none_for_a_score_that_is_not_there():
    result = EvaluationResult(OUTCOMES)
    assert [row[0].question for row in result.results] == ["q0", "q1", "q2", "q3", "q4"]
    assert [row[2] for row in result.results] == [1.0, None, 0.0, None, None]
    assert result.results[3][1].answer == "a3"
    assert result.results[1][1].get("answer") is None
    assert [row[2] for row in EvaluationResult(OUTCOMES, failure_score=0.25).results] == [1.0, 0.25, 0.0, 0.25, 0.25]


def test_nothing_scored_is_no_score_not_zero():
    assert EvaluationResult(OUTCOMES[3:]).score is None
    assert EvaluationResult([]).score is None
    assert "no score" in EvaluationResult(OUTCOMES[3:], stopped="cancelled").summary()


def test_a_saved_csv_has_every_example_its_prediction_and_its_failure(tmp_path):
    EvaluationResult(OUTCOMES, metric_name="exact").save_as_csv(tmp_path / "r.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert len(rows) == 5
    assert rows[0]["example_answer"] == rows[0]["pred_answer"] == "a0"
    assert (rows[0]["exact"], rows[0]["why"]) == ("1.0", '["x"]')
    assert (rows[1]["failure"], rows[1]["error"], rows[1]["exact"]) == ("outage", "ValueError: server", "")


def test_a_saved_json_holds_the_same_rows(tmp_path):
    result = EvaluationResult(OUTCOMES)
    result.save_as_json(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(json.dumps(result.rows()))


def test_without_pandas_the_frame_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas"):
        EvaluationResult(OUTCOMES).to_pandas()


def test_the_table_shows_every_example_and_one_of_each_kind_of_failure():
    out = io.StringIO()
    show_result(EvaluationResult(OUTCOMES), file=out)
    text = out.getvalue()
    assert "outage: ValueError: server" in text
    assert "3 failed" in text
    out = io.StringIO()
    show_result(EvaluationResult(OUTCOMES), rows=2, file=out)
    assert "and 3 more" in out.getvalue()


def test_markup_in_data_is_shown_as_it_is():
    out = io.StringIO()
    show_result(EvaluationResult([Scored(Example(q="[red]x[/red] [/]"), Prediction(a="b"), 1.0)]), file=out)
    assert "[red]x[/red] [/]" in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_is_quiet_when_not_a_terminal():
    out = io.StringIO()
    progress = Progress(2, 0.0)
    with ProgressBar("Evaluate", out) as bar:
        bar.update(progress, 0.0)
    assert out.getvalue() == ""


def test_the_bar_shows_the_last_state_when_it_ends():
    out = Terminal()
    progress = Progress(2, 0.0)
    with ProgressBar("Evaluate", out) as bar:
        bar.update(progress, 0.0)
        progress.record_score(1.0)
        bar.update(progress, 0.01)
    assert "1/2" in out.getvalue()


def test_progress_counts_scores_failures_tokens_and_time_left():
    progress = Progress(10, 100.0)
    for score in (1.0, 0.0, 1.0):
        progress.record_score(score)
    progress.record_failure(FailureKind.TIMEOUT)
    progress.record_usage(4, 1, 12_000, None)
    assert progress.cost is None
    progress.record_usage(1, 0, 300, 0.5)
    assert progress.score == pytest.approx(200 / 3)
    assert progress.rate(102.0) == 2.0
    assert progress.eta(102.0) == 3.0
    line = lay_out("", "", progress_parts(progress, 102.0), 200).text
    for part in ("score 66.7", "1 failed (1 timeout)", "2.5 calls/s", "12.3k tokens", "$0.5000", "3 s left"):
        assert part in line


def test_the_rate_forgets_old_times():
    progress = Progress(10_000, 0.0)
    for _ in range(1000):
        progress.record_score(1.0)
    assert progress.rate(10.0) == 100.0
    assert 49.0 < progress.rate(40.0) < 51.0
    assert progress.rate(400.0) < 1.0


def test_before_the_first_result_there_is_no_time_left_to_tell():
    progress = Progress(3, 0.0)
    assert progress.eta(5.0) is None
    assert progress.score is None
    assert "waiting" in progress_parts(progress, 5.0)
