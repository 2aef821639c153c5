"""Evaluation: a program on many examples, its answers scored, its failures typed and never turned into scores."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex.primitives import normalize_text

    from ._evaluate import Evaluate
    from ._evaluation import Evaluation
    from ._failures import FailureKind, classify
    from ._judges import CompleteAndGrounded, SemanticF1
    from ._messages import EvaluationFinished, EvaluationStopped, ExampleRetried
    from ._metric_errors import MetricCrashedError, MetricError
    from ._metrics import (
        EM,
        F1,
        answer_exact_match,
        answer_passage_match,
        em_score,
        f1_score,
    )
    from ._outcomes import Failed, Outcome, Scored
    from ._progress import Progress
    from ._render import show_result
    from ._report import EvaluationResult
    from ._source import EvaluationEndedError, WorkerDiedError

__all__ = [
    "CompleteAndGrounded",
    "EM",
    "Evaluate",
    "Evaluation",
    "EvaluationEndedError",
    "EvaluationFinished",
    "EvaluationResult",
    "EvaluationStopped",
    "ExampleRetried",
    "F1",
    "Failed",
    "FailureKind",
    "MetricCrashedError",
    "MetricError",
    "Outcome",
    "Progress",
    "Scored",
    "SemanticF1",
    "WorkerDiedError",
    "answer_exact_match",
    "answer_passage_match",
    "classify",
    "em_score",
    "f1_score",
    "normalize_text",
    "show_result",
]

_HOMES = {
    "_evaluate": ("Evaluate",),
    "_evaluation": ("Evaluation",),
    "_failures": ("FailureKind", "classify"),
    "_judges": ("CompleteAndGrounded", "SemanticF1"),
    "_messages": ("EvaluationFinished", "EvaluationStopped", "ExampleRetried"),
    "_metric_errors": ("MetricCrashedError", "MetricError"),
    "_metrics": (
        "EM",
        "F1",
        "answer_exact_match",
        "answer_passage_match",
        "em_score",
        "f1_score",
        "normalize_text",
    ),
    "_outcomes": ("Failed", "Outcome", "Scored"),
    "_progress": ("Progress",),
    "_render": ("show_result",),
    "_report": ("EvaluationResult",),
    "_source": ("EvaluationEndedError", "WorkerDiedError"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Lazily: a process that computes a metric imports this package too, and needs next to nothing of it.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
