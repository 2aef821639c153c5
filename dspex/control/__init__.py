"""The control socket: how the command line looks into a running system.

The system's side is imported by its first use: the command line starts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dspex.control._client import Client
from dspex.control._errors import (
    ControlError,
    ControlTimeoutError,
    NoSystemError,
    OperationError,
    SeveralSystemsError,
    SocketPathError,
    WireError,
)
from dspex.control._sockets import SystemSocket, choose, running, runtime_directory, socket_path
from dspex.control._wire import VERSION

if TYPE_CHECKING:
    from dspex.control._operations import WAITING, operations
    from dspex.control._server import ControlServer, Operation, Stream

__all__ = [
    "Client",
    "ControlError",
    "ControlServer",
    "ControlTimeoutError",
    "NoSystemError",
    "Operation",
    "OperationError",
    "SeveralSystemsError",
    "SocketPathError",
    "Stream",
    "SystemSocket",
    "VERSION",
    "WAITING",
    "WireError",
    "choose",
    "operations",
    "running",
    "runtime_directory",
    "socket_path",
]

_LAZY = {
    "ControlServer": "_server",
    "Operation": "_server",
    "Stream": "_server",
    "WAITING": "_operations",
    "operations": "_operations",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"dspex.control.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'dspex.control' has no attribute {name!r}")
