"""How a system begins and ends: its parts are started in order, and all of it ends within one deadline."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from actors import ActorDeadError, ActorRef, Scheduler, Timeout
from dspex._main_import import refuse_while_importing_main
from dspex.programs._actors import Requests
from dspex.programs._errors import SystemClosedError
from dspex.system import _current
from dspex.system._config import SystemConfig
from dspex.system._drain import CloseReport, drained
from dspex.system._letters import Postmaster
from dspex.system._log import EventLog
from dspex.system._notebook import in_notebook
from dspex.system._parts import control_spec, crash_keeper, lm_part, secrets_of, store_spec
from dspex.system._recorder import Recorder
from dspex.system._services import Services
from dspex.system._signals import STOPPING, next_signal
from supervision import ChildSpec, DynamicSupervisor, SupervisionError, Supervisor, SupervisorSpec, terminate_child

if TYPE_CHECKING:
    from dspex.store import Store
    from dspex.system._system import System

__all__ = ["Lifetime"]


class Lifetime(Services):
    """Services that are started and closed as a whole."""

    def __init__(
        self,
        config: SystemConfig,
        settings: Mapping[str, Any],
        scheduler: Scheduler,
        store: Store | None,
        children: tuple[ChildSpec | SupervisorSpec, ...],
        owns_scheduler: bool,
        replace: bool | None,
    ) -> None:
        super().__init__(config, settings, scheduler, store)
        self.extra_children = children
        self._owns_scheduler = owns_scheduler
        self._replace = replace
        self._requests: ActorRef[Any] | None = None
        self._programs: ActorRef[Any] | None = None

    @property
    def _whole(self) -> System:
        return cast("System", self)  # nothing else is ever made of this class

    def children(self) -> tuple[ChildSpec | SupervisorSpec, ...]:
        """What the system consists of, in the order in which it is started."""
        assert self._lm_part is not None, "start has made it"
        return (
            *((store_spec(self.storage),) if self.storage.enabled else ()),
            self._lm_part.spec(),
            ChildSpec("programs", (DynamicSupervisor, ("programs",))),
            ChildSpec("requests", Requests),
            SupervisorSpec(id="evaluations"),
            SupervisorSpec(id="teleprompters"),
            *self.extra_children,
            *(() if self.config.control_socket is False else (control_spec(self._whole),)),
        )

    def start(self) -> Self:
        """Start the tree.  Returns when all of it runs.

        What was called on its scheduler without a system goes on within this one, with its connections and limits.

        Raises:
            SystemClosedError: it was started before.
            ValueError: another system runs on its scheduler.
            DspexError: in a process that computes a metric, while it imports the main script for that.
        """
        refuse_while_importing_main()
        if self._state != "new":
            raise SystemClosedError(f"The system {self.name!r} was started before: make a new one.")
        if in_notebook() if self._replace is None else self._replace:
            for other in _current.running_systems():
                if other.name == self.name:
                    other.close()
        for other in _current.running_systems():
            if other.scheduler is self.scheduler:
                raise ValueError(
                    f"The system {other.name!r} runs on the scheduler of {self.name!r}: close it first, or give this "
                    "one a scheduler of its own."
                )
        if self._owns_scheduler:
            self.scheduler.start()
        self._state = "running"
        self.started_at = time.time()
        self.instance = sum(1 for other in _current.running_systems() if other.name == self.name)
        self.scheduler.shown = self.redactor.shown
        for secret in secrets_of(self.lm, self.config):
            self.conceal(secret)
        self._lm_part = lm_part(self._whole)
        self.recorder = Recorder(
            self.scheduler.events, crash_keeper(self.storage) if self.storage.enabled else None, self.redactor
        )
        self.postmaster = Postmaster(self.scheduler.events, self.storage)
        self._event_log = EventLog(self.scheduler, self.redactor, self.config.log_level)
        try:
            spec = SupervisorSpec(*self.children(), id=self.name, intensity=100, period=10.0)
            self.root = Supervisor.start_tree(spec, scheduler=self.scheduler)
            self._find_parts()
        except BaseException:
            self._state = "failed"
            if self._owns_scheduler:
                self.scheduler.shutdown(self.shutdown_timeout)
            self._let_go()
            raise
        _current.entered(self._whole)
        return self

    def _find_parts(self) -> None:
        table: Any = self.root._process.table  # type: ignore[union-attr]
        self._programs = table.find("programs").ref
        self._requests = table.find("requests").ref

    @property
    def evaluations(self) -> ActorRef[Any]:
        """The supervisor of the evaluations under way: one supervisor for each."""
        return self._part("evaluations")

    @property
    def teleprompters(self) -> ActorRef[Any]:
        """The supervisor of the optimization runs under way: one supervisor for each."""
        return self._part("teleprompters")

    def _part(self, name: str) -> ActorRef[Any]:
        if not self.running or self.root is None or self.root._process is None:
            raise self._closed("nothing runs on it")
        table: Any = self.root._process.table  # type: ignore[attr-defined]
        ref: ActorRef[Any] = table.find(name).ref
        return ref

    def close(self, timeout: float | None = None, *, drain: bool = True) -> CloseReport | None:
        """Stop everything, within `timeout` seconds, and say how it ended.  Again: nothing, and None.

        New calls are refused from now on; calls at work may come to their end, unless `drain` is False; evaluations
        and optimization runs end with what they have.
        """
        with self._lock:
            if self._state != "running":
                return None
            at_work = self._in_flight() if self.scheduler.running else 0  # before anybody knows, or some are missed
            self._state = "closing"
        begun = time.monotonic()
        _current.left(self._whole)
        limit = self.shutdown_timeout if timeout is None else timeout
        left = 0
        if self.scheduler.running:
            if drain or self.runs:
                self._end_long_work(limit)
            if drain:
                drained(self._in_flight, max(0.0, limit - (time.monotonic() - begun)))
            left = self._in_flight()
        self._state = "closed"
        stopped = None
        rest = max(0.1, limit - (time.monotonic() - begun))
        if self._owns_scheduler:
            stopped = self.scheduler.shutdown(rest)
        elif self.root is not None and self.scheduler.running:
            self.root.stop(timeout=rest)
        self._let_go()
        return CloseReport.of(stopped, max(0, at_work - left), left, time.monotonic() - begun)

    def _in_flight(self) -> int:
        requests: Any = self._requests
        process = None if requests is None else requests._process
        own = 0 if process is None else process.tally.in_flight
        return own + sum(program.in_flight for program in list(self.programs.values()))

    def _end_long_work(self, limit: float) -> None:
        """Evaluations and runs may have hours to go: they end now, with what they have."""
        assert self.root is not None
        for part in ("teleprompters", "evaluations"):
            try:
                terminate_child(self.root, part).get(timeout=limit * 0.25)
            except (Timeout, ActorDeadError, SupervisionError):
                continue  # it is stopped with all the rest, when the tree is
        until = time.monotonic() + limit * 0.25
        for run in list(self.runs.values()):
            run.wait(max(0.0, until - time.monotonic()))  # it writes how far it is

    def _let_go(self) -> None:
        for listener in (self.recorder, self.postmaster, self._event_log):
            listener.close()
        self.storage.close()

    def run_until_signal(self, signals: Iterable[signal.Signals] = STOPPING) -> CloseReport | None:
        """Run until Ctrl-C or SIGTERM, then close and return the report: what a service's `main` ends with.

        Starts the system if it is new.  A second signal, while it closes, ends the process as usual.

        Raises:
            RuntimeError: not in the main thread, where Python delivers signals.
        """
        if self._state == "new":
            self.start()
        next_signal(signals)
        return self.close()
