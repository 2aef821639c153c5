"""Drives a search: turns its requests into units of work, answers from the journal what it can, records the rest.

Pure but for the journal it is given. The executor takes units in order, runs as many at a time as it likes, and
settles them in any order. The laws: a unit whose value is in the journal is never handed out; equal units are handed
out once, however many wait for them; the result depends on the values alone, not on the order in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from ._candidate import content_key
from ._errors import JournalMismatchError
from ._journal import Journal
from ._requests import Bootstrap, Decide, Evaluate, Evaluation, Fork, Propose, Rank, Ranked, Request, Search, Traced
from ._task import Task

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing to do: score or trace a (candidate, example), or ask the prompt model. ``key`` names it for ever.

    Its value is JSON. "score": ``{"score": float}`` or ``{"failed": kind, "error": text}``. "trace": the same with
    ``"steps": [[predictor, demo], ...]``. "propose": ``{"outputs": {...}}`` or ``{"failed": ..., "error": ...}``.
    """

    kind: Literal["score", "trace", "propose"]
    key: str
    request: Evaluate | Bootstrap | Propose
    index: int = -1


@dataclass(slots=True, eq=False)
class _Thread:
    """A search in progress. ``path`` names it: "" is the whole, "3.1" the second search of its fourth request."""

    path: str
    search: Search[Any]
    parent: _Thread | None = None
    place: int = 0
    steps: int = 0
    request: Evaluate | Bootstrap | Propose | Fork | None = None
    keys: tuple[str, ...] = ()
    missing: int = 0
    errors: int = 0
    answers: list[Any] = field(default_factory=list)


