"""What is kept of runs: listed, shown and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dspex.predict import Module

from ._candidate import Candidate
from ._errors import TeleprompterError
from ._programs import apply
from ._requests import Ranked

if TYPE_CHECKING:
    from dspex.store import Run, Store


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the store has it. ``state``: created, running, interrupted (its process died), paused, done, failed
    or cancelled. ``candidates`` are the judged ones, best first; ``decisions`` the steps in between.
    ``scores``: how many (candidate, example) pairs have a score, ``failures`` why others have none.
    """

    run_id: str
    kind: str
    program: str
    state: str
    config: Mapping[str, Any]
    seed: int | None
    data_hashes: Mapping[str, str]
    best_score: float | None
    tokens: int
    cost: float | None
    created: float
    updated: float
    summary: Mapping[str, Any]
    candidates: tuple[Ranked, ...]
    decisions: tuple[tuple[str, Mapping[str, Any]], ...]
    scores: int
    failures: Mapping[str, int]

    @property
    def best(self) -> Ranked | None:
        """The best judged candidate."""
        return self.candidates[0] if self.candidates else None

    def program_of(self, student: Module, candidate: Candidate | None = None) -> Module:
        """The student with a candidate of this run in it; without one, the run's result or its best so far."""
        if candidate is None:
            kept = self.summary.get("best")
            candidate = Candidate.from_json(kept) if kept else self.best.candidate if self.best else None
        if candidate is None:
            raise TeleprompterError(f"run {self.run_id!r} has judged no candidate yet")
        return apply(candidate, student)


def list_runs(store: Store | None = None, *, state: str | None = None, limit: int | None = None) -> list[Run]:
    """The runs in the store, the newest first. Blocks on the disk."""
    store = _store(store)
    found = [run for run in store.runs.list() if state is None or _state(store, run) == state]
    return found if limit is None else found[:limit]


def load_run(run_id: str, store: Store | None = None) -> RunRecord:
    """All that is kept of a run. Blocks on the disk. Raises `RunNotFoundError`."""
    from dspex.store import RunNotFoundError

    store = _store(store)
    run = store.runs.get(run_id)
    if run is None:
        raise RunNotFoundError(run_id)
    ranked: list[Ranked] = []
    decisions: list[tuple[str, Mapping[str, Any]]] = []
    failures: Counter[str] = Counter()
    scores = 0
    for step in store.journal.read(run_id):
        if step.kind == "score":
            scores += "score" in step.payload
            failures.update([step.payload["failed"]] if "failed" in step.payload else [])
        elif step.kind == "candidate":
            data = step.payload
            ranked.append(Ranked(Candidate.from_json(data["candidate"]), data["score"], data["label"]))
        elif step.key.startswith("step:"):
            decisions.append((step.kind, step.payload))
    return RunRecord(
        run.id,
        run.kind,
        run.program,
        _state(store, run),
        run.config,
        run.seed,
        run.data_hashes,
        run.best_score,
        run.tokens,
        run.cost,
        run.created,
        run.updated,
        run.summary,
        tuple(sorted(ranked, key=lambda r: (-r.score, r.label, r.candidate.key))),  # in whatever order they were done
        tuple(decisions),
        scores,
        failures,
    )


def compare_runs(*run_ids: str, store: Store | None = None) -> list[dict[str, Any]]:
    """One row for each run, in the order given: what differs in its settings, and how it came out. Blocks."""
    records = [load_run(run_id, store) for run_id in run_ids]
    flat = [dict(_flat(record.config)) for record in records]
    names = sorted({name for settings in flat for name in settings})
    differing = [name for name in names if len({repr(settings.get(name)) for settings in flat}) > 1]
    return [
        {
            "run_id": record.run_id,
            "kind": record.kind,
            "state": record.state,
            "best_score": record.best_score,
            "candidates": len(record.candidates),
            "scores": record.scores,
            "failures": sum(record.failures.values()),
            "tokens": record.tokens,
            "cost": record.cost,
            "same_data": record.data_hashes == records[0].data_hashes,
            **{name: settings.get(name) for name in differing},
        }
        for record, settings in zip(records, flat, strict=True)
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def _state(store: Store, run: Run) -> str:
    return "interrupted" if store.runs.is_orphan(run) else run.status


def _store(store: Store | None) -> Store:
    if store is not None:
        return store
    from dspex.system._current import current_system

    found: Store | None = getattr(current_system(), "store", None)
    if found is None:
        raise TeleprompterError("the current system has no store: pass store=Store.open(...)")
    return found
