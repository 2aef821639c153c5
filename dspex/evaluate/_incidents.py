"""What goes wrong with single examples, for the events of the system and, where it killed a worker, its quarantine.

| topic | measurements | metadata |
|---|---|---|
| `evaluation.retry`, `run.retry` | `attempt`, `wait` | `evaluation` or `run`, `index`, `kind`, `error` |
| `evaluation.failure`, `run.failure` | `attempts` | the same |

With the setting `redact_prompts` errors are left out: they quote prompts and answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from actors import ActorDeadError
from dspex._settings import settings
from dspex.quarantine import QuarantinedError

from ._failures import FailureKind, words_of
from ._messages import ExampleRetried
from ._metric_errors import MetricCrashedError
from ._outcomes import Failed

if TYPE_CHECKING:
    from dspex.system import System

__all__ = ["Incidents"]


class Incidents:
    """A listener of an evaluation or of a run: it passes on what it hears, and makes events of failures.

    An example under which a worker died is a strike against its input, in the name of `program`: so that it is known
    after the process has ended, and can be looked at.
    """

    def __init__(
        self,
        system: System,
        what: Literal["evaluation", "run"],
        name: str,
        program: str,
        listener: Callable[[Any], None],
    ) -> None:
        self.known: dict[str, Any] = {what: name}
        self.program = program
        self.private = bool(settings.redact_prompts or system.config.redact_prompts)
        self._system = system
        self._what = what
        self._listener = listener

    def __call__(self, event: Any) -> None:
        """`Scored`, `Failed`, `ExampleRetried` or another event."""
        self._listener(event)
        match event:
            case ExampleRetried():
                if event.kind is FailureKind.WORKER_CRASH:
                    self._strike(event.example, event.error)
                self._tell("retry", {"attempt": event.attempt, "wait": event.delay}, event)
            case Failed(kind=FailureKind.CANCELLED):
                pass  # the end of the whole says how many
            case Failed():
                if event.kind is FailureKind.QUARANTINED or event.kind is FailureKind.WORKER_CRASH:
                    self._strike(event.example, event.error)
                self._tell("failure", {"attempts": event.attempts}, event)

    def _tell(self, which: str, figures: dict[str, float], event: ExampleRetried | Failed) -> None:
        about = {**self.known, "index": event.index, "kind": str(event.kind), "error": self.words(event.error)}
        self._system.events.emit(f"{self._what}.{which}", figures, about)

    def words(self, error: BaseException | None) -> str | None:
        """What may be said of an error."""
        if error is None or self.private:
            return None
        return self._system.redactor.text(f"{type(error).__name__}: {words_of(error)}")

    def _strike(self, example: Any, error: BaseException | None) -> None:
        # The death of a metric's process says nothing of the program, and a spawned program keeps its own account.
        if isinstance(error, MetricCrashedError | ActorDeadError | QuarantinedError):
            return
        inputs = example.inputs() if hasattr(example, "inputs") else example
        self._system.strike(self.program, inputs, error)
