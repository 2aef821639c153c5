"""What can go wrong between the command line and a running system."""

from __future__ import annotations

from dspex._errors import DspexError

__all__ = [
    "ControlError",
    "ControlTimeoutError",
    "NoSystemError",
    "OperationError",
    "SeveralSystemsError",
    "SocketPathError",
    "WireError",
]


class ControlError(DspexError):
    """Root of the errors of the control socket."""


class NoSystemError(ControlError):
    """No running system answers under that name or path."""


class SeveralSystemsError(ControlError):
    """More than one system is running and none was chosen.  `names` lists them."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        super().__init__(f"{len(names)} systems are running: choose one with --name ({', '.join(names)}) or --socket")


class ControlTimeoutError(ControlError):
    """The system did not answer in time."""


class WireError(ControlError):
    """A line on the socket is not what the protocol says."""


class OperationError(ControlError):
    """The system answered that it could not do it.  `kind` says why in one word, for programs."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class SocketPathError(ControlError):
    """The directory for sockets cannot be used."""
