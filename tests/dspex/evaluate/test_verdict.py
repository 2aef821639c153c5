"""What a metric returned, as a number."""

from decimal import Decimal
from fractions import Fraction

import pytest

from dspex.evaluate import MetricError
from dspex.evaluate._verdict import as_score
from dspex.primitives import Prediction


class Broken:
    @property
    def score(self):
        raise RuntimeError("boom")


class Half:
    score = 0.5


@pytest.mark.parametrize(
    ("verdict", "score"),
    [
        (True, 1.0), (False, 0.0), (3, 3.0), (0.25, 0.25), (Decimal("0.5"), 0.5), (Fraction(1, 4), 0.25),
        (Prediction(score=0.5), 0.5), (Prediction(score=True), 1.0), (Half(), 0.5),
        (Prediction(score=Prediction(score=0.5)), 0.5),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_numbers_and_what_has_a_score_are_scores(verdict, score):
    assert as_score(verdict) == score


@pytest.mark.parametrize(
    "verdict",
    [
        None, "x", "0.5", b"1", "", {}, [1], 1 + 2j, object(), type, Prediction(answer=1), Prediction(score=None),
        Prediction(score="0.5"), Broken(),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_anything_else_is_a_metric_error(verdict):
    with pytest.raises(MetricError, match="the metric returned"):
        as_score(verdict)


@pytest.mark.parametrize("verdict", [float("nan"), float("inf"), 10**400, Prediction(score=float("-inf"))], ids=type)
def test_a_score_is_finite(verdict):
    with pytest.raises(MetricError, match="not a finite number"):
        as_score(verdict)
