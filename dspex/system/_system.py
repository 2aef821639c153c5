"""`System`: everything that programs run on, as one supervision tree that is started and closed as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from actors import Clock, Scheduler
from actors.runtime import chosen_scheduler
from dspex._settings import DEFAULTS, Context
from dspex._settings import context as settings_context
from dspex.system import _current
from dspex.system._config import SystemConfig
from dspex.system._health import Health, judge
from dspex.system._scale import scale
from dspex.system._signals import cancelled_by_signal, raised_by_sigterm
from dspex.system._spawner import Spawner
from supervision import ChildSpec, SupervisorSpec, render_text, tree

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dspex.store import Store

__all__ = ["System"]


class System(Spawner):
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
        config = config if config is not None else SystemConfig.load(**given)
        super().__init__(
            config,
            _with_defaults(settings, config),
            scheduler if scheduler is not None else _own_scheduler(config, clock, seed, loop_factory),
            opened,
            children,
            owns_scheduler=scheduler is None,
            replace=replace,
        )
        self._handle_signals = handle_signals
        self._signals: AbstractContextManager[Any] | None = None
        self._caught: list[Any] = []
        self._tokens: list[tuple[Context, Token[Any], Token[Any]]] = []

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
        return judge(self.tree(), None if stall is None else stall.seconds, problems, self.pools())

    def pools(self) -> list[dict[str, Any]]:
        """The pools of the language models as they are: queues, counts, breakers.  Any thread; asks no actor."""
        pools: list[dict[str, Any]] = [] if self._lm_part is None else self._lm_part.service.snapshot()["pools"]
        return pools

    def counters(self) -> dict[str, Any]:
        """Totals of all calls of language models here, whoever makes them, for `dspex top`."""
        totals = self.lm_service.tally.read()
        return {name: getattr(totals, name) for name in totals.__slots__}

    def scale(self, path: str, workers: int) -> None:
        """Change the number of workers of a pool (`dspex/lm/pools/...`), an evaluation or a run, by its path.

        Raises:
            LookupError: nothing at that path can be scaled.
            ValueError: not to that number.
        """
        scale(self, path, workers)

    # -- as a block

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


def _own_scheduler(
    config: SystemConfig,
    clock: Clock | None,
    seed: int | None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
) -> Scheduler:
    return Scheduler(
        config.name,
        clock=clock,
        seed=seed,
        stall_after=config.stall_after,
        shutdown_timeout=config.drain_timeout,
        loop_factory=loop_factory or _fastest_loop(),
    )


def _is_orderly(kind: type[BaseException] | None) -> bool:
    """True if the block was left by its own decision: then calls at work may end.  An error is not kept waiting."""
    return kind is None or issubclass(kind, SystemExit)


def _with_defaults(settings: dict[str, Any], config: SystemConfig) -> dict[str, Any]:
    if settings.get("lm") is None and config.lm.model is not None:
        from dspex.lm import LM

        settings = {**settings, "lm": LM(**config.lm.arguments())}
    if config.redact_prompts:
        settings = {**settings, "redact_prompts": True}
    if "num_threads" not in settings and config.source("num_workers") != "default":
        settings = {**settings, "num_threads": config.num_workers}
    return settings
