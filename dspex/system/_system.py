"""`System`: everything that programs run on, as one supervision tree that is started and closed as a whole."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import Token
from functools import cached_property
from pathlib import Path
from types import CodeType, MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from actors import ActorDeadError, ActorRef, Clock, ForkedError, Reply, Scheduler, Timeout
from actors._local import chosen_scheduler
from dspex._settings import DEFAULTS, Context
from dspex._settings import context as settings_context
from dspex.programs._actors import Requests
from dspex.programs._call import Call, current_call
from dspex.programs._errors import SystemClosedError
from dspex.programs._placement import Placement
from dspex.programs._program_ref import ProgramRef
from dspex.programs._spawn import program_tree
from dspex.system import _current
from dspex.system._config import SystemConfig
from dspex.system._drain import CloseReport, drained
from dspex.system._health import Health, judge
from dspex.system._keeper import announce
from dspex.system._letters import Postmaster, letter_target
from dspex.system._notebook import in_notebook
from dspex.system._parts import control_spec, crash_keeper, lm_part, secrets_of, store_spec
from dspex.system._recorder import Recorder
from dspex.system._redact import Redactor
from dspex.system._scale import scale
from dspex.system._signals import STOPPING, cancelled_by_signal, next_signal, raised_by_sigterm
from dspex.system._storage import Storage
from supervision import (
    ChildSpec,
    DynamicSupervisor,
    SupervisionError,
    Supervisor,
    SupervisorSpec,
    render_text,
    start_child,
    terminate_child,
    tree,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dspex.lm import LmService
    from dspex.quarantine import DeadLetters, Quarantine
    from dspex.store import Store
    from supervision import Strategy

__all__ = ["System"]


class System:
    """`with System(lm=...) as system:`, or `async with`: starts the tree, and stops everything in it at the end.

    Several may live in one process.  Settings given here (`lm`, `adapter`, ...) hold for what runs on this system,
    beneath those of `context(...)`.  `children` are further child specs, started after the system's own and stopped
    before them.

    A system is used once: after `close` make another.  It belongs to the process that started it: a forked child
    starts its own.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        config: SystemConfig | None = None,
        store: Store | str | bool | None = None,
        control_socket: str | bool | None = None,
        children: tuple[ChildSpec | SupervisorSpec, ...] = (),
        scheduler: Scheduler | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        stall_after: float | None = None,
        shutdown_timeout: float | None = None,
        handle_signals: bool = False,
        replace: bool | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        **settings: Any,
    ) -> None:
        """
        Args:
            name: what `dspex ps` calls it.
            config: all settings at once; by default `SystemConfig.load` merges the arguments given here with the
                environment and the nearest dspex.toml.
            store: where runs, results, crashes and the cache are kept: a URL, a path, an open `Store`; False for
                nowhere; by default the project's own file.
            control_socket: a path for it; False for none, which also means no CLI.
            scheduler: one that runs already, to live on and to leave running at the end; by default an own one.
            clock, seed: the source of all time and chance, for tests.
            stall_after: seconds that code may hold the loop before it is reported, and moved to threads.
            shutdown_timeout: seconds that leaving the `with` block allows everything to end, calls at work included.
            handle_signals: let SIGTERM leave the `with` block in order, as Ctrl-C does (in the main thread only).
            replace: close a system of the same name that runs in this process, instead of running beside it; by
                default only in a notebook, where a cell that is run again means the same system anew.
            loop_factory: makes the event loop; uvloop's if it is installed and this is not given.
        """
        unknown = settings.keys() - DEFAULTS.keys()
        if unknown:
            raise TypeError(f"System() takes no {', '.join(sorted(unknown))}: neither an option nor a setting.")
        location = store if isinstance(store, str | bool) else None
        opened = None if store is None or isinstance(store, str | bool) else store
        given: dict[str, Any] = {
            "name": name,
            "stall_after": stall_after,
            "drain_timeout": shutdown_timeout,
            "store": location,
            "control_socket": control_socket,
        }
        self.config = config if config is not None else SystemConfig.load(**given)
        self.name = self.config.name
        self.settings: Mapping[str, Any] = MappingProxyType(_with_defaults(settings, self.config))
        self.extra_children = children
        self.shutdown_timeout = self.config.drain_timeout
        self.started_at = time.time()
        self.instance = 0
        self.problems: dict[str, str] = {}
        self.control_socket: Path | None = None
        self.runs: dict[str, Any] = {}
        self.redactor = Redactor(prompts=not self.config.redact_prompts)
        self._replace = replace
        self._handle_signals = handle_signals
        self._signals: AbstractContextManager[Any] | None = None
        self._caught: list[Any] = []
        self._lm_service: LmService | None = None
        self._owns_scheduler = scheduler is None
        self.scheduler = (
            scheduler
            if scheduler is not None
            else Scheduler(
                self.name,
                clock=clock,
                seed=seed,
                stall_after=self.config.stall_after,
                shutdown_timeout=self.shutdown_timeout,
                loop_factory=loop_factory or _fastest_loop(),
            )
        )
        self.storage = Storage(self.config, opened, announce(self.scheduler))
        self.placement = Placement(self.scheduler.blocking)
        self.root: ActorRef[Any] | None = None
        self.programs: dict[str, ProgramRef] = {}
        self._requests: ActorRef[Any] | None = None
        self._programs: ActorRef[Any] | None = None
        self._state = "new"
        self._lock = threading.Lock()
        self._tokens: list[tuple[Context, Token[Any], Token[Any]]] = []

    # -- what others use

    @property
    def running(self) -> bool:
        """True from `start` until `close` has ended all calls, in the process that started it."""
        return self._state in ("running", "closing") and self.scheduler.running

    @property
    def accepting(self) -> bool:
        """True while new calls are taken: until `close` begins."""
        return self._state == "running" and self.scheduler.running

    def refusal(self) -> BaseException | None:
        """Why a new call cannot be taken now; None if it can, or if it belongs to a call that is at work."""
        if self.accepting or (self.running and current_call.get() is not None):
            return None
        return self._closed("nothing runs on it")

    def _closed(self, consequence: str) -> BaseException:
        if self._state in ("running", "closing") and not self.scheduler.running:
            return ForkedError(self.name)
        state = "new" if self._state == "new" else "closing" if self._state == "closing" else "closed"
        hint = {"new": "start it, or use it in `with`", "closing": "make another", "closed": "make another"}[state]
        words = {"new": "has not been started", "closing": "is shutting down", "closed": "has been closed"}[state]
        return SystemClosedError(f"The system {self.name!r} {words}: {consequence}; {hint}.")

    @property
    def lm(self) -> Any:
        """The language model of this system, if it has one of its own."""
        return self.settings.get("lm")

    @property
    def clock(self) -> Clock:
        return self.scheduler.clock

    @property
    def events(self) -> Any:
        return self.scheduler.events

    @property
    def registry(self) -> Any:
        return self.scheduler.registry

    def request(self, call: Call) -> Reply[Any]:
        """Run the call of a module that is not spawned.  Any thread; never blocks."""
        requests = self._requests
        if requests is None or self._state != "running" or not self.scheduler.running:
            refusal = self.refusal()
            if refusal is not None or requests is None:
                return Reply.failed(refusal or self._closed("nothing runs on it"))
        return requests.call(call)

    @property
    def store(self) -> Store | None:
        """What outlives the process; None if nothing is to be kept.  Opened by the first use."""
        return self.storage.store

    @property
    def lm_service(self) -> LmService:
        """The pools and the cache."""
        if self._lm_service is None:
            raise self._closed("it has no pools")
        return self._lm_service

    @cached_property
    def quarantine(self) -> Quarantine:
        """Inputs that kill workers.

        Raises:
            LookupError: this system keeps nothing.
        """
        from dspex.quarantine import Quarantine

        return Quarantine(self._kept("quarantine"), after=self.config.quarantine_after)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Calls that reached no program.  See also `replay`.

        Raises:
            LookupError: this system keeps nothing.
        """
        from dspex.quarantine import DeadLetters

        return DeadLetters(self._kept("dead letters"), keep=self.storage.put)

    def _kept(self, what: str) -> Store:
        store = self.store
        if store is None:
            raise LookupError(f"the system {self.name!r} keeps nothing (store=False): it has no {what}")
        return store

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

    def watch_for_blocking(self, code: CodeType) -> None:
        """If this code is found to hold the loop, it is to run on threads from then on."""
        self.scheduler.suspects.add(code)

    def spawn(
        self,
        program: Any,
        *,
        name: str | None = None,
        strategy: Strategy = "one_for_one",
        intensity: int = 10,
        period: float = 5.0,
    ) -> ProgramRef:
        """Run a copy of `program` as a supervised tree: one actor for each module instance in it.

        `strategy` says which actors are restarted with one that has crashed; more than `intensity` restarts within
        `period` seconds end the program.  The original may be changed afterwards without effect: `update` changes
        the running one.  Waits until it runs; in a coroutine on the system's own loop, use `aspawn`.

        Raises:
            ValueError: a program of that name runs.
        """
        ref, started = self._begin(program, name, strategy, intensity, period)
        started.get()
        return ref

    async def aspawn(
        self,
        program: Any,
        *,
        name: str | None = None,
        strategy: Strategy = "one_for_one",
        intensity: int = 10,
        period: float = 5.0,
    ) -> ProgramRef:
        """`spawn`, awaited, on any event loop."""
        ref, started = self._begin(program, name, strategy, intensity, period)
        await started
        return ref

    def _begin(
        self, program: Any, name: str | None, strategy: Strategy, intensity: int, period: float
    ) -> tuple[ProgramRef, Reply[Any]]:
        if not self.accepting or self._programs is None:
            raise self._closed("nothing can be spawned on it")
        with self._lock:
            name = self._name_for(program, name)
            ref, spec = program_tree(self, program, name, strategy, intensity, period)
            self.programs[name] = ref
        started = start_child(self._programs, spec)
        started.add_done_callback(ref.started)
        return ref, started

    def _name_for(self, program: Any, name: str | None) -> str:
        if name is None:
            base = type(program).__name__
            number = 1
            name = base
            while name in self.programs:
                number += 1
                name = f"{base}-{number}"
        elif name in self.programs:
            raise ValueError(
                f"A program named {name!r} runs on {self.name!r} already: stop it, or choose another name."
            )
        return name

    def forget(self, name: str) -> None:
        """A program has ended."""
        with self._lock:
            self.programs.pop(name, None)

    # -- life

    def children(self) -> tuple[ChildSpec | SupervisorSpec, ...]:
        """What the system consists of, in the order in which it is started."""
        return (
            *((store_spec(self.storage),) if self.storage.enabled else ()),
            self.lm_service.spec(),
            ChildSpec("programs", (DynamicSupervisor, ("programs",))),
            ChildSpec("requests", Requests),
            SupervisorSpec(id="evaluations"),
            SupervisorSpec(id="teleprompters"),
            *self.extra_children,
            *(() if self.config.control_socket is False else (control_spec(self),)),
        )

    def start(self) -> Self:
        """Start the tree.  Returns when all of it runs."""
        if self._state != "new":
            raise SystemClosedError(f"The system {self.name!r} was started before: make a new one.")
        if in_notebook() if self._replace is None else self._replace:
            for other in _current.running_systems():
                if other.name == self.name:
                    other.close()
        if self._owns_scheduler:
            self.scheduler.start()
        self._state = "running"
        self.started_at = time.time()
        self.instance = sum(1 for other in _current.running_systems() if other.name == self.name)
        for secret in secrets_of(self.lm, self.config):
            self.conceal(secret)
        self._lm_service = lm_part(self)
        self.recorder = Recorder(
            self.scheduler.events, crash_keeper(self.storage) if self.storage.enabled else None, self.redactor
        )
        self.postmaster = Postmaster(self.scheduler.events, self.storage)
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
        _current.entered(self)
        return self

    def _find_parts(self) -> None:
        table: Any = self.root._process.table  # type: ignore[union-attr]
        self._programs = table.find("programs").ref
        self._requests = table.find("requests").ref

    def conceal(self, secret: str) -> None:
        """Let this appear in nothing that the system shows or keeps.  Keys of language models are known by
        themselves.  Any thread."""
        self.redactor.conceal(secret)
        self.storage.conceal_if_long(secret)

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
        _current.left(self)
        limit = self.shutdown_timeout if timeout is None else timeout
        left = 0
        if self.scheduler.running:
            if drain:
                self._end_long_work(limit)
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

    def _let_go(self) -> None:
        self.recorder.close()
        self.postmaster.close()
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

    # -- looking

    def tree(self, *, stacks: bool = False) -> dict[str, Any]:
        """The supervision tree as JSON-able data, read without asking any actor: see `supervision.tree`."""
        if self.root is None:
            raise self._closed("it has no tree")
        return tree(self.root, stacks=stacks)

    def health(self) -> Health:
        """Is it live, is it ready, and if not why.  Any thread; asks no actor."""
        if not self.running or self.root is None:
            return judge(None, None, {})
        stall = self.scheduler.stall
        problems = dict(self.problems)
        degraded = self.storage.degraded
        if degraded is not None:
            problems["store"] = degraded
        pools = [] if self._lm_service is None else self._lm_service.snapshot()["pools"]
        return judge(self.tree(), None if stall is None else stall.seconds, problems, pools)

    def counters(self) -> dict[str, Any]:
        """Totals over all programs and pools, for `dspex top`."""
        totals: dict[str, Any] = {"lm_calls": 0, "in_flight": 0, "total_tokens": 0, "cost": 0.0}
        for program in list(self.programs.values()):
            for metrics in program.metrics().values():
                totals["lm_calls"] += metrics.lm_calls
                totals["in_flight"] += metrics.in_flight
                totals["total_tokens"] += metrics.total_tokens
                totals["cost"] += metrics.cost
        return totals

    def record(self, record: Any) -> None:
        """Let the store keep something soon (a `dspex.store` record).  Any thread; never waits for the disk."""
        self.storage.put(record)

    def undelivered(self, target: str, call: Call, reason: str) -> None:
        """A call that was meant for a program reached nobody: it becomes a dead letter.  Any thread; never waits."""
        self.postmaster.keep(target, call, reason)

    def live_runs(self) -> dict[str, Any]:
        """The optimization runs that live here, by id."""
        return dict(self.runs)

    def scale(self, path: str, workers: int) -> None:
        """Change the number of workers of a pool (`dspex/lm/pools/...`), an evaluation or a run, by its path.

        Raises:
            LookupError: nothing at that path can be scaled.
            ValueError: not to that number.
        """
        scale(self, path, workers)

    def replay(self, letter_id: str, *, timeout: float | None = 30.0) -> Any:
        """Send a dead letter to the running program that it was meant for, and return its answer.

        Raises:
            NotFoundError, NotReplayableError, LookupError: there is no such letter, it was dealt with or cannot be
                sent again, or its program does not run here.
        """

        def deliver(letter: Any) -> Any:
            inputs = dict(letter.payload)
            arguments = inputs.pop("$args", ())
            return letter_target(self.programs, letter.target).call(*arguments, **inputs).get(timeout=timeout)

        return self.dead_letters.replay(letter_id, deliver)

    def _repr_html_(self) -> str:
        """The tree, for notebooks."""
        from html import escape

        if not self.running:
            return f"<pre>{escape(repr(self))}</pre>"
        return f"<pre>{escape(render_text(self.tree()))}</pre>"

    def __enter__(self) -> Self:
        if self._handle_signals:
            self._signals = raised_by_sigterm()
            self._signals.__enter__()
        return self._enter()

    def _enter(self) -> Self:
        if self._state == "new":
            self.start()
        overlay = settings_context(**self.settings)
        overlay.__enter__()
        self._tokens.append((overlay, _current.chosen_system.set(self), chosen_scheduler.set(self.scheduler)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self.close(drain=_is_orderly(kind))
        self._forget_signals()

    def _leave(self) -> None:
        overlay, system, scheduler = self._tokens.pop()
        chosen_scheduler.reset(scheduler)
        _current.chosen_system.reset(system)
        overlay.__exit__(None, None, None)

    def _forget_signals(self) -> None:
        signals, self._signals = self._signals, None
        if signals is not None:
            signals.__exit__(None, None, None)

    async def __aenter__(self) -> Self:
        if self._handle_signals:
            self._signals = caught = cancelled_by_signal()
            self._caught = caught.__enter__()
        if self._state == "new":
            await asyncio.to_thread(self.start)
        return self._enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        await asyncio.to_thread(self.close, drain=_is_orderly(kind) or bool(self._caught))
        self._forget_signals()
        if self._caught:
            raise SystemExit(128 + self._caught[0])

    def __repr__(self) -> str:
        return f"<System {self.name!r} {self._state}>"


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _is_orderly(kind: type[BaseException] | None) -> bool:
    """True if the block was left by its own decision: then calls at work may end.  An error is not kept waiting."""
    return kind is None or issubclass(kind, SystemExit)


def _with_defaults(settings: dict[str, Any], config: SystemConfig) -> dict[str, Any]:
    if settings.get("lm") is None and config.lm.model is not None:
        from dspex.lm import LM

        settings = {**settings, "lm": LM(**config.lm.arguments())}
    if config.redact_prompts:
        settings = {**settings, "redact_prompts": True}
    return settings
