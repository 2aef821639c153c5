"""The worker: one example at a time, in a fiber of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors import AsyncActor, Reply, fiber, hosting
from actors.runtime import current_fiber
from dspex._resting import place

from ._messages import Judging, Rested, Resting, Work, WorkerReady
from ._scoring import perform

if TYPE_CHECKING:
    from actors import ActorRef
    from dspex.system import System


class EvaluationWorker(AsyncActor):
    """Does the work that its collector sends and reports what came of it.

    A program or a metric that raises is a report. What ends the worker itself (a kill, a `SystemExit`) reaches the
    collector as a `Down`; the supervisor then starts another worker, which says that it is ready.
    """

    def __init__(self, collector: ActorRef[Any], system: System) -> None:
        super().__init__()
        self._collector = collector
        self._system = system
        self._place = WorkerPlace(collector, self.actor_ref)
        # Not in `on_start`: an actor without one has started when it is made, and its supervisor need not wait for it.
        if collector.is_alive():  # else its supervisor is about to end
            collector.tell(WorkerReady(self.actor_ref))

    @fiber
    @hosting
    def on_receive(self, message: Any) -> None:
        """Serve one `Work`."""
        if type(message) is not Work:
            return
        running = current_fiber()
        assert running is not None
        place.set(self._place)
        report = perform(self._system, running.activity, self.actor_ref, message, self._judging)
        if self._collector.is_alive():
            self._collector.tell(report)

    def _judging(self) -> None:
        self._collector.tell(Judging(self.actor_ref))


class WorkerPlace:
    """A worker's place among those that its collector keeps at work. It rests while any call of its example does."""

    __slots__ = ("_collector", "_resting", "_worker")

    def __init__(self, collector: ActorRef[Any], worker: ActorRef[Any]) -> None:
        self._collector = collector
        self._worker = worker
        self._resting = 0

    def rest(self) -> None:
        self._resting += 1
        if self._resting == 1 and self._collector.is_alive():
            self._collector.tell(Resting(self._worker))

    def back(self) -> Reply[None]:
        self._resting -= 1
        if self._resting or not self._collector.is_alive():
            return Reply.of(None)
        turn: Reply[None] = Reply()
        self._collector.tell(Rested(self._worker, turn))
        return turn
