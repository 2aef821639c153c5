"""What can go wrong with an optimization as a whole."""

from __future__ import annotations

from typing import Any

from dspex._errors import DspexError


class TeleprompterError(DspexError):
    """An optimization could not be done."""

    code = "teleprompter"


class JournalMismatchError(TeleprompterError):
    """A run was resumed with other data, settings or code than it began with. ``step`` names where it showed."""

    code = "journal_mismatch"

    def __init__(self, message: str = "", *, step: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.step = step


class BootstrapError(TeleprompterError):
    """The teacher failed on too many examples. ``failures`` counts them, the message shows the last error."""

    code = "bootstrap"

    def __init__(self, message: str = "", *, failures: int = 0, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.failures = failures


class RunPausedError(TeleprompterError):
    """The run stands still, with all it has done in its journal. ``run_id`` resumes it, ``best`` is the best program
    so far (None before the first was judged)."""

    code = "run_paused"

    def __init__(self, message: str = "", *, run_id: str = "", reason: str = "", best: Any = None, **fields: Any):
        super().__init__(message, **fields)
        self.run_id = run_id
        self.reason = reason
        self.best = best
