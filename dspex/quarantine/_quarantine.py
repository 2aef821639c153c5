"""Inputs that kill workers.

A worker that dies takes one attempt of its input with it; an input under which workers die again and again is the
cause, and is set aside. Kills are counted in the store, so an input that takes the whole process down each time is
found as well. Asking whether an input is set aside costs a look into a dict, and no hash at all for a program that has
none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dspex.quarantine._errors import NotFoundError, NotReplayableError, QuarantinedError
from dspex.quarantine._payload import input_key, portable, replayable

if TYPE_CHECKING:
    from dspex.store import QuarantinedInput, Store

T = TypeVar("T")


class Quarantine:
    """The quarantine of a system. Any thread; every method but `check` may wait for the disk.

    `after`: how many workers an input may kill. What other processes set aside is seen at `refresh`. `on_change` is
    told what has happened to an input: struck, added, released or dropped.
    """

    def __init__(
        self,
        store: Store,
        *,
        after: int = 2,
        on_change: Callable[[str, QuarantinedInput], None] | None = None,
    ) -> None:
        if after < 1:
            raise ValueError("after must be 1 or more")
        self.after = after
        self._store = store.quarantine
        self._tell = on_change or (lambda what, found: None)
        self._lock = threading.Lock()
        self._blocked: dict[str, dict[str, QuarantinedInput]] = {}

    def refresh(self) -> int:
        """Read from the store what is set aside; returns how many inputs that is. Call it once at the start."""
        blocked: dict[str, dict[str, QuarantinedInput]] = {}
        with self._lock:  # from reading to replacing, or what is set aside meanwhile would be overlooked
            for each in self._store.list():
                blocked.setdefault(each.program, {})[each.key] = each
            self._blocked = blocked
        return sum(map(len, blocked.values()))

    def blocks(self, program: str) -> bool:
        """Is anything set aside for this program? Never waits, and looks at no input."""
        return bool(self._blocked.get(program))

    def check(self, program: str, inputs: Any) -> None:
        """Raise QuarantinedError when these inputs are set aside for `program`. Never waits."""
        blocked = self._blocked.get(program)
        if not blocked:
            return
        found = blocked.get(input_key(inputs))
        if found is not None:
            raise QuarantinedError(
                f"this input of {program!r} killed {found.kills} workers ({found.reason}) and is quarantined as"
                f" {found.key}: look at it with `dspex quarantine show {found.key[:8]}`; release, replay or drop it",
                program=program,
                key=found.key,
                kills=found.kills,
                reason=found.reason,
            )

    def strike(self, program: str, inputs: Any, *, reason: str, fingerprint: str = "") -> QuarantinedInput:
        """A worker died under these inputs. Returns what is known of them; `.state` says whether they are set aside
        now ("quarantined") or may be tried again ("watched")."""
        news = "struck"
        with self._lock:  # the store and what is known of it change together: a `refresh` comes before or after
            found = self._store.strike(
                program, input_key(inputs), portable(inputs), after=self.after, reason=reason, fingerprint=fingerprint
            )
            if found.state == "quarantined":
                blocked = self._blocked.setdefault(program, {})
                news = "struck" if found.key in blocked else "added"
                blocked[found.key] = found
        self._tell(news, found)
        return found

    def list(self, program: str | None = None) -> list[QuarantinedInput]:
        """What is set aside, the latest first."""
        return self._store.list(program=program)

    def show(self, key: str) -> QuarantinedInput:
        """The input under a key or the beginning of one. Raises NotFoundError, also when it could be several."""
        matches = [each for each in self._store.list(state=None) if each.key.startswith(key)] if key else []
        if len(matches) != 1:
            what = "several inputs begin with" if matches else "no quarantined input"
            raise NotFoundError(f"{what} {key!r}; `dspex quarantine` shows them all", id=key)
        return matches[0]

    def release(self, key: str) -> QuarantinedInput:
        """Let the input run again, counting from 0. Raises NotFoundError."""
        found = self.show(key)
        self._store.release(found.program, found.key)
        self._unblock(found)
        released = self.show(found.key)
        self._tell("released", released)
        return released

    def drop(self, key: str) -> QuarantinedInput:
        """Forget the input; returns what it was. Raises NotFoundError."""
        found = self.show(key)
        self._store.drop(found.program, found.key)
        self._unblock(found)
        self._tell("dropped", found)
        return found

    def replay(self, key: str, run: Callable[[QuarantinedInput], T]) -> T:
        """Hand the input to `run` and return its result. When it returns, the input is forgotten; when it raises, the
        error is the caller's and the input stays where it is. A `run` that kills the process leaves it there, too.

        Raises NotFoundError, NotReplayableError.
        """
        found = self.show(key)
        if not replayable(found.payload):
            raise NotReplayableError(
                f"input {found.key} holds something that has no JSON form and was kept as text only;"
                " run the program by hand, then drop it",
                id=found.key,
            )
        result = run(found)
        self.drop(found.key)
        return result

    def _unblock(self, found: QuarantinedInput) -> None:
        with self._lock:
            inputs = dict(self._blocked.get(found.program, {}))
            inputs.pop(found.key, None)
            self._blocked[found.program] = inputs
