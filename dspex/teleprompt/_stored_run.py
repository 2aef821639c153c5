"""A run as the store keeps it: begun or taken up again, kept alive, and closed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from dspex.store import NewRun, Owner, RunExistsError, RunLostError

from ._differences import differences
from ._errors import JournalMismatchError, TeleprompterError
from ._journal import Entry
from ._store_journal import StoreJournal

if TYPE_CHECKING:
    from dspex.store import Run, Store
    from dspex.system import System

Status = Literal["paused", "done", "failed", "cancelled"]
"""How a sitting of a run may end."""

_log = logging.getLogger("dspex.teleprompt")


class StoredRun:
    """One run that this process works on. Everything here waits for the disk: never call it on the loop.

    Raises `JournalMismatchError` if the run was begun with other work, `RunOwnedError` if another process works on it,
    and `TeleprompterError` if it was cancelled.
    """

    def __init__(self, store: Store, new: NewRun, command: Mapping[str, Any] | None, system: System) -> None:
        self._store = store
        self._id = new.id
        self._owner = Owner.current()
        try:
            found = store.runs.create(new)
        except RunExistsError as error:
            raise _mismatch(store, new, error) from error
        if found.status == "cancelled":
            raise TeleprompterError(
                f"run {new.id!r} was cancelled, which ended it for good: load_run({new.id!r}).program_of(student) is "
                "the best that it found. Choose another run_id"
            )
        run = store.runs.claim(new.id, self._owner)
        self._summary = _begun_by(store, run, command)
        self.spent = (run.tokens, run.cost or 0.0)
        self.durable = StoreJournal(store, new.id, self._owner, system.scheduler)
        self.journal = _Replayed(self.durable, tuple(self.durable.replay()))

    def beat(self, paused: bool, best: float | None, tokens: int, cost: float | None) -> bool:
        """A sign of life, what was found and what was spent: whoever lists the runs sees it, and a killed run does not
        forget it. False if the run was taken over, which a sleeping machine makes possible."""
        try:
            self._store.runs.heartbeat(
                self._id,
                self._owner,
                status="paused" if paused else "running",
                best_score=best,
                tokens=tokens,
                cost=cost,
            )
        except RunLostError:
            return False
        return True

    def close(
        self, status: Status, summary: Mapping[str, Any], score: float | None, tokens: int, cost: float | None
    ) -> None:
        """Keep how it came out, and leave it. ``tokens`` and ``cost`` are of all its sittings."""
        kept = {**self._summary, **summary}
        self._store.runs.update(self._id, best_score=score, cost=cost, tokens=tokens, summary=kept)
        try:
            self._store.runs.release(self._id, self._owner, status)
        except RunLostError:
            _log.warning("run %s was taken over by another process", self._id)


def _mismatch(store: Store, new: NewRun, error: RunExistsError) -> JournalMismatchError:
    """What is not as it was, said so that it can be found."""
    found = store.runs.get(new.id)
    row = store.runs.encode(new)
    differing: list[str] = []
    if found is not None:
        names = ("kind", "program", "seed")
        before = {name: getattr(found, name) for name in names} | {"data_hashes": found.data_hashes, **found.config}
        now = {name: row[name] for name in names}
        differing = differences(before, {**now, "data_hashes": dict(new.data_hashes), **json.loads(row["config"])})
    return JournalMismatchError(
        f"the run {new.id!r} was begun with other work: it differs in {', '.join(differing or error.differs)}. Choose "
        "another run_id, or give it what it began with.",
        step="begin",
    )


def _begun_by(store: Store, run: Run, command: Mapping[str, Any] | None) -> dict[str, Any]:
    """The part of the summary that every sitting keeps."""
    command = run.summary.get("command") if command is None else command
    if command is None:
        return {}
    if run.summary.get("command") != command:
        store.runs.update(run.id, summary={**run.summary, "command": dict(command)})
    return {"command": dict(command)}


class _Replayed:
    """A durable journal whose entries have been read already: the driver reads it on the loop."""

    def __init__(self, journal: StoreJournal, entries: tuple[Entry, ...]) -> None:
        self._journal = journal
        self._entries = entries

    def append(self, kind: str, key: str, payload: Any) -> None:
        self._journal.append(kind, key, payload)

    def replay(self) -> Iterator[Entry]:
        return iter(self._entries)
