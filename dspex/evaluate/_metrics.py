"""Text metrics: exact match, F1, and whether a passage holds the answer.

Texts are compared after `normalize_text`: case, punctuation, articles and runs of blanks do not count.
All functions are pure; a metric has the form ``metric(example, prediction, trace=None)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from dspex.primitives import normalize_text


def em_score(prediction: str, answer: str) -> bool:
    """Whether two texts are equal after `normalize_text`."""
    return normalize_text(prediction) == normalize_text(answer)


def f1_score(prediction: str, answer: str) -> float:
    """Harmonic mean of the precision and recall of normalized words, from 0.0 to 1.0.

    Words are counted as a multiset. Two texts without any word are equal: 1.0.
    """
    predicted, expected = normalize_text(prediction).split(), normalize_text(answer).split()
    if not predicted and not expected:
        return 1.0
    shared = (Counter(predicted) & Counter(expected)).total()
    return 2 * shared / (len(predicted) + len(expected)) if shared else 0.0


def EM(prediction: str, answers_list: Sequence[str]) -> bool:
    """Whether the prediction equals any of the answers after normalization."""
    return any(em_score(prediction, answer) for answer in _answers(answers_list))


def F1(prediction: str, answers_list: Sequence[str]) -> float:
    """The best `f1_score` of the prediction against any of the answers."""
    return max(f1_score(prediction, answer) for answer in _answers(answers_list))


def answer_exact_match(example: Any, pred: Any, trace: Any = None, frac: float = 1.0) -> bool:
    """Whether ``pred.answer`` matches ``example.answer`` (a text, or a list of acceptable texts).

    ``frac`` below 1.0 asks for an F1 of at least ``frac`` instead of equality.
    """
    answers = _one_or_many(example.answer)
    return F1(pred.answer, answers) >= frac if frac < 1.0 else EM(pred.answer, answers)


def answer_passage_match(example: Any, pred: Any, trace: Any = None) -> bool:
    """Whether any text of ``pred.context`` contains any of ``example.answer``, word for word after normalization."""
    wanted = [normalize_text(answer).split() for answer in _one_or_many(example.answer)]
    return any(
        _contains(normalize_text(passage).split(), words) for passage in _one_or_many(pred.context) for words in wanted
    )


def _contains(words: list[str], wanted: list[str]) -> bool:
    width = len(wanted)
    return width > 0 and any(words[i : i + width] == wanted for i in range(len(words) - width + 1))


def _one_or_many(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _answers(answers: Sequence[str]) -> Sequence[str]:
    if isinstance(answers, str):
        raise TypeError("answers_list must be a list of texts; wrap a single answer in a list")
    if not answers:
        raise ValueError("answers_list is empty: there is nothing to compare the prediction with")
    return answers
