"""Messages that reached nobody: kept until someone replays or drops them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dspex.quarantine._errors import NotFoundError, NotReplayableError
from dspex.quarantine._payload import portable, replayable

if TYPE_CHECKING:
    from dspex.store import DeadLetter, DeadLetterState, Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of a replay of many: letters that were delivered, and those that were not, each with its error."""

    replayed: tuple[DeadLetter, ...]
    failed: tuple[tuple[DeadLetter, Exception], ...]


class DeadLetters:
    """The dead letters of a system. Any thread; all methods may wait for the disk.

    `keep` is where a new letter goes: the store by default; a writer's `put` when the disk may be full, for then the
    letter waits in memory with all else.
    """

    def __init__(self, store: Store, *, keep: Callable[[DeadLetter], object] | None = None) -> None:
        self._store = store.dead_letters
        self._keep = keep or store.dead_letters.add
        self._replaying = threading.Lock()

    def add(self, kind: str, target: str, message: Any, reason: str) -> DeadLetter:
        """Keep a message that was meant for `target` (a path), of some `kind` ("message", "request"...)."""
        from dspex.store import DeadLetter

        letter = DeadLetter(kind, target, portable(message), reason)
        self._keep(letter)
        return letter

    def list(self, *, state: DeadLetterState | None = "waiting", kind: str | None = None) -> list[DeadLetter]:
        """The letters in a state (None: in any), the oldest first."""
        return self._store.list(state=state, kind=kind)

    def count(self) -> int:
        """How many are waiting."""
        return self._store.count()

    def show(self, letter_id: str) -> DeadLetter:
        """The letter with an id or the beginning of one. Raises NotFoundError, also when it could be several."""
        if letter_id and (found := self._store.get(letter_id)) is not None:
            return found
        matches = [each for each in self._store.list(state=None) if each.id.startswith(letter_id)] if letter_id else []
        if len(matches) != 1:
            what = "several dead letters begin with" if matches else "no dead letter"
            raise NotFoundError(f"{what} {letter_id!r}; `dspex deadletters list` shows them all", id=letter_id)
        return matches[0]

    def replay(self, letter_id: str, deliver: Callable[[DeadLetter], T]) -> T:
        """Hand a waiting letter to `deliver` and return its result. Delivered, it is `replayed`; when `deliver` raises,
        it waits on with the attempt counted and the error as its reason, and the error is the caller's.

        A letter is delivered at least once: of a process that dies between the delivery and the note of it, the letter
        is still waiting. Two threads never deliver at once.

        Raises NotFoundError, NotReplayableError.
        """
        with self._replaying:
            letter = self.show(letter_id)
            if letter.state != "waiting":
                raise NotReplayableError(f"dead letter {letter.id} was {letter.state} already", id=letter.id)
            if not replayable(letter.payload):
                raise NotReplayableError(
                    f"dead letter {letter.id} holds something that has no JSON form and was kept as text only: drop it",
                    id=letter.id,
                )
            try:
                result = deliver(letter)
            except Exception as error:
                self._store.move(letter.id, "waiting", attempted=True, reason=f"{type(error).__name__}: {error}")
                raise
            self._store.move(letter.id, "replayed", attempted=True)
            return result

    def replay_all(self, deliver: Callable[[DeadLetter], Any], *, kind: str | None = None) -> ReplayReport:
        """Replay every letter that is waiting now, the oldest first; one that fails does not stop the others."""
        replayed: list[DeadLetter] = []
        failed: list[tuple[DeadLetter, Exception]] = []
        for letter in self.list(kind=kind):
            try:
                self.replay(letter.id, deliver)
            except Exception as error:  # noqa: BLE001 - it is in the report, with the letter
                failed.append((letter, error))
            else:
                replayed.append(letter)
        return ReplayReport(tuple(replayed), tuple(failed))

    def drop(self, letter_id: str) -> DeadLetter:
        """Give a waiting letter up. Raises NotFoundError, NotReplayableError when it is not waiting."""
        letter = self.show(letter_id)
        if not self._store.move(letter.id, "dropped"):
            raise NotReplayableError(f"dead letter {letter.id} is not waiting any more", id=letter.id)
        return letter
