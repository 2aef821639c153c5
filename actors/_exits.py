"""Exit reasons: why an actor ended, as values.

The vocabulary is OTP's: `normal`, `shutdown`, `{shutdown, Term}`, `killed`, `noproc`, and anything else, which is
a crash.  See the sections on errors and on processes of the Erlang reference manual.
"""

from __future__ import annotations

import hashlib
import linecache
import os
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

__all__ = ["Crash", "ExitReason", "Frame", "Killed", "NoProcess", "Normal", "Shutdown"]

Frame: TypeAlias = tuple[str, int, str]
"""File name, line number, function name."""

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why an actor ended.  Compared by value."""

    @property
    def abnormal(self) -> bool:
        """True if links must carry it and a transient child must be restarted."""
        return True

    def summary(self) -> ExitReason:
        """The same reason holding on to no live object: what may be kept for long."""
        return self


@dataclass(frozen=True, slots=True)
class Normal(ExitReason):
    """It had nothing more to do."""

    @property
    def abnormal(self) -> bool:
        return False

    def __str__(self) -> str:
        return "normal"


@dataclass(frozen=True, slots=True)
class Shutdown(ExitReason):
    """It was told to end, by a supervisor or by a caller; `detail` is for people."""

    detail: Any = None

    @property
    def abnormal(self) -> bool:
        return False

    def __str__(self) -> str:
        return "shutdown" if self.detail is None else f"shutdown: {self.detail}"


@dataclass(frozen=True, slots=True)
class Killed(ExitReason):
    """It was killed: nothing of its own code ran at the end."""

    def __str__(self) -> str:
        return "killed"


@dataclass(frozen=True, slots=True)
class NoProcess(ExitReason):
    """There was no such actor when it was linked or monitored."""

    def __str__(self) -> str:
        return "no process"


@dataclass(frozen=True, slots=True)
class Crash(ExitReason):
    """An exception that nobody caught, or an exit with a reason of one's own (`Crash("boom")`).

    Two crashes are equal when type and message are; where they happened is told by `frames`, outermost first,
    and `fingerprint` groups crashes that happened at the same place.
    """

    type: str
    message: str = ""
    frames: tuple[Frame, ...] = field(default=(), compare=False, repr=False)
    exception: BaseException | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, exception: BaseException) -> Crash:
        """The crash that `exception` is.  Frames inside this package are left out: they are the same for all."""
        frames = []
        step = exception.__traceback__
        while step is not None:
            code = step.tb_frame.f_code
            if not code.co_filename.startswith(_HERE):
                frames.append((code.co_filename, step.tb_lineno, code.co_qualname))
            step = step.tb_next
        try:
            message = str(exception)
        except Exception:  # noqa: BLE001  a broken __str__ must not hide the crash
            message = "<its message cannot be printed>"
        return cls(type(exception).__qualname__, message, tuple(frames), exception)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits, equal for crashes of one type at one place, across processes and machines."""
        place = [f"{os.path.basename(file)}:{line}:{name}" for file, line, name in self.frames] or [self.message]
        return hashlib.blake2b("\n".join([self.type, *place]).encode(), digest_size=6).hexdigest()

    @property
    def traceback(self) -> str:
        """As Python prints it, without the frames of the actor machinery."""
        lines = ["Traceback (most recent call last):"] if self.frames else []
        for file, number, name in self.frames:
            lines.append(f'  File "{file}", line {number}, in {name}')
            if source := linecache.getline(file, number).strip():
                lines.append(f"    {source}")
        lines.append(f"{self.type}: {self.message}" if self.message else self.type)
        return "\n".join(lines)

    def summary(self) -> Crash:
        return self if self.exception is None else replace(self, exception=None)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type
