"""Metrics that ask a language model: `SemanticF1` and `CompleteAndGrounded`.

Both are modules, called as metrics are, and so they run as programs: with retries, budgets and usage of their own.
An outage of the judge is an outage of the example, never a score.
"""

from __future__ import annotations

import math
from typing import Any

from dspex.predict import ChainOfThought, Module
from dspex.primitives import Prediction
from dspex.signatures import InputField, OutputField, Signature

_COVERED = "how much of the ground truth the system response says, from 0.0 to 1.0"
_RIGHT = "how much of the system response the ground truth bears out, from 0.0 to 1.0"


class SemanticOverlap(Signature):
    """Judge by its meaning how far a system's response agrees with the ground truth, whatever words either uses."""

    question: str = InputField()
    ground_truth: str = InputField()
    system_response: str = InputField()
    recall: float = OutputField(desc=_COVERED)
    precision: float = OutputField(desc=_RIGHT)


class SemanticOverlapByIdeas(Signature):
    """Judge by its meaning how far a system's response agrees with the ground truth, whatever words either uses.

    List the ideas of both first, then say which of them the two have in common, and judge by that.
    """

    question: str = InputField()
    ground_truth: str = InputField()
    system_response: str = InputField()
    ground_truth_key_ideas: str = OutputField(desc="the ideas of the ground truth, as a list")
    system_response_key_ideas: str = OutputField(desc="the ideas of the system response, as a list")
    discussion: str = OutputField(desc="which ideas are in both, and which in one only")
    recall: float = OutputField(desc=_COVERED)
    precision: float = OutputField(desc=_RIGHT)


class Completeness(Signature):
    """Judge how much of the ground truth a system's response gives.

    List the ideas of both first, then say which of them the two have in common, and judge by that.
    """

    question: str = InputField()
    ground_truth: str = InputField()
    system_response: str = InputField()
    ground_truth_key_ideas: str = OutputField(desc="the ideas of the ground truth, as a list")
    system_response_key_ideas: str = OutputField(desc="the ideas of the system response, as a list")
    discussion: str = OutputField(desc="which ideas are in both, and which in one only")
    completeness: float = OutputField(desc=_COVERED)


class Groundedness(Signature):
    """Judge how much of a system's response follows from the context that it was given.

    List the claims of the response first, but for what goes without saying; then say of each whether the context and
    common sense support it, and judge by that.
    """

    question: str = InputField()
    retrieved_context: str = InputField()
    system_response: str = InputField()
    system_response_claims: str = OutputField(desc="the claims of the system response, as a list")
    discussion: str = OutputField(desc="which claims the context supports, and which not")
    groundedness: float = OutputField(desc="how much of the system response is supported, from 0.0 to 1.0")


class SemanticF1(Module):
    """``metric(example, prediction)``: the F1 of meaning between ``prediction.response`` and ``example.response``, as
    answers to ``example.question``.

    The judge gives recall and precision, ``decompositional`` after listing the ideas of both texts. In an optimizer,
    which hands over a trace, the score is whether it reaches ``threshold``.
    """

    def __init__(self, threshold: float = 0.66, decompositional: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.module = ChainOfThought(SemanticOverlapByIdeas if decompositional else SemanticOverlap)

    def forward(self, example: Any, pred: Any, trace: Any = None) -> Prediction:
        found = self.module(
            question=example.question, ground_truth=example.response, system_response=pred.response
        )  # fmt: skip
        return _verdict(found.precision, found.recall, self.threshold, trace)


class CompleteAndGrounded(Module):
    """``metric(example, prediction)``: the harmonic mean of how complete ``prediction.response`` is beside
    ``example.response``, and how well ``prediction.context`` supports it.

    In an optimizer, which hands over a trace, the score is whether it reaches ``threshold``.
    """

    def __init__(self, threshold: float = 0.66) -> None:
        super().__init__()
        self.threshold = threshold
        self.completeness_module = ChainOfThought(Completeness)
        self.groundedness_module = ChainOfThought(Groundedness)

    def forward(self, example: Any, pred: Any, trace: Any = None) -> Prediction:
        complete = self.completeness_module(
            question=example.question, ground_truth=example.response, system_response=pred.response
        )
        grounded = self.groundedness_module(
            question=example.question, retrieved_context=pred.context, system_response=pred.response
        )
        return _verdict(grounded.groundedness, complete.completeness, self.threshold, trace)


def harmonic_mean(one: float, other: float) -> float:
    """Of two fractions; what a judge gives below 0 or above 1 counts as 0 or 1.

    Raises:
        ValueError: a judge has said NaN.
    """
    if math.isnan(one) or math.isnan(other):
        raise ValueError("the judge's fraction is NaN")
    one, other = max(0.0, min(1.0, one)), max(0.0, min(1.0, other))
    return 2 * one * other / (one + other) if one + other else 0.0


def _verdict(one: float, other: float, threshold: float, trace: Any) -> Prediction:
    score = harmonic_mean(one, other)
    return Prediction(score=score if trace is None else score >= threshold)
