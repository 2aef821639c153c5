"""Children that come and go by call, without ids or order: DynamicSupervisor and simple_one_for_one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from actors import ExitReason
from supervision._errors import ChildNotFoundError, ChildStartError, MaxChildrenError
from supervision._spec import ChildSpec, Start, SupervisorFlags, check_children
from supervision._table import (
    Child,
    ChildCounts,
    ChildTable,
    Failed,
    Ignored,
    Outcome,
    Plan,
    Started,
)

__all__ = ["DynamicChildren", "TemplateChildren"]


class DynamicChildren(ChildTable):
    """Elixir's DynamicSupervisor: a row is a process, or one about to be restarted.  Always one_for_one.

    `max_children` counts both.  Ends for good, and restarts that ignore, remove the row.  Rows are numbered.
    """

    def __init__(
        self, name: str, flags: SupervisorFlags, random: Callable[[], float], max_children: int | None = None
    ) -> None:
        super().__init__(name, flags, random)
        self.max_children = max_children
        self._numbers = count(1)
        self._labels: set[str] = set()

    def boot(self) -> Plan[ExitReason | None]:
        yield from ()
        return None

    def start_child(self, spec: ChildSpec) -> Plan[Any]:
        """Start one more child; returns its ref, or None if it ignored.

        Nothing is kept of a failed start.
        """
        if self.max_children is not None and len(self.rows) >= self.max_children:
            raise MaxChildrenError(self.max_children)
        number = next(self._numbers)
        label = str(spec.id)
        child = Child(number, spec, label if label not in self._labels else f"{label}#{number}")
        outcome: Outcome = yield self._begin(child)
        match outcome:
            case Failed(reason):
                raise ChildStartError(spec.id, reason)
            case Started():
                self.rows[child.key] = child
                self._labels.add(child.label)
                self._run(child, outcome)
        return child.ref

    def has(self, ref: Any) -> bool:
        """Is `ref` a child, running or about to be restarted?"""
        return ref in self.by_ref or self._waiting(ref) is not None

    def find(self, ref: Any) -> Child:
        """The child that runs as `ref`, or ran so before it failed to restart."""
        child = self.by_ref.get(ref)
        if child is None:
            child = self._waiting(ref)
        if child is None:
            raise ChildNotFoundError(ref)
        return child

    def _waiting(self, ref: Any) -> Child | None:
        waiting = (row for row in self.rows.values() if row.state == "restarting" and row.last_ref == ref)
        return next(waiting, None)

    def terminate_child(self, ref: Any) -> Plan[None]:
        """Stop a child, or call off its restart, and forget it."""
        child = self.find(ref)
        yield from self._stop_one(child)
        self._forget(child)

    def _attempt(self, child: Child) -> Plan[None]:
        outcome: Outcome = yield self._begin(child)
        match outcome:
            case Started():
                child.restarts += 1
                self._run(child, outcome)
            case Ignored():
                self._end(child)
            case Failed(reason):
                yield from self._failed(child, reason)

    def _end(self, child: Child) -> None:
        self._down(child)
        self._forget(child)

    def _forget(self, child: Child) -> None:
        self.rows.pop(child.key, None)
        self._labels.discard(child.label)

    def _significant_left(self) -> bool:
        return any(child.spec.significant for child in self.rows.values())

    def stop(self) -> Plan[None]:
        """All at the same time, each by its own shutdown value."""
        for child, reason in (yield from self._stop_together()):
            yield self._report("shutdown_error", child, reason)

    def change(self, flags: SupervisorFlags, max_children: int | None) -> None:
        """Take new flags and limit; running children are left alone, even above the limit."""
        self.flags = flags
        self.max_children = max_children
        self.history.change(flags.intensity, flags.period)


class TemplateChildren(DynamicChildren):
    """simple_one_for_one: all children are made from one template, by arguments added to its own.

    Differs from a DynamicSupervisor as OTP does: `specs` is 1, a dead ref may be terminated, children that
    end badly in a parallel stop are reported once for each reason, under the template's id.  Where a
    restart ignores, the child is forgotten; OTP keeps a row with pid `undefined` and then fails to stop.
    """

    def __init__(self, name: str, flags: SupervisorFlags, template: ChildSpec, random: Callable[[], float]) -> None:
        super().__init__(name, flags, random)
        check_children(flags, (template,))
        self.template = template

    def find(self, ref: Any) -> Child:
        """As above; the template itself is found by its id."""
        if ref == self.template.id:
            return Child(ref, self.template, str(ref))
        return super().find(ref)

    def start_more(self, args: tuple[Any, ...]) -> Plan[Any]:
        """Start a child with `args` after the template's own arguments."""
        start = self.template.start
        return self.start_child(self.template.change(start=Start(start.target, start.args + args, start.kwargs)))

    def stop(self) -> Plan[None]:
        ended = yield from self._stop_together()
        unwanted = Counter(reason.summary() for _, reason in ended)
        template = Child(self.template.id, self.template, str(self.template.id))
        for reason, number in unwanted.items():
            yield self._report("shutdown_error", template, reason, count=number)

    def count_children(self) -> ChildCounts:
        size = len(self.rows)
        active = sum(1 for child in self.rows.values() if child.ref is not None)
        is_supervisor = self.template.type == "supervisor"
        return ChildCounts(1, active, size if is_supervisor else 0, 0 if is_supervisor else size)

    def change_template(self, flags: SupervisorFlags, template: ChildSpec) -> None:
        """Take new flags and a new template.

        Running children go on; their arguments are kept for restarts.
        """
        check_children(flags, (template,))
        self.template = template
        begin = template.start
        for child in self.rows.values():
            child.spec = template.change(start=Start(begin.target, child.spec.start.args, begin.kwargs))
        self.change(flags, self.max_children)
