"""An optimization run from outside: begun or resumed, watched, paused, ended, and its program."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from actors import ActorDeadError, NoSchedulerError, Reply, Timeout
from actors.runtime import current_fiber
from dspex._settings import error_limit, settings
from dspex.evaluate._evaluation import Crew
from dspex.evaluate._ledger import Ledger, RetryPolicy
from dspex.evaluate._listener import Listener
from dspex.evaluate._progress import Progress
from dspex.predict import Module

from ._arguments import are_alike, inputs_are_marked, is_writable
from ._driver import Driver
from ._errors import TeleprompterError
from ._executor import Executor
from ._journal import Journal, MemoryJournal
from ._options import RunOptions
from ._programs import describe
from ._requests import Found
from ._run_actor import AskStatus, CancelRun, Limits, Optimizer, PauseRun, Resize, ResumeRun, RunSource, RunStatus
from ._run_bar import follow
from ._run_end import RunEnd, status_of
from ._run_news import RunNews
from ._task import Record, Task
from ._values import to_json_value

if TYPE_CHECKING:
    from actors import ActorRef
    from dspex.store import NewRun, Store
    from dspex.system import System

    from ._stored_run import Status as StoredStatus
    from ._stored_run import StoredRun
    from ._teleprompter import Teleprompter

T = TypeVar("T")

_AT_ONCE = 5.0  # seconds within which a run that is interrupted is to be closed


_log = logging.getLogger("dspex.teleprompt")


class OptimizationRun:
    """A run: from ``begin()`` on it is under way. ``result()`` waits for the program; ``await`` does too, on any
    event loop.

    `pause`, `resume` and `cancel` may be called from any thread. An interrupt (Ctrl-C) of ``result()``, or a cancelled
    ``await``, leaves the run paused and closed: its journal has all that is done, and its ``run_id`` resumes it.

    Raises `ValueError` if the optimizer cannot work with what it is given: then nothing is kept of the run.
    """

    def __init__(
        self,
        system: System,
        teleprompter: Teleprompter,
        student: Module,
        *,
        trainset: Sequence[Any],
        valset: Sequence[Any] | None = None,
        teacher: Module | None = None,
        arguments: Mapping[str, Any] | None = None,
        options: RunOptions | None = None,
    ) -> None:
        self.options = options or RunOptions()
        self.kind = type(teleprompter).__name__
        self._system = system
        self._student = student
        self._log_dir = teleprompter.log_dir
        self._teleprompter = teleprompter
        self._teacher = teacher
        train, val = teleprompter.divide(trainset, valset)
        stop_at, limit = self.options.stop_at_score, self.options.max_errors
        self._task = task = Task(
            describe(student),
            tuple(map(Record.of, train)),
            tuple(map(Record.of, val)),
            None if teacher is None else describe(teacher),
            teleprompter.stop_at_score if stop_at is None else stop_at,
            error_limit(teleprompter.max_errors if limit is None else limit),
        )
        are_alike(task)
        if self._log_dir is not None:
            is_writable(self._log_dir)
        if self.options.budget_usd is not None:
            self._check_prices()
        self._arguments = dict(arguments or {})
        teleprompter.check(task, **self._arguments)
        if teleprompter.runs_examples:
            inputs_are_marked(train, "trainset")
            inputs_are_marked(val, "valset")
        self._search = teleprompter.search(task, **self._arguments)
        if not isinstance(self._search, Generator):
            raise TypeError(f"{self.kind}.search must be a generator of requests, not a {type(self._search).__name__}")
        self.run_id = self.options.run_id or f"{self.kind.lower()}-{uuid.uuid4().hex[:10]}"
        self._executor = Executor(
            student,
            teacher,
            train,
            val,
            teleprompter.metric,
            teleprompter.teacher_settings,
            teleprompter.prompt_model,
            teleprompter.task_model,
            self.options.timeout,
        )
        self._program: Reply[Module] = Reply()
        self._closed: Reply[None] = Reply()
        self._stored: StoredRun | None = None
        self._crew: Crew | None = None
        self.told_to_end: str | None = None
        self._progress = Progress(0, system.scheduler.clock.time())
        self._spent_before: tuple[int, float] = (0, 0.0)
        self._optimizer: Reply[ActorRef[Any]] = Reply()

    # -- beginning

    def begin(self) -> Self:
        """Take the run up, in the store if there is one, and start its actors. Where this fails or is interrupted,
        the run is free again.

        Raises `TeleprompterError` if a run of this name is under way, `JournalMismatchError` if it was begun with
        other work, `RunOwnedError` if another process works on it.
        """
        if self._system.runs.setdefault(self.run_id, self) is not self:
            raise TeleprompterError(
                f"run {self.run_id!r} is under way in this system: wait for it, cancel it, or choose another run_id"
            )
        try:
            self._stored = self._begin(self._teleprompter, self._task, self._arguments)
            self._prepare()
            crew = self._crew = self._launch(self._teleprompter)
            crew.ended.add_done_callback(self._ended)
            crew.begin()
            if self.told_to_end is not None:  # by somebody who found it in the list of runs
                crew.cancel_with(CancelRun(self.told_to_end))
        except BaseException as error:
            self._not_begun(error)
            raise
        return self

    def _prepare(self) -> None:
        """What it takes up, and what tells of it."""
        journal: Journal = MemoryJournal()
        if self._stored is not None:
            journal, self._spent_before = self._stored.journal, self._stored.spent
            self._stored.durable.spending = self._spent
        self._driver: Driver[Found] = Driver(self._search, self._task, journal)
        self._source = RunSource(self._driver, self._executor, None if self._stored is None else self._stored.durable)
        self._news = RunNews(
            self._system, self.run_id, self.kind, type(self._student).__name__, Listener(self.options.on_event)
        )
        self._news.started(len(self._task.trainset) + len(self._task.valset))

    def _not_begun(self, error: BaseException) -> None:
        """Undo what `begin` has done so far."""
        if self._crew is not None:
            self.interrupt()
            return
        self._system.runs.pop(self.run_id, None)
        stored = self._stored
        if stored is not None:
            kept = {"stopped": None, "error": f"{type(error).__name__}: {error}"}
            status: StoredStatus = "failed" if isinstance(error, Exception) else "paused"
            self._off_loop(lambda: stored.close(status, kept, None, *stored.spent))
        self._closed.set(None)
        self._program.set_exception(error)

    def _begin(self, teleprompter: Teleprompter, task: Task, arguments: Mapping[str, Any]) -> StoredRun | None:
        """The run in the store, new or taken up where it was left; None without a store."""
        store = self._chosen_store()
        if store is None:
            return None
        from dspex.adapters import ChatAdapter
        from dspex.store import NewRun

        from ._identity import identity

        config = {
            "optimizer": teleprompter.config(),
            "arguments": to_json_value({k: v for k, v in arguments.items() if v is not None}),
            "student": task.student.candidate.key,
            "teacher": None if task.teacher is None else task.teacher.candidate.key,
            "identity": identity(
                teleprompter, self._student, self._teacher, self._default_lm(), settings.adapter or ChatAdapter()
            ),
        }
        seed = arguments.get("seed")
        seed = getattr(teleprompter, "seed", None) if seed is None else seed
        new = NewRun(self.run_id, self.kind, type(self._student).__name__, config, seed, task.data_hashes)
        return self._off_loop(lambda: self._open(store, new))

    def _open(self, store: Store, new: NewRun) -> StoredRun:
        from ._stored_run import StoredRun

        return StoredRun(store, new, self.options.command, self._system)

    def _default_lm(self) -> Any:
        return settings.lm if settings.lm is not None else self._system.settings.get("lm")

    def _check_prices(self) -> None:
        """Money can be limited only where it is counted. What is found out later ends the run."""
        from dspex.lm import LM
        from dspex.lm._prices import prices
        from dspex.lm._reserve import unknown_price

        from ._identity import models_of

        for lm in models_of(self._teleprompter, self._student, self._teacher, self._default_lm()).values():
            if isinstance(lm, LM) and prices.price_of(lm.endpoint.name) is None:
                raise unknown_price(lm.endpoint.name, "budget_tokens")

    def _chosen_store(self) -> Store | None:
        chosen = self.options.store
        if chosen is False:
            return None
        if chosen is None or chosen is True:
            return getattr(self._system, "store", None)
        return chosen

    def _off_loop(self, function: Callable[[], T]) -> T:
        """Call what waits for the disk: right here in a thread, on a pool thread for a fiber."""
        if current_fiber() is None:
            return function()
        return self._system.scheduler.run_blocking(function).get()

    def _launch(self, teleprompter: Teleprompter) -> Crew:
        options = self.options
        width = options.num_workers or teleprompter.num_workers or settings.num_threads
        policy = RetryPolicy(
            max_retries=options.max_retries,
            quarantine_after=options.quarantine_after,
            backoff=0.2,
            patience=options.patience,
        )
        return Crew(
            self._system,
            self._system.teleprompters,
            self.run_id,
            self._source,
            width,
            Ledger(0, policy),
            self._progress,
            self._news.incidents,
            copy_context(),
            collector=Optimizer,
            more={
                "run_id": self.run_id,
                "limits": Limits(options.budget_usd, options.budget_tokens, options.max_seconds),
                "spent_before": self._spent_before,
                "beat": None if self._stored is None else self._beat,
                "news": self._news,
                "up": self._optimizer,
            },
        )

    def _beat(self, paused: bool, best: float | None) -> None:
        assert self._stored is not None
        if not self._stored.beat(paused, best, *self._spent()):
            self._tell(CancelRun("lost"))

    def _spent(self) -> tuple[int, float | None]:
        """Tokens and money, of all its sittings; None: no price is known."""
        tokens, usd = self._spent_before
        cost = self._progress.cost
        return self._progress.tokens + tokens, None if cost is None and not usd else (cost or 0.0) + usd

    # -- what others may do

    def status(self, timeout: float | None = 5.0) -> RunStatus | None:
        """How far it is; None before its actor is up and after its end."""
        collector = self._collector
        if collector is None or not collector.is_alive():
            return None
        try:
            status: RunStatus = collector.call(AskStatus()).get(timeout=timeout)
        except ActorDeadError:
            return None
        return status

    def to_json(self) -> dict[str, Any]:
        """The run as the control socket shows it."""
        status = self.status()
        known: dict[str, Any] = {} if status is None else asdict(status)
        return {"run_id": self.run_id, "state": "ended" if self.done() else "starting", **known, "kind": self.kind}

    def resize(self, workers: int) -> None:
        """Keep at most so many units of work in flight from now on. Any thread."""
        if workers < 1:
            raise ValueError("a run needs 1 worker or more; pause() lets it begin nothing new")
        self._tell(Resize(workers))

    def pause(self) -> None:
        """Hand out nothing more. What is in flight ends and counts."""
        self._tell(PauseRun())

    def resume(self) -> None:
        """Go on."""
        self._tell(ResumeRun())

    def cancel(self) -> Module:
        """End it for good, with the best program so far (the student's copy, if none was judged). Its ``run_id`` is
        not taken up again."""
        self.end("cancelled")
        return self.result()

    def interrupt(self) -> None:
        """Stop it here, to be taken up again by its ``run_id``, and wait until that is possible: some milliseconds,
        or 5 s if a program does not give way. Nothing if it has ended."""
        self.end("interrupted")
        try:
            self._closed.get(timeout=_AT_ONCE)
        except Timeout:
            _log.warning("run %s does not give way; it ends when the program or metric at work does", self.run_id)

    def done(self) -> bool:
        """It has ended, well or not."""
        return self._program.done()

    def result(self) -> Module:
        """The program. Raises `RunPausedError` if an outage or the like stopped the run, and what made it fail."""
        try:
            return self._program.get()
        except KeyboardInterrupt:
            self._interrupted()

    def follow(self) -> Module:
        """`result()`, and meanwhile how far it is on standard error: a bar on a terminal, else a line a minute."""
        try:
            follow(self, self._system.pools)
        except KeyboardInterrupt:
            return self._interrupted()
        return self.result()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so many seconds; whether it has come. How it has ended is for `result` to say."""
        try:
            self._program.get(timeout=seconds)
        except Timeout:
            return self._program.done()
        except Exception:  # noqa: BLE001  the run's own error
            return True
        return True

    def _interrupted(self) -> NoReturn:
        self.interrupt()
        if self._stored is None:
            _log.warning("run %s was interrupted; without a store nothing of it is kept", self.run_id)
        else:
            _log.warning("run %s is paused: %s", self.run_id, self._going_on())
        raise KeyboardInterrupt

    def _going_on(self) -> str:
        """How the run is taken up again, by who began it."""
        if self.options.command is None:
            return f"compile with run_id={self.run_id!r} goes on"
        resume = f"`dspex runs resume {self.run_id}`"
        return f"{resume} goes on" if self.options.run_id is None else f"the same command, or {resume}, goes on"

    def __await__(self) -> Any:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Module:
        try:
            return await self._program
        except asyncio.CancelledError:
            await self.interrupted()
            raise

    async def interrupted(self) -> None:
        """`interrupt`, awaited, on any event loop."""
        self.end("interrupted")
        await asyncio.wait([asyncio.ensure_future(self._is_closed())], timeout=_AT_ONCE)

    async def _is_closed(self) -> None:
        await self._closed

    def end(self, why: str) -> None:
        """Let it end now. Any thread."""
        if self.told_to_end is None:
            self.told_to_end = why
        if self._crew is not None:
            self._crew.cancel_with(CancelRun(why))

    @property
    def _collector(self) -> ActorRef[Any] | None:
        return None if self._crew is None else self._crew.collector

    def _tell(self, message: Any) -> None:
        """Now, or as soon as its actor is up."""
        self._optimizer.add_done_callback(lambda up: up.get().tell(message) if up.get().is_alive() else None)

    # -- the end

    def _ended(self, ended: Reply[str | None]) -> None:
        # On whatever thread the last actor ended in; the store has to be told before anybody learns of it.
        try:
            self._system.scheduler.run_blocking(self._conclude, ended.exception(), ended)
        except NoSchedulerError as error:  # the system is gone: what was committed is there, and no more can be
            self._system.runs.pop(self.run_id, None)
            self._closed.set(None)
            self._program.set_exception(ended.exception() or error)

    def _conclude(self, error: BaseException | None, ended: Reply[str | None]) -> None:
        """The last thing that happens, on a thread of the pool: it waits for the disk."""
        end = RunEnd(
            self.run_id, self.kind, self._student, self._driver, self._source, self._progress, self._spent,
            self._stored, self._going_on(),
        )  # fmt: skip
        error, stopped = end.cause(error, self.told_to_end)
        program: Module | None = None
        try:
            end.keep(error, stopped, self._log_dir, lambda: self._is_hurried(stopped))
            program = None if error is not None else end.program(stopped)
        except Exception as failure:  # noqa: BLE001  nobody else would ever tell the caller
            error = failure
        self._system.runs.pop(self.run_id, None)  # before anybody learns of the end: they may begin it again at once
        state = "lost" if stopped == "lost" else status_of(error, stopped)
        score = end.found.score
        self._news.judged(score)
        self._news.finished(state, stopped, error, end.failures, score, self._spent())
        self._closed.set(None)
        if program is None:
            self._program.set_exception(error)
        else:
            self._program.set(program)

    def _is_hurried(self, stopped: str | None) -> bool:
        return stopped in ("interrupted", "cancelled") or not self._system.accepting