class Driver(Generic[T]):
    """One run of one search. Create it, `start` it, then `take` and `settle` until it `is_done`.

    What the search raises ends it, and is its ``error``. What else ends it early is its ``stopped``: the task's
    "stop_at_score" or "max_errors" (then ``failure`` is the last one), or what `stop` is told.
    """

    def __init__(self, search: Search[T], task: Task, journal: Journal) -> None:
        self._root = _Thread("", search)
        self._task = task
        self._journal = journal
        self._known: dict[str, Any] = {entry.key: entry.payload for entry in journal.replay()}
        self._ready: deque[Unit] = deque()
        self._waiting: dict[str, list[_Thread]] = {}
        self._runnable: deque[tuple[_Thread, Any]] = deque()
        self._result: T | None = None
        self.is_done = False
        self.stopped: str | None = None
        self.error: Exception | None = None
        self.failure = ""
        self.ranked: list[Ranked] = []
        self.done = 0
        self.reused = 0
        self.asked = 0
        self.phase = ""

    def start(self) -> None:
        """Run the search up to its first unanswered requests."""
        self._runnable.append((self._root, None))
        self._run()

    def take(self) -> Unit | None:
        """The next unit to work on, or None: all that can be worked on is handed out, or the run is over."""
        return self._ready.popleft() if self._ready and not self.is_done else None

    def give_back(self, unit: Unit) -> None:
        """The unit was taken but not done: it is handed out again, first."""
        self._ready.appendleft(unit)

    def settle(self, unit: Unit, value: Mapping[str, Any]) -> None:
        """The unit's value. It is in the journal before the search learns of it."""
        if self.is_done or unit.key in self._known:
            return
        self._journal.append(unit.kind, unit.key, value)
        self._known[unit.key] = value
        self.done += 1
        waiting = self._waiting.pop(unit.key, ())
        for thread in waiting:
            self._count(thread, value)
        for thread in waiting:
            thread.missing -= 1
            if not thread.missing:
                self._runnable.append((thread, self._answer(thread)))
        self._run()

    def stop(self, why: str) -> None:
        """End the run here; `best` is what it found so far."""
        if not self.is_done:
            self.is_done, self.stopped = True, why
            self._ready.clear()
            self._waiting.clear()
            self._runnable.clear()

    @property
    def result(self) -> T | None:
        """What the search returned; None while it runs and after `stop`."""
        return self._result

    @property
    def best(self) -> Ranked | None:
        """The best judged candidate so far, the earliest of equals."""
        return max(self.ranked, key=lambda r: r.score, default=None)

    @property
    def values(self) -> Mapping[str, Any]:
        """The values of units and steps that are known, by key: at first those of the journal."""
        return self._known

    @property
    def ready(self) -> int:
        """How many units `take` would give now."""
        return 0 if self.is_done else len(self._ready)

    @property
    def waiting(self) -> int:
        """Units that are known to be needed and have no value yet."""
        return len(self._waiting)

    # the search's side

    def _run(self) -> None:
        while self._runnable and not self.is_done:
            thread, answer = self._runnable.popleft()
            try:
                request = thread.search.send(answer)
            except StopIteration as end:
                self._finished(thread, end.value)
            except Exception as error:  # noqa: BLE001  the algorithm's own error is what its caller is to get
                self._fail(error)
            else:
                self._obey(thread, request)

    def _obey(self, thread: _Thread, request: Request) -> None:
        try:
            self._asked(thread, request)
        except (JournalMismatchError, LookupError, TypeError, ValueError) as error:  # it asked for what cannot be
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.stop("failed")

    def _count(self, thread: _Thread, value: Mapping[str, Any]) -> None:
        """One more failure in the evaluation that this thread waits for, if this is one."""
        if not value.get("failed") or not isinstance(thread.request, Evaluate) or self.is_done:
            return
        thread.errors += 1
        self.failure = f"{value['failed']}: {value.get('error', '')}"
        if self._task.too_many(thread.errors):
            self.stop("max_errors")

    def _finished(self, thread: _Thread, value: Any) -> None:
        if thread.parent is None:
            self._result, self.is_done = value, True
            return
        parent = thread.parent
        parent.answers[thread.place] = value
        parent.missing -= 1
        if not parent.missing:
            self._runnable.append((parent, tuple(parent.answers)))

    def _asked(self, thread: _Thread, request: Request) -> None:
        step, thread.steps = thread.steps, thread.steps + 1
        path = f"{thread.path}{step}"
        match request:
            case Fork(searches):
                thread.request, thread.missing, thread.answers = request, len(searches), [None] * len(searches)
                if not searches:
                    self._runnable.append((thread, ()))
                for place, search in enumerate(searches):
                    child = _Thread(f"{path}.{place}.", search, thread, place)
                    self._runnable.append((child, None))
            case Rank(candidate, score, label):
                self._record("candidate", path, Ranked(candidate, score, label).to_json())
                self.ranked.append(Ranked(candidate, score, label))
                if self._task.stop_at_score is not None and score >= self._task.stop_at_score:
                    self.stop("stop_at_score")
                else:
                    self._runnable.append((thread, None))
            case Decide(kind, payload):
                self._record(kind, path, dict(payload))
                self.phase = kind
                self._runnable.append((thread, None))
            case Evaluate() | Bootstrap() | Propose():
                self._need(thread, request)
            case _:
                raise TypeError(f"a search yields requests (`yield from evaluate(...)`), not {request!r}")

    def _need(self, thread: _Thread, request: Evaluate | Bootstrap | Propose) -> None:
        units = self._units(request)
        thread.request, thread.keys = request, tuple(unit.key for unit in units)
        fresh = {unit.key: unit for unit in units if unit.key not in self._known}
        self.asked += len(fresh.keys() - self._waiting.keys())
        self.reused += len({unit.key for unit in units}) - len(fresh)
        thread.missing, thread.errors = len(fresh), 0
        for key in {unit.key: None for unit in units if unit.key not in fresh}:
            self._count(thread, self._known[key])
        if self.is_done:
            return
        for key, unit in fresh.items():
            if key not in self._waiting:
                self._waiting[key] = []
                self._ready.append(unit)
            self._waiting[key].append(thread)
        if not fresh:
            self._runnable.append((thread, self._answer(thread)))

    def _units(self, request: Evaluate | Bootstrap | Propose) -> list[Unit]:
        match request:
            case Evaluate(candidate, split, indices, rollout):
                rows = self._task.split(split)
                return [Unit("score", f"score:{candidate.key}:{rows[i].key}:{rollout}", request, i) for i in indices]
            case Bootstrap(_, indices, rollout):
                return [self._trace_unit(request, i) for i in indices]
            case Propose(prompt, values, temperature, rollout):
                key = content_key(prompt.name, prompt.instructions, dict(values), temperature, rollout)
                return [Unit("propose", f"propose:{key}", request)]

    def _trace_unit(self, request: Bootstrap, index: int) -> Unit:
        row = self._task.trainset[index]
        candidate = request.candidate.without_demo(row.fields)
        own = request if candidate is request.candidate else Bootstrap(candidate, (index,), request.rollout)
        return Unit("trace", f"trace:{candidate.key}:{row.key}:{request.rollout}", own, index)

    def _answer(self, thread: _Thread) -> Any:
        values = [self._known[key] for key in thread.keys]
        match thread.request:
            case Evaluate():
                return Evaluation.of(values)
            case Bootstrap(_, indices, _):
                return tuple(Traced.of(index, value) for index, value in zip(indices, values, strict=True))
            case _:
                return values[0].get("outputs")

    def _record(self, kind: str, path: str, payload: Any) -> None:
        key = f"step:{path}"
        known = self._known.get(key)
        if known is None:
            self._journal.append(kind, key, payload)
            self._known[key] = payload
        elif content_key(known) != content_key(payload):
            raise JournalMismatchError(
                f"step {path} ({kind}) came out differently than the journal says: the program, the optimizer or the "
                "data changed since the run began. Start a new run_id.",
                step=path,
            )
