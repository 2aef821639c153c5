"""What the actors of an evaluation say to each other, and what they tell an `on_event`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._failures import FailureKind
from ._ledger import Lease

if TYPE_CHECKING:
    from actors import ActorRef, Reply

    from ._metric_process import MetricProcesses


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do: run ``program`` on ``inputs`` and, if there is a ``metric``, judge the answer.

    ``program`` is a module, a reference to a spawned program, or a function. ``settings`` hold while it runs. A
    ``traced`` job's metric gets the trace of the run as its third argument, if it takes one. ``timeout`` (seconds)
    bounds all of it, but for ``processes``, in which the metric is computed if there are any: it bounds that
    separately.
    """

    program: Any
    inputs: Mapping[str, Any]
    example: Any = None
    metric: Callable[..., Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    traced: bool = False
    timeout: float | None = None
    processes: MetricProcesses | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """To a worker: do this."""

    lease: Lease
    job: Job


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """From a worker that has just started: it has nothing to do."""

    worker: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Judging:
    """From a worker: the program has answered, and the metric waits for a process. Its time is not the worker's."""

    worker: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Resting:
    """From a worker: its example waits for the next try of a call. Another one may be begun meanwhile."""

    worker: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Rested:
    """From a worker: its example could go on. ``turn`` is set when it may."""

    worker: ActorRef[Any]
    turn: Reply[None]


@dataclass(frozen=True, slots=True)
class Impatient:
    """To the collector: this one has waited for its turn for long enough."""

    worker: ActorRef[Any]


@dataclass(frozen=True, slots=True)
class Report:
    """From a worker: what came of its work. ``error`` is None if it went well."""

    worker: ActorRef[Any]
    lease: Lease
    seconds: float
    prediction: Any = None
    score: float | None = None
    error: BaseException | None = None
    trace: list[Any] | None = None
    usage: Any = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the collector: end now; what is not done is cancelled."""

    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class Pump:
    """To the collector: see whether there is work to hand out."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """To the collector: look for workers that do not end although their time is up."""


@dataclass(frozen=True, slots=True)
class ExampleRetried:
    """Event: an attempt failed and another will follow, in ``delay`` seconds or later."""

    index: int
    attempt: int
    kind: FailureKind
    error: BaseException | None = None
    delay: float = 0.0
    example: Any = None


@dataclass(frozen=True, slots=True)
class EvaluationStopped:
    """Event: nothing more is handed out; ``reason`` is "max_errors", "cancelled", "budget" or "refused"."""

    reason: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class EvaluationFinished:
    """Event: the last one."""

    score: float | None
    scored: int
    failed: int
    counts: Mapping[FailureKind, int] = field(default_factory=dict)
