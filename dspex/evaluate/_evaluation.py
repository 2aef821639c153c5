"""An evaluation under way: starting its actors, waiting for it, ending it early."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Self

from actors import ActorCrashed, ActorDeadError, BlockingOnLoopError, Crash, Reply, Timeout
from dspex.programs._call import current_call
from supervision import ChildSpec, DynamicSupervisor, start_child, terminate_child

from ._collector import Collector
from ._failures import FailureKind
from ._ledger import Ledger, RetryPolicy
from ._listener import Listener
from ._messages import Cancel, EvaluationFinished, Job, Report
from ._news import News
from ._outcomes import Failed, Outcome
from ._progress import Progress
from ._report import EvaluationResult
from ._source import EvaluationEndedError, Source

if TYPE_CHECKING:
    from actors import ActorRef
    from dspex.system import System

    from ._metric_process import MetricProcesses

_numbers = itertools.count(1)

_RESTARTS = 1_000_000_000  # workers may die as often as their examples' attempts allow; the ledger bounds it
_AT_ONCE = 5.0  # seconds within which an evaluation that is cancelled must have answered


class Crew:
    """A collector with its workers under a supervisor of their own, below ``place`` in the system's tree.

    ``ended`` is set when the work is done (the reason of an early end, or None) and the actors are gone or going.
    """

    def __init__(
        self,
        system: System,
        place: ActorRef[Any],
        name: str,
        source: Source,
        width: int,
        ledger: Ledger,
        progress: Progress,
        listener: Callable[[Any], None],
        context: Context | None = None,
        collector: type[Collector] = Collector,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._place = place
        self._name = name
        self._supervisor: ActorRef[Any] | None = None
        self.collector: ActorRef[Any] | None = None
        self.begun = False
        self.ended: Reply[str | None] = Reply()
        self._made = (
            collector,
            (system, source, width, ledger, progress, context or copy_context(), self.ended, listener),
            dict(more or {}),
        )

    def begin(self) -> Self:
        """Start the actors."""
        self.begun = True
        spec = ChildSpec(
            self._name,
            (DynamicSupervisor, (self._name,), {"intensity": _RESTARTS, "period": 1.0}),
            restart="temporary",
            type="supervisor",
        )
        start_child(self._place, spec).add_done_callback(self._supervised)
        return self

    def cancel(self, reason: str = "cancelled") -> None:
        """End the work now. Any thread."""
        self.cancel_with(Cancel(reason))

    def cancel_with(self, message: Any) -> None:
        """End the work now, by a message of the collector's own kind. Any thread."""
        collector = self.collector
        if collector is None:
            self.ended.set_exception(EvaluationEndedError("the evaluation was cancelled before it began"))
            return
        try:
            collector.tell(message)
        except ActorDeadError:
            pass  # it has just ended by itself

    # -- one after the other, as the actors come up

    def _supervised(self, reply: Reply[Any]) -> None:
        if reply.exception() is not None:
            self.ended.set_exception(reply.exception())
            return
        self._supervisor = reply.get()
        self.ended.add_done_callback(self._dismiss)
        if self.ended.done():
            return  # cancelled before it began
        spec = ChildSpec("collector", self._made, restart="temporary")
        start_child(self._supervisor, spec).add_done_callback(self._collecting)

    def _collecting(self, reply: Reply[Any]) -> None:
        if reply.exception() is not None:
            self.ended.set_exception(reply.exception())
            return
        self.collector = reply.get()
        self.collector.monitor(self._gone)

    def _gone(self, down: Any) -> None:
        if isinstance(down.reason, Crash):
            self.ended.set_exception(ActorCrashed(down.ref, down.reason))
        else:
            text = f"the evaluation's collector ended: {down.reason}"
            self.ended.set_exception(EvaluationEndedError(text, reason=down.reason))

    def _dismiss(self, _: Any) -> None:
        if self._place.is_alive():
            terminate_child(self._place, self._name)


class DevsetSource:
    """The examples of a devset, each one job."""

    def __init__(self, devset: Sequence[Any], make: Callable[[Any, int, FailureKind | None], Job]) -> None:
        self._devset = devset
        self._make = make
        self.outcomes: list[Outcome | None] = [None] * len(devset)

    def available(self) -> int:
        return 0

    def job(self, index: int, attempt: int, last_kind: FailureKind | None) -> Job:
        return self._make(self._devset[index], attempt, last_kind)

    def example(self, index: int) -> Any:
        return self._devset[index]

    def settled(self, index: int, outcome: Outcome, report: Report | None) -> None:
        self.outcomes[index] = outcome

    def confirmed(self, index: int) -> None:
        """Nothing is ever held."""

    def is_exhausted(self) -> bool:
        return True

    def all_outcomes(self) -> list[Outcome]:
        """One for each example; those without one yet are cancelled."""
        return [
            Failed(self._devset[index], index, FailureKind.CANCELLED, attempts=0) if outcome is None else outcome
            for index, outcome in enumerate(self.outcomes)
        ]


