"""The worker: one example at a time, in a fiber of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors import AsyncActor, fiber, hosting
from actors._local import current_fiber

from ._messages import Judging, Work, WorkerReady
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

    def on_start(self) -> None:
        self._collector.tell(WorkerReady(self.actor_ref))

    @fiber
    @hosting
    def on_receive(self, message: Any) -> None:
        """Serve one `Work`."""
        if type(message) is not Work:
            return
        running = current_fiber()
        assert running is not None
        report = perform(self._system, running.activity, self.actor_ref, message, self._judging)
        if self._collector.is_alive():
            self._collector.tell(report)

    def _judging(self) -> None:
        self._collector.tell(Judging(self.actor_ref))
