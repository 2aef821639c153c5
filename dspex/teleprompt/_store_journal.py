"""The durable journal of a run: every append is on disk before the search learns of it.

Appends are gathered while a commit is under way and go into the next one together, so one sync serves all workers. A
disk that is full or gone delays the run, which then waits for it; it loses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from actors import Reply
from dspex.store import Evaluation, JournalAppend, Refused, RunUpdate, Writer

from ._journal import Entry

if TYPE_CHECKING:
    from actors import Scheduler
    from dspex.store import Owner, Store

_RETRY = 1.0  # seconds between two attempts to write to a disk that refuses


class StoreJournal:
    """The journal of one run in a store, held by ``owner``. `append` never blocks; `committed` says when all that
    was appended so far is safe.

    The answers of the language models that a step used are on disk before the step is (see `dspex.cache.Cache`): a run
    that is killed anywhere pays again at most for the calls that were in flight.

    ``spending`` tells what the run has spent, tokens and USD; every commit has it with the steps that it was spent on.
    """

    def __init__(self, store: Store, run_id: str, owner: Owner, scheduler: Scheduler) -> None:
        self._store = store
        self._run_id = run_id
        self._owner = owner
        self._scheduler = scheduler
        self._writer = Writer(store)
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._waiting: list[Reply[None]] = []
        self._flushing = False
        self._error: BaseException | None = None
        self._booked: tuple[int, float | None] | None = None
        self.spending: Callable[[], tuple[int, float | None]] | None = None

    def replay(self) -> Iterator[Entry]:
        """What is on disk. Blocks."""
        for step in self._store.journal.read(self._run_id):
            self._known.add(step.key)
            yield Entry(step.kind, step.key, step.payload)

    def append(self, kind: str, key: str, payload: Any) -> None:
        """Take a step to be written with the next commit."""
        if key in self._known:
            return
        self._known.add(key)
        self._writer.put(JournalAppend(self._run_id, kind, key, payload, self._owner), self._acknowledge)
        if kind == "score":
            _, candidate, example, rollout = key.split(":")
            self._writer.put(
                Evaluation(
                    self._run_id,
                    candidate,
                    example if rollout == "0" else f"{example}:{rollout}",
                    score=payload.get("score"),
                    failure={"kind": payload["failed"], "message": payload["error"]} if "failed" in payload else None,
                )
            )

    def committed(self) -> Reply[None]:
        """Set when everything that was appended until now is on disk, or with the error that forbids it for good."""
        reply: Reply[None] = Reply()
        with self._lock:
            if self._error is not None:
                return Reply.failed(self._error)
            self._waiting.append(reply)
            if self._flushing:
                return reply
            self._flushing = True
        self._scheduler.run_blocking(self._flush)
        return reply

    def give_up(self, error: BaseException) -> None:
        """Do not wait any longer for a disk that refuses: whoever waits for a commit gets this error."""
        with self._lock:
            self._error = self._error or error
            waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply.set_exception(self._error)

    @property
    def refused(self) -> str | None:
        """Why the disk does not take what is to be written; None while it does."""
        degraded = self._writer.degraded
        return None if degraded is None else degraded.message

    @property
    def pending(self) -> int:
        """Records that are not on disk."""
        return self._writer.pending

    def _book(self) -> None:
        """What was spent goes with the steps."""
        spent = None if self.spending is None else self.spending()
        if spent is not None and spent != self._booked:
            self._booked = spent
            self._writer.put(RunUpdate(self._run_id, tokens=spent[0], cost=spent[1], owner=self._owner))

    def _flush(self) -> None:
        """Commit until nobody waits. On a pool thread."""
        while True:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                if not waiting:
                    self._flushing = False
                    return
            try:
                self._book()
                self._writer.flush()
            except Exception as error:  # noqa: BLE001  a damaged file: the run has to end, and says why
                self._error = self._error or error
            if self._writer.degraded is not None and self._error is None:
                with self._lock:
                    self._waiting = waiting + self._waiting
                self._scheduler.call_later(_RETRY, self._again)
                return
            for reply in waiting:
                if self._error is None:
                    reply.set(None)
                else:
                    reply.set_exception(self._error)

    def _again(self) -> None:
        if self._scheduler.running:  # else the system was closed meanwhile, and nobody is left to be told
            self._scheduler.run_blocking(self._flush)

    def _acknowledge(self, outcome: Any) -> None:
        if isinstance(outcome, Refused):
            self._error = self._error or outcome.error
