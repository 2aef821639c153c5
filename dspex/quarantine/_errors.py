"""The errors of quarantine and dead letters."""

from __future__ import annotations

from dspex._errors import DspexError


class QuarantineError(DspexError):
    """Root of this package's errors."""


class QuarantinedError(QuarantineError):
    """The input is quarantined: it killed `kills` workers, the last time by `reason`."""

    code = "quarantined"

    def __init__(
        self, message: str = "", *, program: str = "", key: str = "", kills: int = 0, reason: str = ""
    ) -> None:
        super().__init__(message)
        self.program = program
        self.key = key
        self.kills = kills
        self.reason = reason


class NotFoundError(QuarantineError):
    """No dead letter, or no quarantined input, of that id."""

    code = "not_found"

    def __init__(self, message: str = "", *, id: str = "") -> None:
        super().__init__(message)
        self.id = id


class NotReplayableError(QuarantineError):
    """It cannot be replayed: it was dealt with already, or a part of it has no JSON form and was kept as text only."""

    code = "not_replayable"

    def __init__(self, message: str = "", *, id: str = "") -> None:
        super().__init__(message)
        self.id = id
