"""What is stored, as values. Importing this costs nothing: no database driver is involved.

Times are seconds since the epoch. A record that the caller makes may leave `time` and `created` None: the store
then puts in its own clock's. Payloads are JSON values.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dspex.store._owner import Owner

RunStatus = Literal["created", "running", "paused", "done", "failed", "cancelled"]
FINISHED: frozenset[RunStatus] = frozenset({"done", "failed", "cancelled"})

DeadLetterState = Literal["waiting", "replayed", "dropped"]
QuarantineState = Literal["watched", "quarantined", "released"]


def new_id() -> str:
    """An id for a row that has no natural key. It makes writing the row twice the same as once."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is to be. `data_hashes` names its data sets, `{"trainset": "..."}`."""

    id: str
    kind: str
    program: str
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    data_hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the store has it. `owner` is the process that works on it, or worked on it when it died."""

    id: str
    kind: str
    program: str
    config: dict[str, Any]
    seed: int | None
    data_hashes: dict[str, str]
    status: RunStatus
    owner: Owner | None
    lease_until: float | None
    created: float
    updated: float
    best_score: float | None
    cost: float | None
    tokens: int
    summary: dict[str, Any]

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """Changes of a run, for the writer. None leaves a field as it is. With `owner` the change is refused once another
    owner has taken the run over."""

    run_id: str
    status: RunStatus | None = None
    best_score: float | None = None
    cost: float | None = None
    tokens: int | None = None
    summary: Mapping[str, Any] | None = None
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class JournalAppend:
    """A step to be written. `key` names the step within its run: a step that is there already stays as it was.
    With `owner` the append is refused once another owner has taken the run over."""

    run_id: str
    kind: str
    key: str
    payload: Any = None
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A step as the journal has it. `new` is False when an append found it there already."""

    run_id: str
    seq: int
    kind: str
    key: str
    payload: Any
    created: float
    new: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One example's outcome under one candidate: a score, or a failure (JSON: kind, message, traceback...)."""

    run_id: str
    candidate: str
    example: str
    score: float | None = None
    prediction: Any = None
    usage: Any = None
    failure: Any = None
    created: float | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """A module's state at one version, counted from 1."""

    path: str
    version: int
    state: Any
    created: float


@dataclass(frozen=True, slots=True)
class SaveParameters:
    """A module's state to be written as its next version, for the writer."""

    path: str
    state: Any


@dataclass(frozen=True, slots=True)
class CachePut:
    """An answer to be kept. `ttl` in seconds; None is the cache's own."""

    key: str
    payload: bytes
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The cache's state: what is in it, and what this process did with it since the store was opened."""

    entries: int
    bytes: int
    limit_bytes: int | None
    hits: int
    misses: int
    corrupt: int
    evicted: int
    expired: int
    refused: int


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """What one call of a model cost. `usd` is None when the price is unknown, which is not the same as 0."""

    model: str
    program: str | None = None
    module: str | None = None
    run_id: str | None = None
    requests: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    usd: float | None = None
    time: float | None = None
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Sums over one group. `usd` is the sum of the known prices, None if none is known; `unpriced` counts the
    requests whose price is not."""

    group: tuple[str | None, ...]
    requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    usd: float | None
    unpriced: int


@dataclass(frozen=True, slots=True)
class CrashRecord:
    """Equal crashes of one actor: message and traceback are the newest one's."""

    path: str
    fingerprint: str
    type: str
    message: str = ""
    traceback: str = ""
    count: int = 1
    first_seen: float | None = None
    last_seen: float | None = None


@dataclass(frozen=True, slots=True)
class CrashGroup:
    """Equal crashes wherever they happened: what `dspex crashes` lists."""

    fingerprint: str
    type: str
    message: str
    traceback: str
    count: int
    paths: tuple[str, ...]
    first_seen: float
    last_seen: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be delivered or handled. `target` is the path of the one it was meant for."""

    kind: str
    target: str
    payload: Any = None
    reason: str = ""
    state: DeadLetterState = "waiting"
    attempts: int = 0
    created: float | None = None
    updated: float | None = None
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class QuarantinedInput:
    """An input of a program that killed workers. It is `watched` until it has killed too many, then `quarantined`;
    `released` by hand it may run again, and counts from 0."""

    program: str
    key: str
    payload: Any
    kills: int
    state: QuarantineState
    reason: str
    fingerprint: str
    first_seen: float
    last_seen: float


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A fact worth keeping: measurements are numbers, metadata says about what."""

    topic: str
    measurements: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    time: float | None = None
    id: str = field(default_factory=new_id)
