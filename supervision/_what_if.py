"""What a crash would do: the pure decision, run on a snapshot of the tree."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

from actors import Crash, ExitReason, Killed, Shutdown
from supervision._dynamic_strategy import DynamicChildren
from supervision._spec import ChildSpec, SupervisorFlags
from supervision._strategy import OrderedChildren
from supervision._table import Child, ChildTable, Started, StartStep, StopAllStep, StopStep
from supervision._tree import Node, find_node, walk

__all__ = ["Consequence", "WhatIf", "what_if"]


@dataclass(frozen=True, slots=True)
class Consequence:
    """`crashes` (by itself), `is stopped` or `is started`, or a supervisor `gives up`: in the order in which they
    happen.
    """

    what: Literal["crashes", "is stopped", "is started", "gives up"]
    path: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What happens after all starts succeed at once and all stops go well."""

    consequences: tuple[Consequence, ...]
    root_ends: bool = False
    """True if the crash goes all the way up: nothing of the tree is left."""

    @property
    def stopped(self) -> tuple[str, ...]:
        """The paths of those that are stopped though nothing is wrong with them, in order."""
        return tuple(item.path for item in self.consequences if item.what == "is stopped")

    @property
    def restarted(self) -> tuple[str, ...]:
        """The paths of those that are started again, in order."""
        return tuple(item.path for item in self.consequences if item.what == "is started")

    def __str__(self) -> str:
        end = ["the whole tree ends"] if self.root_ends else []
        return "\n".join([*map(str, self.consequences), *end])


def what_if(tree: Node, path: str, reason: ExitReason | None = None) -> WhatIf:
    """Which children a crash at `path` with `reason` (a `Crash` if not given) would stop and restart, in order.

    Runs the decision that the supervisors run, with the restarts that they have counted.  KeyError: no such path.
    """
    node = find_node(tree, path)
    if node is None:
        raise KeyError(f"there is no {path!r} in this tree: take a path that tree() shows")
    trace = [Consequence("crashes", path)]
    if node["kind"] == "supervisor":
        trace += [Consequence("is stopped", below["path"]) for below in _in_stop_order(node)][:-1]
    return _exits(tree, path, reason if reason is not None else Crash("what if"), trace)


def _exits(tree: Node, path: str, reason: ExitReason, trace: list[Consequence]) -> WhatIf:
    parent = _parent(tree, path)
    if parent is None:
        return WhatIf(tuple(trace), root_ends=True)
    table = _rebuild(parent, path)
    verdict = _run(table.exited(path, reason, 0.0), parent, trace)
    if verdict is None:
        return WhatIf(tuple(trace))
    trace.append(Consequence("gives up", parent["path"]))
    _run(table.stop(), parent, trace)
    return _exits(tree, parent["path"], Shutdown(), trace)


def _parent(tree: Node, path: str) -> Node | None:
    for node in walk(tree):
        if any(child["path"] == path for child in node["children"]):
            return node
    return None


def _rebuild(parent: Node, crashed: str) -> ChildTable:
    """The supervisor's table as the snapshot shows it; a child's path stands for its ref."""
    flags = SupervisorFlags(
        "one_for_one" if parent["dynamic"] else parent["strategy"],
        parent["intensity"],
        parent["period"],
        parent["auto_shutdown"],
    )
    rows = [Child(node["path"], _spec(node), node["path"]) for node in parent["children"]]
    table: ChildTable
    if parent["dynamic"]:
        table = DynamicChildren(parent["path"], flags, lambda: 0.0)
    else:
        table = OrderedChildren(parent["path"], flags, [row.spec for row in rows], lambda: 0.0)
    table.rows = {row.key: row for row in rows}
    for _ in range(parent["restarts_in_window"]):
        table.history.add(0.0)
    for row, node in zip(rows, parent["children"], strict=True):
        if node["state"].startswith("restarting"):
            row.state = "restarting"
        if (node["actor"] is not None and node["state"] not in ("terminated", "fenced")) or row.key == crashed:
            table._run(row, Started(node["path"], 0.0))
    return table


def _spec(node: Node) -> ChildSpec:
    return ChildSpec(node["path"], _nothing, node["restart"], node["shutdown"], node["kind"], bool(node["significant"]))


def _nothing() -> None:
    """Stands for a start function, and is never called."""


def _run(plan: Generator[Any, Any, Any], parent: Node, trace: list[Consequence]) -> Any:
    nodes = {node["path"]: node for node in parent["children"]}
    outcome: Any = None
    while True:
        try:
            step = plan.send(outcome)
        except StopIteration as end:
            return end.value
        outcome = None
        match step:
            case StartStep(child):
                trace += [Consequence("is started", path) for path in _in_start_order(nodes[child.label])]
                outcome = Started(child.label, 0.0)
            case StopStep(child):
                trace += [Consequence("is stopped", below["path"]) for below in _in_stop_order(nodes[child.label])]
                outcome = _wanted(child)
            case StopAllStep(children):
                for child in children:
                    trace += [Consequence("is stopped", below["path"]) for below in _in_stop_order(nodes[child.label])]
                outcome = [_wanted(child) for child in children]


def _wanted(child: Child) -> ExitReason:
    return Killed() if child.spec.shutdown == "brutal_kill" else Shutdown()


def _in_stop_order(node: Node) -> list[Node]:
    """A node that stops: what runs below it in reverse, then itself."""
    below = [each for child in reversed(node["children"]) if child["actor"] for each in _in_stop_order(child)]
    return [*below, node]


def _in_start_order(node: Node) -> list[str]:
    """A node that starts: itself, then what is below it from the beginning; dynamic children are lost."""
    children = [] if node.get("dynamic") else node["children"]
    return [node["path"], *(path for child in children for path in _in_start_order(child))]
