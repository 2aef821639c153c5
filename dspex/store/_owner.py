"""Who works on a run: a process of some machine, with a lease. A dead owner is recognised, at once on the same machine
and when its lease runs out elsewhere."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Owner:
    """One process that may hold runs. `token` tells two owners in one process apart, and a process that comes
    after another with the same pid."""

    host: str
    pid: int
    started: int | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def current(cls) -> Owner:
        """This process, as an owner of its own."""
        return cls(host=this_host(), pid=os.getpid(), started=process_start(os.getpid()))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition('/')[0]}"


def this_host() -> str:
    """A name of the place in which a pid means something: the host's name, and on Linux the boot and the pid
    namespace, since two containers may well have one name."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
    except OSError:
        pass  # not Linux, or /proc is hidden: the name must do, and the lease decides across hosts anyway
    return "/".join(parts)


def process_start(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when the system does not say or it is gone."""
    status = _process_status(pid)
    return status[1] if status else None


def process_alive(pid: int, started: int | None) -> bool:
    """False only when the process is certainly gone: no such pid, a zombie, or another process under that pid."""
    if sys.platform == "win32":
        return True  # os.kill(pid, 0) would end the process there; the lease decides
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = _process_status(pid)
    if status is None:
        return True
    state, now_started = status
    return state not in "ZX" and (started is None or started == now_started)


def owner_dead(owner: Owner, lease_until: float | None, *, now: float, here: str) -> bool:
    """True when the owner will not write any more: its lease is over, or it was a process of this machine that is
    gone. `here` is `this_host()`."""
    if lease_until is not None and lease_until <= now:
        return True
    return owner.host == here and not process_alive(owner.pid, owner.started)


def _process_status(pid: int) -> tuple[str, int] | None:
    """State letter and start time from /proc/PID/stat (fields 3 and 22; the name in field 2 may hold anything)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode("ascii", "replace"), int(fields[19])
