"""The optimizer as an actor: a collector whose work comes from a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors import Reply
from dspex.evaluate._collector import Collector
from dspex.evaluate._failures import FailureKind
from dspex.evaluate._messages import Job, Report
from dspex.evaluate._outcomes import Failed, Outcome
from dspex.lm._reserve import unknown_price

from ._driver import Driver, Unit
from ._executor import Executor
from ._requests import Found

if TYPE_CHECKING:
    from actors import ActorRef, Timer

    from ._run_news import RunNews
    from ._store_journal import StoreJournal

_HEARTBEAT = 10.0  # seconds between two signs of life in the store
_HOPELESS = 10  # failures of the metric, with no success before them, that say it is the metric that is broken


@dataclass(frozen=True, slots=True)
class PauseRun:
    """Hand out nothing more until `ResumeRun`; what is in flight ends."""


@dataclass(frozen=True, slots=True)
class ResumeRun:
    """Go on."""


@dataclass(frozen=True, slots=True)
class CancelRun:
    """End now, with the best candidate so far."""

    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class Resize:
    """Keep at most so many units of work in flight."""

    workers: int


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Answered with a `RunStatus`."""


@dataclass(frozen=True, slots=True)
class _Beat:
    """Time for a sign of life, and to look at the clock."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is. ``done`` and ``reused`` count units of work: scored pairs, traces, proposals; ``needed``
    those that are known to be needed and not done. ``best`` is in percent; ``tokens`` and ``cost`` are of all its
    sittings."""

    run_id: str
    state: str
    phase: str
    done: int
    reused: int
    needed: int
    in_flight: int
    candidates: int
    best: float | None
    failures: Mapping[str, int]
    calls: int
    tokens: int
    cost: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run early: money (USD), tokens, and seconds in which it is not paused. None: no limit."""

    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass
class RunSource:
    """The units of a driver as jobs. ``halted`` is set when the run cannot go on for a reason that is not its own.

    ``scored`` counts judged examples, ``hopeless`` failures of the metric before the first of them; both over all
    sittings of the run, but a run that is taken up again has at least one more try.
    """

    driver: Driver[Found]
    executor: Executor
    journal: StoreJournal | None
    units: list[Unit] = field(default_factory=list)
    jobs: dict[int, Job] = field(default_factory=dict)
    values: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    halted: Failed | None = None
    failure: BaseException | None = None
    hopeless: int = field(init=False)
    scored: int = field(init=False)

    def __post_init__(self) -> None:
        known = [value for key, value in self.driver.values.items() if key.startswith(("score:", "trace:"))]
        failed = sum(value.get("failed") == FailureKind.METRIC_ERROR for value in known)
        self.scored = sum("score" in value for value in known)
        self.hopeless = min(failed, _HOPELESS - 1)

    def available(self) -> int:
        return 0 if self.halted is not None else self.driver.ready

    def job(self, index: int, attempt: int, last_kind: FailureKind | None) -> Job:
        if index == len(self.units):
            unit = self.driver.take()
            assert unit is not None, "no more was taken than there is"
            self.units.append(unit)
        job = self.jobs[index] = self.executor.job(self.units[index], attempt, last_kind)
        return job

    def example(self, index: int) -> Any:
        return self.executor.example(self.units[index]) if index < len(self.units) else None

    def settled(self, index: int, outcome: Outcome, report: Report | None) -> Reply[Any] | None:
        job = self.jobs.pop(index, None)
        if isinstance(outcome, Failed):
            if outcome.kind is FailureKind.CANCELLED:
                return None
            self.failure = outcome.error or self.failure
            if outcome.kind.is_external:
                self.halted = self.halted or outcome
                return None
            if outcome.kind is FailureKind.METRIC_ERROR and not self.scored:
                self.hopeless += 1
        unit = self.units[index]
        if unit.kind != "propose" and not isinstance(outcome, Failed):
            self.scored += 1
        assert job is not None, "a job is settled once"
        value = self.executor.value(unit, job, outcome, report)
        if self.journal is None:
            self.driver.settle(unit, value)
            return None
        self.values[index] = value
        self.journal.append(unit.kind, unit.key, value)
        return self.journal.committed()

    def confirmed(self, index: int) -> None:
        self.driver.settle(self.units[index], self.values.pop(index))

    def is_exhausted(self) -> bool:
        return self.driver.is_done


class Optimizer(Collector):
    """Drives one run: hands its search's work to its workers, and ends with the search, a limit, or a word from
    outside. Paused, it keeps what it has and hands out nothing."""

    source: RunSource
    limits: Limits
    run_id: str
    spent_before: tuple[int, float]
    beat: Callable[[bool, float | None], None] | None
    news: RunNews
    up: Reply[ActorRef[Any]]

    def __init__(
        self,
        *collecting: Any,
        run_id: str,
        limits: Limits,
        spent_before: tuple[int, float],
        beat: Callable[[bool, float | None], None] | None,
        news: RunNews,
        up: Reply[ActorRef[Any]],
    ) -> None:
        super().__init__(*collecting)
        self.source = collecting[1]
        self.run_id = run_id
        self.limits = limits
        self.spent_before = spent_before
        self.beat = beat
        self.news = news
        self.up = up
        self._judged = 0
        self._seconds_left = limits.seconds
        self._going_since = 0.0
        self._time_up: Timer | None = None

    def on_start(self) -> None:
        self.every(_HEARTBEAT, _Beat())
        self._start_clock()
        self.source.driver.start()
        self.up.set(self.actor_ref)
        super().on_start()

    def on_receive(self, message: Any) -> Any:
        match message:
            case PauseRun():
                if not self.paused:
                    self.paused = True
                    self._stop_clock()
                    self.news.paused()
                    self._show_life()
            case ResumeRun():
                if self.paused:
                    self.paused = False
                    self._start_clock()
                    self.news.resumed()
                    self._show_life()
                self._pump()
            case CancelRun(reason):
                self._end_early(reason)
            case Resize(workers):
                self.resize(workers)
            case AskStatus():
                return self.status()
            case _Beat():
                self._show_life()
            case _:
                super().on_receive(message)
        return None

    def _start_clock(self) -> None:
        """The time that a run may take is that in which it is not paused."""
        if self._seconds_left is not None:
            self._going_since = self.scheduler.clock.time()
            self._time_up = self.send_after(self._seconds_left, CancelRun("time"))

    def _stop_clock(self) -> None:
        if self._seconds_left is not None and self._time_up is not None:
            self._time_up.cancel()
            self._seconds_left = max(0.0, self._seconds_left - (self.scheduler.clock.time() - self._going_since))

    def _show_life(self) -> None:
        """To the store, and with it to everybody who lists the runs."""
        if self.beat is not None:
            best = self.source.driver.best
            self.scheduler.run_blocking(self.beat, self.paused, None if best is None else best.score)

    def status(self) -> RunStatus:
        """How far it is."""
        driver, progress = self.source.driver, self._progress
        best = driver.best
        tokens, usd = self.spent_before
        return RunStatus(
            self.run_id,
            "paused" if self.paused else "running",
            driver.phase,
            driver.done,
            driver.reused,
            driver.waiting,
            progress.in_flight,
            len(driver.ranked),
            None if best is None else best.score,
            {str(kind): count for kind, count in progress.counts.items()},
            progress.calls,
            progress.tokens + tokens,
            None if progress.cost is None and not usd else (progress.cost or 0.0) + usd,
            self.scheduler.clock.time() - progress.started,
        )

    def tree_metrics(self) -> dict[str, Any]:
        """What the supervision tree shows of it."""
        driver, best = self.source.driver, self.source.driver.best
        of_run = {"done": driver.done, "needed": driver.waiting, "phase": driver.phase, "paused": self.paused}
        return {**super().tree_metrics(), **of_run, "total": None, "score": None if best is None else best.score}

    def _state_in_words(self) -> str:
        driver, best = self.source.driver, self.source.driver.best
        parts = ["paused"] if self.paused else []
        if driver.phase:
            parts.append(f"after {driver.phase}")
        parts.append(f"{driver.done:,} done, {driver.waiting:,} to do")
        if best is not None:
            parts.append(f"best {best.score:.1f}")
        return ", ".join(parts)

    def _pump(self) -> None:
        source = self.source
        if len(source.driver.ranked) > self._judged:
            self._tell_of_candidates()
        if source.halted is not None:
            kind = source.halted.kind
            self._end_early("budget" if kind is FailureKind.BUDGET else "halted")
            return
        if source.hopeless >= _HOPELESS and not source.scored:
            assert source.failure is not None, "a failure of the metric has its error"
            self._fail(source.failure)
            return
        if source.driver.error is not None:
            self._fail(source.driver.error)
            return
        if source.driver.is_done and not self._ledger.is_done:  # at work, or waiting to be tried again
            self._end_early(source.driver.stopped or "done")
            return
        if why := self._limit():
            self._end_early(why)
            return
        super()._pump()

    def _reported(self, report: Report) -> None:
        usage = report.usage
        if self.limits.usd is not None and usage is not None and usage.unpriced:
            self._progress.record_usage(usage.calls, usage.cached, usage.total_tokens, None)
            self._fail(unknown_price(", ".join(usage.by_model()), "budget_tokens"))
            return
        super()._reported(report)

    def _settle(self, index: int, outcome: Outcome, report: Report | None) -> None:
        super()._settle(index, outcome, report)
        if self.news.due():
            self.news.moved(self.status())

    def _tell_of_candidates(self) -> None:
        driver = self.source.driver
        self._judged = len(driver.ranked)
        best = driver.best
        self.news.judged(None if best is None else best.score)
        self._show_life()  # a process that is killed now has told how good its best was

    def _limit(self) -> str | None:
        tokens, usd = self.spent_before
        progress, limits = self._progress, self.limits
        if limits.tokens is not None and progress.tokens + tokens >= limits.tokens:
            return "tokens"
        if limits.usd is not None and (progress.cost or 0.0) + usd >= limits.usd:
            return "usd"
        return None

    def _end_early(self, why: str) -> None:
        self.source.driver.stop(why)
        self._cancel(why)
