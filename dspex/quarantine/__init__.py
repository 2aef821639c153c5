"""What must not be lost and must not be tried again blindly: inputs that kill workers, messages that reached nobody."""

from __future__ import annotations

from dspex.quarantine._dead_letters import DeadLetters, ReplayReport
from dspex.quarantine._errors import NotFoundError, NotReplayableError, QuarantinedError, QuarantineError
from dspex.quarantine._payload import input_key, portable
from dspex.quarantine._quarantine import Quarantine

__all__ = [
    "DeadLetters",
    "NotFoundError",
    "NotReplayableError",
    "Quarantine",
    "QuarantineError",
    "QuarantinedError",
    "ReplayReport",
    "input_key",
    "portable",
]