class Evaluation:
    """An evaluation: from ``begin()`` on it runs. ``result()`` waits for it; ``await`` does too, on any event loop.

    ``progress`` may be read from any thread. ``cancel()`` gives the result of what is finished, at once; so does
    ``result()`` if it is interrupted (Ctrl-C).
    """

    def __init__(
        self,
        system: System,
        source: DevsetSource,
        *,
        width: int,
        policy: RetryPolicy,
        max_errors: int | None,
        failure_score: float | None,
        metric_name: str,
        program_name: str = "",
        on_event: Callable[[Any], None] | None = None,
        processes: MetricProcesses | None = None,
    ) -> None:
        self._system = system
        self._source = source
        self._failure_score = failure_score
        self._metric_name = metric_name
        total = len(source.outcomes)
        self.progress = Progress(total, self.now())
        self._finished: Reply[EvaluationResult] = Reply()
        ledger = Ledger(total, policy, max_errors=max_errors)
        self.name = f"evaluation-{next(_numbers)}"
        self._listener = News(system, self.name, program_name, metric_name, self.progress, Listener(on_event))
        self._crew = Crew(
            system, system.evaluations, self.name, source, min(width, max(1, total)), ledger, self.progress,
            self._listener,
        )  # fmt: skip
        self._processes = processes
        self._crew.ended.add_done_callback(self._ended)

    def begin(self) -> Self:
        """Start its actors.  `cancel` gives what is finished from now on, however soon it comes.

        With processes for a metric of the main script it waits, without blocking anybody, until one is ready: if none
        can be, that is the end, before a model has been asked. If a program or a metric begins it, it ends when that
        call is ended.
        """
        try:
            processes = self._processes
            ready = Reply.of(None) if processes is None else processes.start()
            if processes is None or not processes.are_in_doubt:
                self._crew.begin()
            ready.add_done_callback(self._judges_ready)
        except BaseException:
            self.abandon()
            raise
        caller = current_call.get()
        if caller is not None:
            caller.adopt(self.abandon, self._finished)
        return self

    def _judges_ready(self, ready: Reply[None]) -> None:
        error = ready.exception()
        try:
            if error is None and not self._crew.begun and not self._crew.ended.done():
                self._crew.begin()
        except Exception as failed:  # noqa: BLE001  the system has been closed meanwhile
            error = failed
        if error is not None:
            self._crew.ended.set_exception(error)

    def now(self) -> float:
        """The time on the clock that ``progress`` is told by."""
        return self._system.scheduler.clock.time()

    def done(self) -> bool:
        return self._finished.done()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so many seconds; whether it has come."""
        try:
            self._finished.get(timeout=seconds)
        except Timeout:
            return False
        return True

    def result(self) -> EvaluationResult:
        """The result; what is finished, if the wait is interrupted from the keyboard.

        A caller that is itself cancelled while it waits here (a program that evaluates) ends the evaluation.
        """
        try:
            return self._finished.get()
        except KeyboardInterrupt:
            return self.cancel()
        except BaseException:
            self.abandon()
            raise

    def __await__(self) -> Any:
        return self._wait_async().__await__()

    async def _wait_async(self) -> EvaluationResult:
        try:
            return await self._finished
        except asyncio.CancelledError:
            self.abandon()
            raise

    def cancel(self) -> EvaluationResult:
        """End it now. The result has every outcome that was there; the others are cancelled.

        Any thread. On the system's loop, as in an ``on_event``, it does not wait for the end: what is in flight then
        is cancelled in this result, and `result` gives the last word.
        """
        self.abandon()
        try:
            return self._finished.get(timeout=_AT_ONCE)
        except BlockingOnLoopError:
            return self._so_far("cancelled")
        except Timeout:  # the loop is held by a program or metric that does not give way
            self._finished.set(self._so_far("cancelled"))
            return self._finished.get()

    def abandon(self) -> None:
        """End it: nobody waits for its result any more. Any thread, at once; nothing if it is over."""
        self._crew.cancel()

    def _ended(self, ended: Reply[str | None]) -> None:
        """Whatever goes wrong here, those who wait are told."""
        try:
            error = ended.exception()
            if error is not None and not isinstance(error, EvaluationEndedError):
                self._finished.set_exception(error)
                return
            result = self._so_far(ended.get() if error is None else "cancelled")
            if self._finished.done():  # it was cancelled while something held the loop
                result = self._finished.get()
            counts = dict(result.counts)
            self._listener(EvaluationFinished(result.score, len(result.scored), len(result.failures), counts))
            self._finished.set(result)
        except BaseException as raised:  # noqa: BLE001  nobody may wait for ever
            self._finished.set_exception(raised)
        finally:
            if self._processes is not None:
                self._processes.close()

    def _so_far(self, stopped: str | None) -> EvaluationResult:
        progress = self.progress
        return EvaluationResult(
            self._source.all_outcomes(),
            failure_score=self._failure_score,
            stopped=stopped,
            metric_name=self._metric_name,
            retries=progress.retries,
            calls=progress.calls,
            cached=progress.cached,
            tokens=progress.tokens,
            cost=0.0 if progress.all_cached else progress.cost,
            seconds=self.now() - progress.started,
        )
