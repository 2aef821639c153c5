"""The children of one supervisor: a table of rows, and what all strategies do with it.

Pure: the methods that decide are generators.  They yield steps, the effects that the supervisor is to
perform, get the outcome of each back, and return the verdict.  The order of the steps is the contract, and
it is OTP's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from actors import ExitReason, Killed, Normal, Shutdown
from supervision._intensity import RestartHistory
from supervision._reports import MAX_INTENSITY, CrashLog, Report, ReportContext
from supervision._spec import ChildSpec, SupervisorFlags

__all__ = [
    "Child",
    "ChildCounts",
    "ChildInfo",
    "ChildTable",
    "Emit",
    "Failed",
    "Ignored",
    "Outcome",
    "Plan",
    "Retry",
    "Started",
    "StartStep",
    "Step",
    "StopAllStep",
    "StopStep",
    "Verdict",
]

T = TypeVar("T")

ChildState: TypeAlias = Literal["running", "restarting", "starting", "down"]


@dataclass(slots=True, eq=False)
class Child:
    """One row.  `key` is the id of the spec, or a number of its own where children have no ids.

    `label` names it in paths: the id, with the number behind it where that is needed to be unique.
    """

    key: Hashable
    spec: ChildSpec
    label: str
    ref: Any = None
    last_ref: Any = None
    state: ChildState = "down"
    restarts: int = 0
    in_a_row: int = 0
    since: float = 0.0
    last_exit: ExitReason | None = None
    crashes: CrashLog | None = None
    ticket: int = 0
    admitted: bool = False


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """One line of `which_children`: `ref` is None unless the child runs, `last_ref` its latest
    incarnation.
    """

    id: Hashable
    ref: Any
    state: Literal["alive", "undefined", "restarting"]
    type: str
    module: str
    last_ref: Any = None


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """`count_children`: all specs, those that run now, and the specs by type, dead ones included."""

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class StartStep:
    """Call the start function of `child`; the outcome is Started, Ignored or Failed."""

    child: Child


@dataclass(frozen=True, slots=True)
class StopStep:
    """Stop `child` by its shutdown value and wait for its end; the outcome is the true exit reason."""

    child: Child


@dataclass(frozen=True, slots=True)
class StopAllStep:
    """Stop these children at the same time, each by its own shutdown value; the outcome is their exit
    reasons.
    """

    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class Emit:
    """Publish a report.  No outcome."""

    report: Report


@dataclass(frozen=True, slots=True)
class Retry:
    """Come back with `retry(key, ticket)` after `delay` seconds, and after all mail that is waiting.

    No outcome.
    """

    key: Hashable
    ticket: int
    delay: float


Step: TypeAlias = StartStep | StopStep | StopAllStep | Emit | Retry


@dataclass(frozen=True, slots=True)
class Started:
    """The child runs, since `at`."""

    ref: Any
    at: float


@dataclass(frozen=True, slots=True)
class Ignored:
    """The start function said that there is nothing to run."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The start function failed."""

    reason: ExitReason


Outcome: TypeAlias = Started | Ignored | Failed
Plan: TypeAlias = Generator[Step, Any, T]
Verdict: TypeAlias = Shutdown | None
"""How the supervisor must end now, or None to go on."""


