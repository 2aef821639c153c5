"""What all supervisors are: an actor that performs what the pure core decides."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable
from contextvars import ContextVar
from inspect import isawaitable
from typing import Any, ClassVar, Final

from actors import (
    ActorRef,
    AsyncActor,
    Crash,
    Exit,
    ExitReason,
    Ignore,
    Normal,
    Reject,
    Reply,
    Shutdown,
    StartError,
    hosting,
)
from actors.runtime import logger
from supervision._errors import SupervisionError
from supervision._messages import (
    CountChildren,
    StopSupervisor,
    TryAgain,
    WhichChildren,
)
from supervision._reports import Report
from supervision._table import (
    Child,
    ChildTable,
    Emit,
    Failed,
    Ignored,
    Outcome,
    Plan,
    Retry,
    Started,
    StartStep,
    Step,
    StopAllStep,
    StopStep,
)

__all__ = ["BaseSupervisor", "place_of_child"]

_AT_ONCE: Final = 64
"""Steps of one plan that may hold the loop in one go: 10,000 children start without stalling everybody else."""

_path: ContextVar[str | None] = ContextVar("supervision.path", default=None)
"""Where in the tree the supervisor that is just being constructed will be."""


def place_of_child() -> str | None:
    """In a start function: the path of the child that is being started, if that is a supervisor."""
    return _path.get()


class BaseSupervisor(AsyncActor):
    """What all supervisors are: an actor that traps exits, owns a table of children and executes plans.

    A plan runs within the handling of one message, as in OTP: calls wait while children are stopped and
    started. Between two attempts of a failing restart the supervisor looks at its mail.  Stopped in
    whatever way but by a kill, it stops its children before it ends; killed, its children get its exit
    signal, and those that trap exits may live on as orphans.
    """

    supervises: ClassVar[bool] = True
    table: ChildTable
    """The children.  Only the supervisor changes it; rows may be read from any thread."""

    def __init__(self, name: Hashable) -> None:
        super().__init__()
        self.trap_exit = True
        self.name = str(name)
        self.path = _path.get() or self.name
        self.started_at = self.scheduler.clock.time()
        self._log: Any = None

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka knows no async hooks
        """Start the children, one after the other."""
        self.table = self._make_table()
        outcome = self._drive(self.table.boot())
        reason: ExitReason | None = await outcome if isinstance(outcome, Coroutine) else outcome
        if reason is not None:
            self.exit(reason)

    async def on_stop(self) -> None:  # type: ignore[override]
        """Stop the children."""
        outcome = self._drive(self.table.stop())
        if isinstance(outcome, Coroutine):
            await outcome

    def moved(self, path: str) -> None:
        """It has been adopted: this is its path from now on."""
        self.path = path
        self._log = None
        if hasattr(self, "table"):
            self.table.name = path

    def _make_table(self) -> ChildTable:
        raise TypeError(f"{type(self).__qualname__} has to define _make_table()")

    # ---- mail

    @hosting  # starts and stops children: it stays on the loop, whatever they do there
    def on_receive(self, message: Any) -> Any:
        """Serve one message; the handlers are in `_HANDLERS`."""
        handler = self._HANDLERS.get(type(message))
        if handler is None:
            raise Reject(TypeError(f"a supervisor does not understand {message!r}"))
        try:
            return handler(self, message)
        except SupervisionError as error:
            raise Reject(error) from None

    def _exited(self, message: Exit) -> Any:
        return self._judge(self.table.exited(message.ref, message.reason, self.scheduler.clock.time()))

    def _try_again(self, message: TryAgain) -> Any:
        return self._judge(self.table.retry(message.key, message.ticket, self.scheduler.clock.time()))

    def _stop_self(self, message: StopSupervisor) -> None:
        self.exit(message.reason)

    def _which_children(self, _: WhichChildren) -> Any:
        return self.table.which_children()

    def _count_children(self, _: CountChildren) -> Any:
        return self.table.count_children()

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {
        Exit: _exited,
        TryAgain: _try_again,
        StopSupervisor: _stop_self,
        WhichChildren: _which_children,
        CountChildren: _count_children,
    }

    # ---- executing plans

    def _judge(self, plan: Plan[Shutdown | None]) -> Any:
        """Execute a plan whose result is a verdict on the supervisor itself."""
        outcome = self._drive(plan)
        if isinstance(outcome, Coroutine):
            return self._judge_later(outcome)
        if outcome is not None:
            self.exit(outcome)
        return None

    async def _judge_later(self, outcome: Coroutine[Any, Any, Shutdown | None]) -> None:
        verdict = await outcome
        if verdict is not None:
            self.exit(verdict)

    def _drive(self, plan: Generator[Step, Any, Any]) -> Any:
        """Execute a plan: its result if that needs no waiting, else a coroutine of it."""
        outcome: Any = None
        for _ in range(_AT_ONCE):
            try:
                step = plan.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = self._execute(step)
            if type(outcome) is Reply or isawaitable(outcome):
                return self._drive_on(plan, step, outcome)
        return self._drive_on(plan, step, outcome)

    async def _drive_on(self, plan: Generator[Step, Any, Any], step: Step, outcome: Any) -> Any:
        try:
            turns = _AT_ONCE - 1
            while True:
                if type(outcome) is Reply or isawaitable(outcome):
                    if type(step) is StartStep:
                        outcome = await self._wait_for_start(outcome)
                    else:
                        outcome = await outcome
                elif (turns := turns + 1) % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                try:
                    step = plan.send(outcome)
                except StopIteration as end:
                    return end.value
                outcome = self._execute(step)
        except SupervisionError as error:
            raise Reject(error) from None

    def _execute(self, step: Step) -> Any:
        match step:
            case StartStep(child):
                return self._start_of(child)
            case StopStep(child):
                return self._stop_child(child)
            case StopAllStep(children):
                return self._stop_children(children)
            case Emit(report):
                self._publish(report)
            case Retry(key, ticket, delay):
                again = TryAgain(key, ticket)
                if delay > 0:
                    self.send_after(delay, again)
                else:
                    self.deliver_notice(again)
        return None

    def _publish(self, report: Report) -> None:
        report = dataclasses.replace(report, reason=self.scheduler.shown(report.reason))
        if self._log is None:
            self._log = logger("supervision", supervisor=self.path)
        self._log.warning(
            f"supervisor.{report.context}",
            child=str(report.child),
            reason=str(report.reason),
            **({"deterministic": True, "identical": report.identical} if report.deterministic else {}),
        )
        events = self.scheduler.events
        if events.active:
            events.emit(f"supervisor.{report.context}", {}, {"report": report, "path": self.path})

    # ---- starting one child

    def _start_of(self, child: Child) -> Any:
        """The outcome, or what to wait for."""
        start = child.spec.start
        target: Any = start.target
        token = _path.set(f"{self.path}/{child.label}") if child.spec.type == "supervisor" else None
        try:
            if isinstance(target, type) and hasattr(target, "start_link"):
                begun = target.start_link(*self._arguments(start.args), **start.kwargs)
            else:
                begun = target(*self._arguments(start.args), **start.kwargs)
        except Exception as error:  # noqa: BLE001  a start function that raises is a start that fails
            return self._child_failed(error)
        finally:
            if token is not None:
                _path.reset(token)
        if type(begun) is Reply and begun.done():
            refusal = begun.exception()
            return self._child_failed(refusal) if refusal is not None else self._child_started(begun.get())
        return begun if type(begun) is Reply or isawaitable(begun) else self._child_started(begun)

    def _arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args

    async def _wait_for_start(self, begun: Awaitable[Any]) -> Outcome:
        try:
            return self._child_started(await begun)
        except Exception as error:  # noqa: BLE001  see _start_of
            return self._child_failed(error)

    def _child_started(self, ref: Any) -> Outcome:
        if ref is None:
            return Ignored()
        if not isinstance(ref, ActorRef):
            return Failed(Crash("TypeError", f"a start function returned {ref!r}, not a reference or None"))
        self.link(ref)
        return Started(ref, self.scheduler.clock.time())

    def _child_failed(self, error: BaseException) -> Outcome:
        if isinstance(error, Ignore):
            return Ignored()
        return Failed(error.reason if isinstance(error, StartError) else Crash.of(error))

    # ---- stopping children

    async def _stop_child(self, child: Child) -> ExitReason:
        """Ask, wait as long as the child may take, kill.  A kill always ends it: what goes on is fenced."""
        ref: ActorRef[Any] = child.ref
        down = self._ask_to_end(child)
        if down is not None:
            await down
        return ref.exit_reason or Normal()

    async def _stop_children(self, children: tuple[Child, ...]) -> list[ExitReason]:
        refs = [child.ref for child in children]
        for down in [self._ask_to_end(child) for child in children]:
            if down is not None:
                await down
        return [ref.exit_reason or Normal() for ref in refs]

    def _ask_to_end(self, child: Child) -> Reply[Any] | None:
        ref: ActorRef[Any] = child.ref
        if not ref.is_alive():
            return None
        shutdown = child.spec.shutdown
        down = ref.down()
        if shutdown == "brutal_kill":
            ref.kill()
            return down
        ref.exit(Shutdown(), sender=self.actor_ref)
        if isinstance(shutdown, float):
            timer = self.scheduler.call_later(shutdown, ref.kill)
            down.add_done_callback(lambda _: timer.cancel())
        return down
