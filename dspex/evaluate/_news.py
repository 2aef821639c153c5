"""What an evaluation tells those who listen to its system's events; see `_incidents` for what goes wrong.

| topic | measurements | metadata |
|---|---|---|
| `evaluation.started` | `total` | `evaluation`, `program`, `metric` |
| `evaluation.progress` | `done`, `total`, `scored`, `failed`, `in_flight`, `retries`, `tokens`, `score` and `cost` if known | `evaluation` |
| `evaluation.stopped` | `done`, `total` | `evaluation`, `reason` |
| `evaluation.finished` | `scored`, `failed`, `seconds`, `score` if there is one | `evaluation`, `failures` by kind |

Progress comes at most twice a second, and once more at the end.
"""  # noqa: E501  a table

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._incidents import Incidents
from ._messages import EvaluationFinished, EvaluationStopped
from ._outcomes import Failed, Scored
from ._progress import Progress

if TYPE_CHECKING:
    from dspex.system import System

__all__ = ["EVERY", "News", "measured"]

PROGRESS = "evaluation.progress"

EVERY = 0.5  # seconds between two words on the progress


class News:
    """A listener of an evaluation that passes on what it hears and makes events of it."""

    def __init__(
        self,
        system: System,
        name: str,
        program: str,
        metric: str,
        progress: Progress,
        listener: Callable[[Any], None],
    ) -> None:
        self._events = system.events
        self._time = system.scheduler.clock.time
        self._incidents = Incidents(system, "evaluation", name, program, listener)
        self._known = self._incidents.known
        self._progress = progress
        self._told_at = progress.started
        about = {**self._known, "program": program, "metric": metric}
        self._events.emit("evaluation.started", {"total": progress.total}, about)

    def __call__(self, event: Any) -> None:
        """`Scored`, `Failed`, `ExampleRetried`, `EvaluationStopped` or, at last, `EvaluationFinished`."""
        self._incidents(event)
        match event:
            case Scored() | Failed():
                now = self._time()
                if now - self._told_at >= EVERY:
                    self._moved(now)
            case EvaluationStopped(reason, done, total):
                self._events.emit(
                    "evaluation.stopped", {"done": done, "total": total}, {**self._known, "reason": reason}
                )
            case EvaluationFinished():
                self._moved(self._time())
                self._finished(event)

    def _moved(self, now: float) -> None:
        self._told_at = now
        if self._events.wants(PROGRESS):
            self._events.emit(PROGRESS, measured(self._progress), self._known)

    def _finished(self, event: EvaluationFinished) -> None:
        seconds = self._time() - self._progress.started
        figures: dict[str, float] = {"scored": event.scored, "failed": event.failed, "seconds": seconds}
        if event.score is not None:
            figures["score"] = event.score
        failures = {str(kind): count for kind, count in event.counts.items()}
        self._events.emit("evaluation.finished", figures, {**self._known, "failures": failures})


def measured(progress: Progress) -> dict[str, float]:
    """The figures of an account; what is not known is left out."""
    figures: dict[str, float] = {
        "done": progress.done,
        "total": progress.total,
        "scored": progress.scored,
        "failed": progress.failed,
        "in_flight": progress.in_flight,
        "retries": progress.retries,
        "tokens": progress.tokens,
    }
    if progress.score is not None:
        figures["score"] = progress.score
    if progress.cost is not None:
        figures["cost"] = progress.cost
    return figures