class ChildTable:
    """Rows and restart history; what to restart is for the subclasses to say.

    All work for one exit is O(1) in the number of siblings that it does not touch.
    """

    def __init__(self, name: str, flags: SupervisorFlags, random: Callable[[], float]) -> None:
        self.name = name
        self.flags = flags
        self.history = RestartHistory(flags.intensity, flags.period)
        self.rows: dict[Hashable, Child] = {}
        self.by_ref: dict[Any, Child] = {}
        self._random = random

    # ---- what the subclasses decide

    def boot(self) -> Plan[ExitReason | None]:
        """Start the children of the spec; the result is the reason to end with, should that fail."""
        raise TypeError("a strategy defines boot()")

    def _attempt(self, child: Child) -> Plan[None]:
        """Start `child` again, and whom the strategy wants restarted with it."""
        raise TypeError("a strategy defines _attempt()")

    def _hold(self, child: Child) -> Plan[None]:
        """What must be stopped at once though the restart of `child` is delayed."""
        yield from ()

    def _end(self, child: Child) -> None:
        """`child` has ended for good: keep its row or not."""
        raise TypeError("a strategy defines _end()")

    def _significant_left(self) -> bool:
        """Is a significant child left that runs or will?"""
        raise TypeError("a strategy defines _significant_left()")

    def stop(self) -> Plan[None]:
        """Stop all children."""
        raise TypeError("a strategy defines stop()")

    # ---- exits

    def exited(self, ref: Any, reason: ExitReason, now: float) -> Plan[Verdict]:
        """A linked process has ended.  What is no child (any more) is ignored."""
        child = self.by_ref.pop(ref, None)
        if child is None:
            return None
        child.ref = None
        child.state = "down"
        child.last_exit = reason.summary()
        policy = child.spec.restart
        if policy == "permanent" or (reason.abnormal and policy == "transient"):
            if child.crashes is None:
                child.crashes = CrashLog(4 * self.flags.deterministic_after)
            identical = child.crashes.add(reason, now, self.flags.period)
            yield self._report("child_terminated", child, reason, identical)
            if self.flags.backoff is not None and now - child.since >= self.flags.backoff.reset_after:
                child.in_a_row = 0
            return (yield from self._restart(child, now))
        if reason.abnormal:
            yield self._report("child_terminated", child, reason)
        self._end(child)
        return self._auto_shutdown(child)

    def retry(self, key: Hashable, ticket: int, now: float) -> Plan[Verdict]:
        """A Retry is due.  Nothing happens if that restart was called off meanwhile."""
        child = self.rows.get(key)
        if child is None or child.state != "restarting" or child.ticket != ticket:
            return None
        if child.admitted:
            yield from self._attempt(child)
            return None
        return (yield from self._restart(child, now))

    def _restart(self, child: Child, now: float) -> Plan[Verdict]:
        if not self.history.add(now):
            yield self._report("shutdown", child, MAX_INTENSITY)
            self._end(child)
            return Shutdown()
        if self.flags.backoff is not None and child.state == "down":
            yield from self._hold(child)
            child.admitted = True
            yield self._again(child)
            return None
        yield from self._attempt(child)
        return None

    def _again(self, child: Child) -> Retry:
        """Mark `child` as restarting and ask to be called back for it."""
        child.state = "restarting"
        child.ticket += 1
        delay = 0.0
        if (backoff := self.flags.backoff) is not None:
            child.in_a_row += 1
            delay = backoff.delay(child.in_a_row, self._random())
        return Retry(child.key, child.ticket, delay)

    def _failed(self, child: Child, reason: ExitReason) -> Plan[None]:
        """A restart failed: it is tried again, once the supervisor has looked at its mail."""
        child.admitted = False
        again = self._again(child)
        yield self._report("start_error", child, reason)
        yield again

    def _auto_shutdown(self, child: Child) -> Verdict:
        mode = self.flags.auto_shutdown
        if mode == "never" or not child.spec.significant:
            return None
        if mode == "all_significant" and self._significant_left():
            return None
        return Shutdown()

    # ---- rows

    def _begin(self, child: Child) -> StartStep:
        """The step that starts `child`; whatever its outcome, the row's state is set then."""
        child.state = "starting"
        return StartStep(child)

    def _run(self, child: Child, started: Started) -> None:
        child.ref = child.last_ref = started.ref
        child.since = started.at
        child.state = "running"
        child.admitted = False
        self.by_ref[started.ref] = child

    def _down(self, child: Child) -> None:
        if child.ref is not None:
            self.by_ref.pop(child.ref, None)
        child.ref = None
        child.state = "down"
        child.admitted = False

    def _stop_one(self, child: Child) -> Plan[None]:
        """Stop a child if it runs; how it ended is reported unless it is as wanted."""
        if child.ref is not None:
            reason: ExitReason = yield StopStep(child)
            child.last_exit = reason.summary()
            if not as_wanted(child.spec, reason):
                yield self._report("shutdown_error", child, reason)
        self._down(child)

    def _stop_together(self) -> Plan[list[tuple[Child, ExitReason]]]:
        """Stop all running children in parallel, forget all; returns those that ended otherwise than
        wanted.
        """
        running = tuple(child for child in self.rows.values() if child.ref is not None)
        reasons: list[ExitReason] = (yield StopAllStep(running)) if running else []
        for child, reason in zip(running, reasons, strict=True):
            child.last_exit = reason.summary()
            self._down(child)
        self.rows.clear()
        return [pair for pair in zip(running, reasons, strict=True) if not as_wanted(pair[0].spec, pair[1])]

    def _report(
        self,
        context: ReportContext,
        child: Child,
        reason: ExitReason | str,
        identical: int = 0,
        count: int = 1,
    ) -> Emit:
        deterministic = identical >= self.flags.deterministic_after
        return Emit(Report(self.name, context, child.key, reason, child.last_ref, identical, deterministic, count))

    # ---- questions

    def which_children(self) -> list[ChildInfo]:
        """The children, latest first, as OTP tells them."""
        return [child_info(child) for child in reversed(tuple(self.rows.values()))]

    def count_children(self) -> ChildCounts:
        """Counted anew at each call: O(n)."""
        rows = self.rows.values()
        supervisors = sum(1 for child in rows if child.spec.type == "supervisor")
        return ChildCounts(
            len(rows), sum(1 for child in rows if child.ref is not None), supervisors, len(rows) - supervisors
        )


def child_info(child: Child) -> ChildInfo:
    """The row as `which_children` shows it."""
    state: Literal["alive", "undefined", "restarting"] = "undefined"
    if child.ref is not None:
        state = "alive"
    elif child.state == "restarting":
        state = "restarting"
    return ChildInfo(child.key, child.ref, state, child.spec.type, child.spec.start.module, child.last_ref)


def as_wanted(spec: ChildSpec, reason: ExitReason) -> bool:
    """Is this how a child ends that was told to?  (`supervisor:shutdown/1` and `do_terminate/2`.)"""
    if spec.shutdown == "brutal_kill":
        if isinstance(reason, Killed):
            return True
    elif reason == Shutdown():
        return True
    return spec.restart != "permanent" and isinstance(reason, (Normal, Shutdown))
