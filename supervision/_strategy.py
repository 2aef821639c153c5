"""one_for_one, one_for_all, rest_for_one: what happens to children that have ids and an order.

Follows `supervisor.erl` of OTP 25 clause by clause; see the methods for the laws that are easily missed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from actors import ExitReason, Shutdown
from supervision._errors import (
    ChildNotFoundError,
    ChildPresentError,
    ChildRestartingError,
    ChildRunningError,
    ChildStartedError,
    ChildStartError,
)
from supervision._reports import FailedToStartChild
from supervision._spec import ChildSpec, SupervisorFlags, check_children, check_significant
from supervision._table import Child, ChildTable, Failed, Ignored, Outcome, Plan, Started

__all__ = ["OrderedChildren"]


class OrderedChildren(ChildTable):
    """The children of a Supervisor, in start order.

    A row outlives its process, except for temporary children.
    """

    def __init__(
        self, name: str, flags: SupervisorFlags, specs: Iterable[ChildSpec], random: Callable[[], float]
    ) -> None:
        super().__init__(name, flags, random)
        specs = tuple(specs)
        check_children(flags, specs)
        self.rows = {spec.id: Child(spec.id, spec, str(spec.id)) for spec in specs}

    # ---- start and stop

    def boot(self) -> Plan[ExitReason | None]:
        """Start all in order.

        If one fails, those before it are stopped in reverse; the first start is never retried.
        """
        failure = yield from self._start_in_order(list(self.rows.values()))
        if failure is None:
            return None
        child, reason = failure
        yield self._report("start_error", child, reason)
        yield from self.stop()
        return Shutdown(FailedToStartChild(child.key, reason))

    def stop(self) -> Plan[None]:
        """One at a time, in reverse start order, each awaited before the next."""
        yield from self._stop_in_reverse(list(self.rows.values()))

    def _start_in_order(self, children: list[Child]) -> Plan[tuple[Child, ExitReason] | None]:
        for child in children:
            outcome: Outcome = yield self._begin(child)
            match outcome:
                case Started():
                    self._run(child, outcome)
                case Ignored():
                    self._down(child)
                    if child.spec.restart == "temporary":
                        del self.rows[child.key]
                case Failed(reason):
                    return child, reason
        return None

    def _stop_in_reverse(self, children: list[Child]) -> Plan[None]:
        for child in reversed(children):
            yield from self._stop_one(child)
            if child.spec.restart == "temporary":
                del self.rows[child.key]

    # ---- restarts

    def _group(self, child: Child) -> list[Child]:
        """Whom a restart of `child` concerns, in start order."""
        match self.flags.strategy:
            case "one_for_all":
                return list(self.rows.values())
            case "rest_for_one":
                later = []
                for other in reversed(self.rows.values()):
                    later.append(other)
                    if other is child:
                        break
                return later[::-1]
        return [child]

    def _hold(self, child: Child) -> Plan[None]:
        yield from self._stop_in_reverse(self._group(child))

    def _attempt(self, child: Child) -> Plan[None]:
        """Stop the group in reverse, start it in order.

        Temporary siblings are gone for good; siblings that were down come back.  Where a start fails, the
        children before it stay up and those after it stay down, until the retry, which begins with the
        child that failed.
        """
        group = self._group(child)
        if len(group) == 1:
            yield from self._attempt_one(child)
            return
        yield from self._stop_in_reverse(group)
        group = [other for other in group if other.spec.restart != "temporary"]
        before = [(other, other.last_ref) for other in group]
        failure = yield from self._start_in_order(group)
        for other, last_ref in before:
            if other.last_ref is not last_ref:
                other.restarts += 1
        if failure is not None:
            yield from self._failed(*failure)

    def _attempt_one(self, child: Child) -> Plan[None]:
        outcome: Outcome = yield self._begin(child)
        match outcome:
            case Started():
                child.restarts += 1
                self._run(child, outcome)
            case Ignored():
                self._down(child)
            case Failed(reason):
                yield from self._failed(child, reason)

    def _end(self, child: Child) -> None:
        self._down(child)
        if child.spec.restart == "temporary":
            del self.rows[child.key]

    def _significant_left(self) -> bool:
        return any(child.spec.significant and child.state != "down" for child in self.rows.values())

    # ---- calls

    def find(self, child: Any) -> Child:
        """By id, or by the ref of a running child.  Raises ChildNotFoundError."""
        row = self.rows.get(child) or self.by_ref.get(child)
        if row is None:
            raise ChildNotFoundError(child)
        return row

    def start_child(self, spec: ChildSpec) -> Plan[Any]:
        """Add a child at the end; returns its ref, or None if it ignored.  A failed start leaves nothing."""
        check_significant(self.flags, spec)
        present = self.rows.get(spec.id)
        if present is not None:
            if present.ref is not None:
                raise ChildStartedError(spec.id, present.ref)
            raise ChildPresentError(spec.id)
        child = Child(spec.id, spec, str(spec.id))
        outcome: Outcome = yield self._begin(child)
        match outcome:
            case Failed(reason):
                raise ChildStartError(spec.id, reason)
            case Ignored():
                self._down(child)
                if spec.restart != "temporary":
                    self.rows[spec.id] = child
            case Started():
                self.rows[spec.id] = child
                self._run(child, outcome)
        return child.ref

    def terminate_child(self, child_id: Any) -> Plan[None]:
        """Stop a child and keep its spec, unless it is temporary.  Calls off a restart.  Idempotent."""
        child = self.find(child_id)
        child.in_a_row = 0
        yield from self._stop_one(child)
        if child.spec.restart == "temporary":
            del self.rows[child.key]

    def restart_child(self, child_id: Hashable) -> Plan[Any]:
        """Start a child that is down; returns its ref.  A failed start is not retried and not counted."""
        child = self._only_down(child_id)
        outcome: Outcome = yield self._begin(child)
        self._down(child)
        match outcome:
            case Failed(reason):
                raise ChildStartError(child_id, reason)
            case Started():
                self._run(child, outcome)
        return child.ref

    def delete_child(self, child_id: Hashable) -> None:
        """Forget a child that is down."""
        child = self._only_down(child_id)
        del self.rows[child.key]

    def _only_down(self, child_id: Hashable) -> Child:
        child = self.find(child_id)
        if child.ref is not None:
            raise ChildRunningError(child_id)
        if child.state == "restarting":
            raise ChildRestartingError(child_id)
        return child

    # ---- hot change

    def change(self, flags: SupervisorFlags, specs: Iterable[ChildSpec]) -> None:
        """Take new flags and specs; nothing is started or stopped (`supervisor:code_change/3`).

        Known children keep their process and take the new spec; new ones are listed and down; those no
        longer listed are kept, at the end of the order.  The restart history is kept.  Raises SpecError and
        changes nothing then.
        """
        specs = tuple(specs)
        check_children(flags, specs)
        rows: dict[Hashable, Child] = {}
        for spec in specs:
            child = self.rows.get(spec.id)
            if child is None:
                child = Child(spec.id, spec, str(spec.id))
            else:
                child.spec = spec
            rows[spec.id] = child
        for key, child in self.rows.items():
            rows.setdefault(key, child)
        self.rows = rows
        self.flags = flags
        self.history.change(flags.intensity, flags.period)
