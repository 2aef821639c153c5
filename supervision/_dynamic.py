"""DynamicSupervisor: children that are started and stopped by call, thousands of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ClassVar

from supervision._base import BaseSupervisor
from supervision._dynamic_strategy import DynamicChildren
from supervision._errors import SpecError
from supervision._messages import ChangeFlags, GetChildSpec, StartChild, TerminateChild
from supervision._spec import ChildSpec, SupervisorFlags
from supervision._table import ChildTable

__all__ = ["DynamicSupervisor"]


class DynamicSupervisor(BaseSupervisor):
    """Starts with no children; `start_child` adds one, `terminate_child(sup, ref)` takes it away (Elixir's module).

    Always one_for_one.  Children need no unique ids.  A child that ended for good is forgotten, as is one whose restart
    ignores.  `max_children` counts those that run and those that are being restarted.  `extra_arguments` are put before
    the arguments of each child.  Stops all children at the same time, each by its own shutdown value.
    """

    table: DynamicChildren

    def __init__(
        self,
        id: Hashable = "dynamic",
        *,
        max_children: int | None = None,
        extra_arguments: tuple[Any, ...] = (),
        **flags: Any,
    ) -> None:
        super().__init__(id)
        self.flags = SupervisorFlags().change(**flags)
        self.max_children = _limit(max_children)
        self.extra_arguments = tuple(extra_arguments)
        if self.flags.strategy != "one_for_one":
            raise SpecError("strategy", self.flags.strategy, "one_for_one in a DynamicSupervisor")
        if self.flags.auto_shutdown != "never":
            raise SpecError("auto_shutdown", self.flags.auto_shutdown, "never in a DynamicSupervisor")

    def _make_table(self) -> ChildTable:
        return DynamicChildren(self.path, self.flags, self.scheduler.rng.random, self.max_children)

    def _arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return self.extra_arguments + args if self.extra_arguments else args

    def _start_child(self, message: StartChild) -> Any:
        return self._drive(self.table.start_child(message.spec))

    def _terminate_child(self, message: TerminateChild) -> Any:
        return self._drive(self.table.terminate_child(message.child))

    def _get_child_spec(self, message: GetChildSpec) -> ChildSpec:
        return self.table.find(message.child).spec

    def _change_flags(self, message: ChangeFlags) -> None:
        changes = dict(message.changes)
        limit = _limit(changes.pop("max_children", self.table.max_children))
        flags = self.table.flags.change(**changes)
        if flags.strategy != "one_for_one":
            raise SpecError("strategy", flags.strategy, "one_for_one in a DynamicSupervisor")
        self.table.change(flags, limit)

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {
        **BaseSupervisor._HANDLERS,
        StartChild: _start_child,
        TerminateChild: _terminate_child,
        GetChildSpec: _get_child_spec,
        ChangeFlags: _change_flags,
    }


def _limit(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise SpecError("max_children", value, "a whole number from 0 up, or None for no limit")
