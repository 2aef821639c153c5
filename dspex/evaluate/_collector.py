"""The collector: hands out work as workers ask for it, and takes in what comes of it."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors import ActorDeadError, AsyncActor, Crash, Down, Reply, hosting
from supervision import ChildSpec, start_child

from ._failures import FailureKind, classify, drop_frames
from ._ledger import GiveUp, Lease, Ledger, Retry
from ._messages import (
    Cancel,
    EvaluationStopped,
    ExampleRetried,
    Impatient,
    Judging,
    Pump,
    Report,
    Rested,
    Resting,
    Sweep,
    Work,
    WorkerReady,
)
from ._outage import GIVEN_UP, Outages
from ._outcomes import Failed, Outcome, Scored
from ._places import Places
from ._progress import Progress
from ._source import EvaluationEndedError, Source, WorkerDiedError
from ._worker import EvaluationWorker

if TYPE_CHECKING:
    from actors import ActorRef, ExitReason, Timer
    from dspex._usage import UsageTracker
    from dspex.system import System

_GRACE = 1.0  # seconds that a worker has to end its work by itself when its time is up
_SWEEP = 0.5  # seconds between two looks for those that have not
_TURN = 1.0  # seconds that an example which could go on waits for a place at most: those at work may hang
_FRAMES = 12  # of a failure's traceback, the innermost
_MUTE = frozenset({FailureKind.OUTAGE, FailureKind.TIMEOUT, FailureKind.WORKER_CRASH})  # nobody has answered


@dataclass(frozen=True, slots=True)
class _Released:
    """The reply that a settled job was held for is set."""

    index: int
    error: BaseException | None


@dataclass(slots=True)
class _Busy:
    lease: Lease
    example: Any
    started: float
    timeout: float | None
    overdue: bool = False
    late: bool = False


class Collector(AsyncActor):
    """Keeps at most ``width`` examples at work, retries and quarantines by the ledger, and ends when all is done.

    An example whose call waits for its next try is not at work: it gives up its place, and takes one again after that.

    It starts its workers beside itself, under its own supervisor, as many as there is work for. ``done`` is set
    when everything is settled, and with that the actor ends. Work runs in ``context``, the caller's own.
    """

    def __init__(
        self,
        system: System,
        source: Source,
        width: int,
        ledger: Ledger,
        progress: Progress,
        context: Context,
        done: Reply[str | None],
        listener: Callable[[Any], None],
    ) -> None:
        super().__init__()
        self._system = system
        self._source = source
        self._places: Places[ActorRef[Any]] = Places(width)
        self._ledger = ledger
        self._progress = progress
        self._context = context
        self._outcome = done
        self._listener = listener
        self._idle: deque[ActorRef[Any]] = deque()
        self._busy: dict[ActorRef[Any], _Busy] = {}
        self._turns: dict[ActorRef[Any], list[Reply[None]]] = {}
        self._starting = 0
        self._workers = 0
        self._last_kind: dict[int, FailureKind] = {}
        self._wake: Timer | None = None
        self._wake_at = 0.0
        self._sweeping = False
        self._early: str | None = None
        self._outages = Outages(width, ledger.patience)
        self.paused = False

    def on_start(self) -> None:
        self._pump()

    def on_stop(self) -> None:
        reason = self.exit_reason
        self._outcome.set_exception(EvaluationEndedError(f"the evaluation was ended: {reason}", reason=reason))

    def tree_metrics(self) -> dict[str, Any]:
        """What the supervision tree shows of it."""
        return {"progress": self._state_in_words(), **self._progress.figures()}

    def _state_in_words(self) -> str:
        return self._progress.in_words()

    @hosting  # it calls listeners of others, and must itself stay on the loop
    def on_receive(self, message: Any) -> None:
        """Reports first: they are nearly all of the mail."""
        match message:
            case Report():
                self._reported(message)
            case WorkerReady(worker):
                self._ready(worker)
            case Down(_, ref, reason):
                self._down(ref, reason)
            case Pump():
                self._wake = None
                self._pump()
            case _Released(index, error):
                self._release(index, error)
            case Resting(worker):
                self._places.rest(worker)
                self._pump()
            case Rested(worker, turn):
                self._returned(worker, turn)
            case Impatient(worker):
                if self._places.insist(worker):
                    self._go_on(worker)
            case Judging(worker):
                if worker in self._busy:
                    self._busy[worker].timeout = None
            case Sweep():
                self._sweep()
            case Cancel(reason):
                self._cancel(reason)

    def resize(self, width: int) -> None:
        """Keep at most so many examples in flight from now on. On the loop."""
        self._places.width = self._outages.width = width
        self._pump()

    # -- handing out

    def _pump(self) -> None:
        """Give every idle worker something to do, start workers while there is more, and see whether all is done."""
        now = self.scheduler.clock.time()
        ledger, places = self._ledger, self._places
        while (worker := places.turn()) is not None:
            self._go_on(worker)
        for index in self._outages.due(now):
            ledger.wake(index, now)
        fresh = not self._outages.holds
        while not self.paused and places.room:
            if not self._idle:
                if self._hidden_demand(now, fresh):
                    self._start_worker()
                    continue
                break
            lease = ledger.next(now, fresh=fresh)
            if lease is None:
                more = 0 if ledger.is_closed or not fresh else min(places.room, self._source.available())
                if not more:
                    break
                ledger.extend(more)
                continue
            self._send(self._idle.popleft(), lease, now)
        self._progress.in_flight = places.in_flight
        if ledger.is_done and not places.in_flight and (ledger.is_closed or self._source.is_exhausted()):
            self._finish()
        elif not self.paused and not ledger.is_closed:
            for due in (ledger.due, self._outages.due_at):
                if due is not None and due > now:  # what is due already waits for a place: whoever leaves one pumps
                    self._wake_up_at(due, now)

    def _hidden_demand(self, now: float, fresh: bool) -> bool:
        """There is more work than workers that exist or are about to."""
        ledger = self._ledger
        if ledger.is_closed or self._workers + self._starting >= self._places.useful:
            return False
        ready = 1 if ledger.due is not None and ledger.due <= now else 0
        if fresh:
            ready += ledger.fresh + self._source.available()
        return ready > self._starting

    def _returned(self, worker: ActorRef[Any], turn: Reply[None]) -> None:
        """An example could go on: at once if there is a place, else before all that have not begun."""
        if self._places.back(worker):
            turn.set(None)
            return
        waiting = self._turns.setdefault(worker, [])
        waiting.append(turn)
        if len(waiting) == 1:
            self.send_after(_TURN, Impatient(worker))

    def _go_on(self, worker: ActorRef[Any]) -> None:
        for turn in self._turns.pop(worker, ()):
            turn.set(None)

    def _leaves(self, worker: ActorRef[Any]) -> None:
        """Its example is over, whatever it was waiting for."""
        self._places.end(worker)
        if self._turns:
            self._go_on(worker)

    def _send(self, worker: ActorRef[Any], lease: Lease, now: float) -> None:
        # In the caller's context, as the work itself: a job may take its model from the settings.
        try:
            job = self._context.run(self._source.job, lease.index, lease.attempt, self._last_kind.get(lease.index))
        except Exception as error:  # noqa: BLE001  a row that is no example, a devset that cannot be read: the user's own code
            self._idle.append(worker)
            self._unfit(lease, error)
            return
        self._busy[worker] = _Busy(lease, job.example, now, job.timeout)
        self._places.begin(worker)
        if job.timeout is not None and not self._sweeping:
            self._sweeping = True
            self.send_after(_SWEEP, Sweep())
        try:
            self._context.run(worker.tell, Work(lease, job))
        except ActorDeadError:  # its Down is on the way; nothing has become of the example
            del self._busy[worker]
            self._places.end(worker)
            self._ledger.refused(lease)
            self._ledger.wake(lease.index, now)

    def _unfit(self, lease: Lease, error: Exception) -> None:
        """There is no job to be made of it."""
        self._ledger.failed_with(lease, FailureKind.PROGRAM_ERROR, 0.0, retryable=False)
        self._give_up(None, lease, FailureKind.PROGRAM_ERROR, error, None)

    def _start_worker(self) -> None:
        self._starting += 1
        spec = ChildSpec(
            f"worker-{self._workers + self._starting}",
            (EvaluationWorker, (self.actor_ref, self._system)),
            shutdown="brutal_kill",
        )
        assert self.parent is not None
        start_child(self.parent, spec)

    def _ready(self, worker: ActorRef[Any]) -> None:
        self._starting = max(0, self._starting - 1)
        self._workers += 1
        self.monitor(worker)
        self._idle.append(worker)
        self._pump()

    def _wake_up_at(self, due: float, now: float) -> None:
        if self._wake is None or due < self._wake_at:
            if self._wake is not None:
                self._wake.cancel()
            self._wake, self._wake_at = self.send_after(max(0.0, due - now), Pump()), due

    # -- taking in

    def _reported(self, report: Report) -> None:
        busy = self._busy.get(report.worker)
        if busy is None or busy.lease != report.lease:
            return  # its lease was revoked
        del self._busy[report.worker]
        self._leaves(report.worker)
        self._idle.append(report.worker)
        if report.usage is not None:
            self._progress.record_usage(*_spent(report.usage))
        if report.error is None:
            self._outages.passed(report.lease.index)
            if self._ledger.scored(report.lease):
                score = 0.0 if report.score is None else report.score
                self._progress.record_score(score)
                lease = report.lease
                self._settle(
                    lease.index,
                    Scored(
                        busy.example, report.prediction, score, lease.index, lease.attempt, report.usage, report.seconds
                    ),
                    report,
                )
        else:
            self._attempt_failed(busy, classify(report.error), report.error, report)
        self._pump()

    def _down(self, worker: ActorRef[Any], reason: ExitReason) -> None:
        self._workers -= 1
        busy = self._busy.pop(worker, None)
        self._leaves(worker)
        if busy is None:
            if worker in self._idle:
                self._idle.remove(worker)
        else:
            kind = FailureKind.TIMEOUT if busy.late else FailureKind.WORKER_CRASH
            error = reason.exception if isinstance(reason, Crash) else None
            if busy.late:
                error = TimeoutError(f"it did not end within {busy.timeout} s, nor when it was told to")
            self._attempt_failed(busy, kind, error or WorkerDiedError(f"the worker ended: {reason}"), None)
        if not self._ledger.is_closed:
            self._starting += 1  # the supervisor starts another
        self._pump()

    def _attempt_failed(self, busy: _Busy, kind: FailureKind, error: BaseException, report: Report | None) -> None:
        lease = busy.lease
        now = self.scheduler.clock.time()
        trial_at = self._outages.refused(lease.index, error, now) if kind is FailureKind.OUTAGE else None
        if trial_at == GIVEN_UP:
            verdict = self._ledger.failed_with(lease, kind, now, retryable=False)
        elif trial_at is not None and not _has_paid(report) and self._ledger.refused(lease):
            self._last_kind[lease.index] = kind
            return
        else:
            verdict = self._ledger.failed_with(lease, kind, now, aside_until=trial_at)
        if kind not in _MUTE:
            self._outages.passed(lease.index)
        elif kind is not FailureKind.OUTAGE or not isinstance(verdict, Retry):
            self._outages.forget(lease.index)
        if isinstance(verdict, Retry):
            self._last_kind[lease.index] = kind
            self._progress.retries += 1
            self._listener(ExampleRetried(lease.index, lease.attempt, kind, error, verdict.at - now, busy.example))
        elif isinstance(verdict, GiveUp):
            last = kind if verdict.kind is not kind else self._last_kind.pop(lease.index, None)
            seconds = now - busy.started if report is None else report.seconds
            self._give_up(busy.example, lease, verdict.kind, error, last, seconds, report)
            if kind is FailureKind.BUDGET:
                self._stop_early("budget")

    def _give_up(
        self,
        example: Any,
        lease: Lease,
        kind: FailureKind,
        error: BaseException,
        last_kind: FailureKind | None,
        seconds: float = 0.0,
        report: Report | None = None,
    ) -> None:
        """It has no score, and gets none."""
        self._progress.record_failure(kind)
        text = "".join(traceback.format_exception(error, limit=-_FRAMES))
        drop_frames(error)
        prediction = None if report is None else report.prediction
        failed = Failed(example, lease.index, kind, error, text, lease.attempt, seconds, prediction, last_kind)
        self._settle(lease.index, failed, report)
        if self._ledger.too_many_errors and not self._ledger.is_closed:
            self._cancel("max_errors")
        elif kind is FailureKind.REFUSED and self._ledger.is_refused:
            self._stop_early("refused")

    def _settle(self, index: int, outcome: Outcome, report: Report | None) -> None:
        self._last_kind.pop(index, None)
        held = self._source.settled(index, outcome, report)
        if held is not None and not held.done():
            self._places.hold()
            ref = self.actor_ref
            held.add_done_callback(
                lambda reply: ref.tell(_Released(index, reply.exception())) if ref.is_alive() else None
            )
        self._listener(outcome)

    def _release(self, index: int, error: BaseException | None) -> None:
        if error is not None:
            self._fail(error)
            return
        self._places.release()
        self._source.confirmed(index)
        self._pump()

    # -- ending

    def _fail(self, error: BaseException) -> None:
        """The evaluation as a whole cannot go on."""
        self._outcome.set_exception(error)
        self.stop()

    def _sweep(self) -> None:
        """Kill workers whose work neither ended nor let itself be ended: the supervisor replaces them."""
        now = self.scheduler.clock.time()
        for worker, busy in list(self._busy.items()):
            if busy.timeout is None or busy.late or now - busy.started <= busy.timeout + _GRACE:
                continue
            if not busy.overdue:
                busy.overdue = True  # its report may be in the mail, if the loop was held: a second look decides
            else:
                busy.late = True
                worker.kill()
        self.send_after(_SWEEP, Sweep())

    def _stop_early(self, reason: str) -> None:
        """Hand out nothing more; what is in flight may end."""
        if self._ledger.is_closed:
            return
        self._early = reason
        self._listener(EvaluationStopped(reason, self._ledger.done, self._ledger.size))
        for index in self._ledger.close():
            self._cancelled(index, self._ledger.attempts(index))

    def _cancel(self, reason: str) -> None:
        """End now. The workers in flight end with their supervisor, which the launcher stops when `done` is set."""
        self._stop_early(reason)
        for lease in self._ledger.revoke():
            self._cancelled(lease.index, lease.attempt)
        self._busy.clear()
        self._places.clear()
        self._finish()

    def _cancelled(self, index: int, attempts: int) -> None:
        self._progress.record_failure(FailureKind.CANCELLED)
        last = self._last_kind.pop(index, None)
        example = self._source.example(index)
        self._settle(index, Failed(example, index, FailureKind.CANCELLED, attempts=attempts, last_kind=last), None)

    def _finish(self) -> None:
        self._outcome.set(self._early)
        self.stop()


def _has_paid(report: Report | None) -> bool:
    """Whether a model has worked for it: what was answered before the refusal."""
    usage = None if report is None else report.usage
    return usage is not None and usage.calls > usage.cached


def _spent(usage: UsageTracker) -> tuple[int, int, int, float | None]:
    priced = usage.calls > usage.cached + usage.unpriced
    return usage.calls, usage.cached, usage.total_tokens, usage.cost if priced else None
