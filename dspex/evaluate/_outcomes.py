"""What became of one example: `Scored` or `Failed`, never anything between.

Both are values: an evaluator's report, an optimizer's journal and a callback read the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dspex._errors import DspexError

from ._failures import FailureKind, words_of


@dataclass(frozen=True, slots=True)
class Scored:
    """An example with its prediction and the metric's verdict.

    ``seconds`` are those of the last attempt, from hand-out to score.
    """

    example: Any
    prediction: Any
    score: float
    index: int = 0
    attempts: int = 1
    usage: Any = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """An example without a score. ``kind`` says why, ``error`` what was raised last, ``traceback`` where.

    ``prediction`` is there when the program answered and the metric failed. ``last_kind`` is the failure that a
    quarantined or cancelled example saw last, if it saw one.
    """

    example: Any
    index: int
    kind: FailureKind
    error: BaseException | None = None
    traceback: str = ""
    attempts: int = 1
    seconds: float = 0.0
    prediction: Any = None
    last_kind: FailureKind | None = None

    @property
    def reason(self) -> str:
        """One line for people: an error of ours is a sentence, which says more than its type does."""
        if not isinstance(self.error, DspexError):
            return self.message
        return " ".join(str(self.error).split()) or self.message

    @property
    def message(self) -> str:
        """One line: the error's type and text, or the kind when nothing was raised."""
        if self.error is None:
            return str(self.kind)
        text = words_of(self.error).strip().splitlines()
        return f"{type(self.error).__name__}: {text[0]}" if text else type(self.error).__name__


Outcome = Scored | Failed
