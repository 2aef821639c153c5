"""Where an evaluation's work comes from, and how it can end before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dspex._errors import DspexError

if TYPE_CHECKING:
    from actors import ExitReason, Reply

    from ._failures import FailureKind
    from ._messages import Job, Report
    from ._outcomes import Outcome


class Source(Protocol):
    """Where the work comes from and where its outcomes go. Called on the loop; must be quick."""

    def available(self) -> int:
        """How many further jobs could be begun now. They get the next numbers of the ledger."""

    def job(self, index: int, attempt: int, last_kind: FailureKind | None) -> Job:
        """The job with this number, for an attempt (from 1) after a failure of that kind."""

    def example(self, index: int) -> Any:
        """What the job with this number is about."""

    def settled(self, index: int, outcome: Outcome, report: Report | None) -> Reply[Any] | None:
        """The job is done. A reply that is returned holds the worker's place until it is set."""

    def confirmed(self, index: int) -> None:
        """The reply that `settled` gave for this job is set."""

    def is_exhausted(self) -> bool:
        """No further job will ever be available."""


class WorkerDiedError(DspexError):
    """The worker of an example ended before the example was done."""

    code = "worker_died"


class EvaluationEndedError(DspexError):
    """The evaluation's actors were stopped from outside: by their supervisor, or with the system. ``reason`` is how
    its collector ended; None if it never began."""

    code = "evaluation_ended"

    def __init__(self, message: str = "", *, reason: ExitReason | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.reason = reason
