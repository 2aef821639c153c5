"""Where the sockets of running systems are: one directory a user, one socket a system."""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dspex.control._errors import NoSystemError, SeveralSystemsError, SocketPathError

__all__ = ["SystemSocket", "choose", "running", "runtime_directory", "socket_path"]

ENVIRONMENT_VARIABLE = "DSPEX_RUNTIME_DIR"
_LONGEST = 100  # bytes; sun_path has room for 104 (macOS) or 108 (Linux)
_NAME = re.compile(r"^(?P<name>.+)-(?P<pid>\d+)\.sock$")


@dataclass(frozen=True, slots=True)
class SystemSocket:
    """A running system, as its socket's name tells it."""

    name: str
    pid: int
    path: Path


def runtime_directory(environ: Mapping[str, str] | None = None) -> Path:
    """The user's own directory for sockets: $DSPEX_RUNTIME_DIR, $XDG_RUNTIME_DIR/dspex, or one below the temporary
    directory; made with mode 0700.

    Raises:
        SocketPathError: it belongs to somebody else, others may write to it, or it cannot be made.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get(ENVIRONMENT_VARIABLE):
        directory = Path(chosen)
    elif base := environ.get("XDG_RUNTIME_DIR"):
        directory = Path(base) / "dspex"
    else:
        directory = Path(tempfile.gettempdir()) / f"dspex-{os.getuid()}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise SocketPathError(
            f"the directory for control sockets cannot be made: {error}; set {ENVIRONMENT_VARIABLE} to another one"
        ) from error
    mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not mine or status.st_mode & 0o022:
        raise SocketPathError(
            f"{directory} is not a directory that only you can write to: remove it, or set {ENVIRONMENT_VARIABLE}"
        )
    return directory


def socket_path(name: str, directory: Path | None = None, pid: int | None = None, instance: int = 0) -> Path:
    """The path of the socket of the system `name` in this process.

    `instance` tells systems of one name in one process apart; 0 is the first.

    Raises:
        SocketPathError: the path is too long for a unix socket.
    """
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-") or "system"
    suffix = f".{instance}" if instance else ""
    path = (directory or runtime_directory()) / f"{safe[:40]}{suffix}-{pid or os.getpid()}.sock"
    if len(os.fsencode(path)) > _LONGEST:
        raise SocketPathError(
            f"{path} is too long for a unix socket ({_LONGEST} bytes): "
            f"set {ENVIRONMENT_VARIABLE} to a shorter directory"
        )
    return path


def running(directory: Path | None = None) -> list[SystemSocket]:
    """The systems that answer, by name.  Sockets that nobody listens on any more are removed."""
    found = []
    for path in sorted((directory or runtime_directory()).glob("*.sock")):
        match = _NAME.match(path.name)
        if match is None:
            continue
        if listens(path):
            found.append(SystemSocket(match["name"], int(match["pid"]), path))
        else:
            path.unlink(missing_ok=True)
    return found


def listens(path: Path) -> bool:
    """True if somebody accepts connections there."""
    probe = socket.socket(socket.AF_UNIX)
    probe.settimeout(1.0)
    try:
        probe.connect(os.fspath(path))
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:
        return True  # busy is not gone
    finally:
        probe.close()
    return True


def choose(name: str | None = None, directory: Path | None = None) -> SystemSocket:
    """The system of that name, or the only one there is.

    Raises:
        NoSystemError: there is none.
        SeveralSystemsError: there are several and no name was given, or several have it.
    """
    systems = running(directory)
    if name is not None:
        matching = [
            system for system in systems if name in (system.name, f"{system.name}-{system.pid}", str(system.pid))
        ]
        if not matching:
            others = f"running: {', '.join(s.name for s in systems)}" if systems else "none is running"
            raise NoSystemError(f"no system {name!r} is running here ({others}): see `dspex ps`")
        systems = matching
    if not systems:
        raise NoSystemError("no dspex system is running for this user: start one, or name its socket with --socket")
    if len(systems) > 1:
        raise SeveralSystemsError([f"{system.name}-{system.pid}" for system in systems])
    return systems[0]
