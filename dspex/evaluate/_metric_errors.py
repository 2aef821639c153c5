"""What a metric's failure raises. In a file of its own: the processes that compute metrics need no more than this."""

from __future__ import annotations

from dspex._errors import DspexError


class MetricError(DspexError):
    """The metric raised, or returned something that is not a number. The cause is the metric's own exception."""


class MetricCrashedError(DspexError):
    """The process that computed the metric died or was ended; ``exitcode`` is negative for a signal."""

    def __init__(self, message: str, *, exitcode: int | None = None) -> None:
        super().__init__(message)
        self.exitcode = exitcode
