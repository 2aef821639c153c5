"""What can go wrong with a running program, beyond what its own code raises."""

from __future__ import annotations

from typing import Any

from dspex._errors import DspexError

__all__ = ["DeadlineExceededError", "ParallelError", "ProgramStoppedError", "SystemClosedError"]


class DeadlineExceededError(DspexError, TimeoutError):
    """A call took longer than its `timeout` allowed and was ended, with everything that it had begun."""

    code = "deadline_exceeded"

    def __init__(self, message: str = "", *, timeout: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.timeout = timeout


class ProgramStoppedError(DspexError):
    """A call came to a spawned program that has ended. `program` is its name, `reason` says why it ended."""

    code = "program_stopped"

    def __init__(self, message: str = "", *, program: str = "", reason: Any = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.program = program
        self.reason = reason


class SystemClosedError(DspexError):
    """The system that was to do the work has been closed, or was never started."""

    code = "system_closed"


class ParallelError(DspexError):
    """Too many of many calls failed, and the rest was not begun.

    Nothing finished is lost: `results` has a result or None for each call, `failed` the indices of the calls that
    failed, `exceptions` their errors.
    """

    code = "parallel"

    def __init__(
        self,
        message: str = "",
        *,
        results: list[Any] | None = None,
        failed: list[int] | None = None,
        exceptions: list[BaseException] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.results = results if results is not None else []
        self.failed = failed if failed is not None else []
        self.exceptions = exceptions if exceptions is not None else []
