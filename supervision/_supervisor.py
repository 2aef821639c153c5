"""The supervisor of children that are listed in its spec, or made from a template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from actors import ActorRef, Normal, Scheduler, StartError
from supervision._base import BaseSupervisor
from supervision._dynamic_strategy import TemplateChildren
from supervision._errors import SpecError, TemplateError
from supervision._messages import (
    ChangeFlags,
    ChangeSpec,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    StartMore,
    TerminateChild,
)
from supervision._spec import ChildSpec, SupervisorFlags, SupervisorSpec
from supervision._strategy import OrderedChildren
from supervision._table import ChildTable

__all__ = ["Supervisor"]


class Supervisor(BaseSupervisor):
    """one_for_one, one_for_all, rest_for_one over a list of children; simple_one_for_one over a template.

    `Supervisor.start_link(spec)` starts it with its children, and those of supervisors below; the reply is
    there when the last one has started, and is a StartError if one did not: what had started is stopped
    then.
    """

    table: OrderedChildren | TemplateChildren

    def __init__(self, spec: SupervisorSpec) -> None:
        super().__init__(spec.id)
        self.spec = spec

    @classmethod
    def start_tree(cls, spec: SupervisorSpec, *, scheduler: Scheduler | None = None, name: Any = None) -> ActorRef[Any]:
        """Start a whole tree and wait for it: in a thread or a fiber; elsewhere `await
        Supervisor.start_link(spec)`.

        Raises:
            StartError: a child did not start; its `reason` says which and why.
        """
        kind: Any = spec.supervisor_class or cls
        ref = kind.with_options(scheduler=scheduler, name=name, link=True).start_wait(spec).get()
        if ref is None:
            raise StartError(kind, Normal())
        found: ActorRef[Any] = ref
        return found

    def init(self) -> SupervisorSpec:
        """The flags and children to begin with, and to take at a ChangeSpec without a spec (OTP's
        `init/1`).
        """
        return self.spec

    def _make_table(self) -> ChildTable:
        spec = self.init()
        random = self.scheduler.rng.random
        if spec.flags.strategy == "simple_one_for_one":
            return TemplateChildren(self.path, spec.flags, spec.children[0], random)
        return OrderedChildren(self.path, spec.flags, spec.children, random)

    # ---- calls

    def _start_child(self, message: StartChild) -> Any:
        if isinstance(self.table, TemplateChildren):
            raise TemplateError("start_child")
        return self._drive(self.table.start_child(message.spec))

    def _start_more(self, message: StartMore) -> Any:
        if not isinstance(self.table, TemplateChildren):
            raise SpecError("strategy", self.table.flags.strategy, "simple_one_for_one to start from a template")
        return self._drive(self.table.start_more(message.args))

    def _terminate_child(self, message: TerminateChild) -> Any:
        if isinstance(self.table, TemplateChildren):
            ref = message.child
            if not isinstance(ref, ActorRef):
                raise TemplateError("terminate_child")
            if not self.table.has(ref) and not ref.is_alive():
                return None
        return self._drive(self.table.terminate_child(message.child))

    def _restart_child(self, message: RestartChild) -> Any:
        return self._drive(self._with_ids("restart_child").restart_child(message.child))

    def _delete_child(self, message: DeleteChild) -> Any:
        self._with_ids("delete_child").delete_child(message.child)

    def _get_child_spec(self, message: GetChildSpec) -> ChildSpec:
        return self.table.find(message.child).spec

    def _with_ids(self, call: str) -> OrderedChildren:
        if isinstance(self.table, TemplateChildren):
            raise TemplateError(call)
        return self.table

    def _change_spec(self, message: ChangeSpec) -> None:
        spec = message.spec if message.spec is not None else self.init()
        self._change(spec.flags, spec.children)
        self.spec = spec

    def _change_flags(self, message: ChangeFlags) -> None:
        flags = self.table.flags.change(**message.changes)
        if isinstance(self.table, TemplateChildren):
            self._change(flags, (self.table.template,))
        else:
            self._change(flags, [child.spec for child in self.table.rows.values()])

    def _change(self, flags: SupervisorFlags, children: Any) -> None:
        template = isinstance(self.table, TemplateChildren)
        if (flags.strategy == "simple_one_for_one") != template:
            raise SpecError("strategy", flags.strategy, "of the same family as before; start another supervisor")
        if isinstance(self.table, TemplateChildren):
            self.table.change_template(flags, children[0])
        else:
            self.table.change(flags, children)

    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {
        **BaseSupervisor._HANDLERS,
        StartChild: _start_child,
        StartMore: _start_more,
        TerminateChild: _terminate_child,
        RestartChild: _restart_child,
        DeleteChild: _delete_child,
        GetChildSpec: _get_child_spec,
        ChangeSpec: _change_spec,
        ChangeFlags: _change_flags,
    }
