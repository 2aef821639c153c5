"""The supervision tree as JSON-able data, read from what supervisors publish.  No actor is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from actors import ActorRef, Look, fenced, look
from supervision._base import BaseSupervisor
from supervision._dynamic import DynamicSupervisor
from supervision._dynamic_strategy import DynamicChildren
from supervision._published import supervisor_of
from supervision._table import Child, ChildTable

__all__ = ["Node", "absent_state", "find_node", "own_state", "state_of", "tree", "walk"]

Node: TypeAlias = dict[str, Any]
"""See `tree` for the keys."""


def tree(root: ActorRef[Any], *, stacks: bool = False) -> Node:
    """What is under `root` right now, without asking any actor: a deadlocked one is shown as it stands.

    Any thread.  Each node is consistent in itself; a tree that changes meanwhile may be seen half before and half
    after.

    A node has: path (ids joined by "/"), id, name (registered, or None), actor (its number, or None), kind
    (supervisor or worker), module, class, restart, significant, shutdown, state, restarts (how often its supervisor
    has restarted it), mailbox (messages that wait), handled, busy (None, or message, seconds and, with `stacks`,
    stack), uptime (seconds), last_exit (text, or None), children.  A supervisor also has strategy, dynamic,
    auto_shutdown, intensity, period, restarts_in_window.  An actor with a method `tree_metrics` (JSON-able dict,
    quick, callable from any thread) also has metrics.

    state: running; starting; stopping; suspended; crash-looping (it runs, and keeps dying of the identical crash);
    "restarting n of max"; terminated; fenced (dead for everybody, but code of it still runs and cannot be ended).
    """
    supervisor = supervisor_of(root)
    path = supervisor.path if supervisor is not None else str(root.name or root)
    node = _own(root, path, supervisor, stacks)
    if supervisor is not None:
        node["id"] = supervisor.name
        node["uptime"] = round(root.scheduler.clock.time() - supervisor.started_at, 6)
    return node


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, parents first."""
    yield node
    for child in node["children"]:
        yield from walk(child)


def find_node(node: Node, path: str) -> Node | None:
    """The node at `path`, or None."""
    return next((found for found in walk(node) if found["path"] == path), None)


def _own(ref: ActorRef[Any], path: str, supervisor: BaseSupervisor | None, stacks: bool) -> Node:
    """What an actor shows by itself, whoever supervises it."""
    seen = look(ref, stack=stacks)
    now = ref.scheduler.clock.time()
    busy = None
    if seen.message is not None:
        busy = {"message": seen.message, "seconds": None if seen.since is None else round(now - seen.since, 6)}
        if stacks:
            busy["stack"] = seen.stack
    node: Node = {
        "path": path,
        "id": path,
        "name": None if ref.name is None else str(ref.name),
        "actor": ref.id,
        "kind": "supervisor" if supervisor is not None else "worker",
        "module": ref.actor_class.__module__,
        "class": ref.actor_class.__qualname__,
        "restart": None,
        "significant": False,
        "shutdown": None,
        "state": own_state(ref, seen),
        "restarts": 0,
        "mailbox": seen.mailbox,
        "handled": seen.handled,
        "busy": busy,
        "uptime": None,
        "last_exit": None if ref.exit_reason is None else str(ref.scheduler.shown(ref.exit_reason)),
        "children": [],
    }
    shown = getattr(ref._process, "tree_metrics", None)
    if shown is not None:
        node["metrics"] = shown()
    table: ChildTable | None = getattr(supervisor, "table", None)
    if table is not None:
        node.update(_family(table, now, isinstance(supervisor, DynamicSupervisor)))
        rows = list(table.rows.values())  # one step for the interpreter: no row is added or removed meanwhile
        node["children"] = [_child(child, f"{path}/{child.label}", table, ref, now, stacks) for child in rows]
    return node


def _family(table: ChildTable, now: float, dynamic: bool) -> Node:
    flags = table.flags
    return {
        "strategy": flags.strategy,
        "dynamic": dynamic or isinstance(table, DynamicChildren),
        "auto_shutdown": flags.auto_shutdown,
        "intensity": flags.intensity,
        "period": flags.period,
        "restarts_in_window": table.history.count(now),
    }


def _child(child: Child, path: str, table: ChildTable, parent: ActorRef[Any], now: float, stacks: bool) -> Node:
    ref: ActorRef[Any] | None = child.ref
    spec = child.spec
    if ref is not None:
        node = _own(ref, path, supervisor_of(ref), stacks)
        node["uptime"] = round(max(0.0, now - child.since), 6)
    else:
        node = _absent(child, path)
    node.update(
        state=state_of(child, table, now, node["state"]),
        id=str(spec.id),
        kind=spec.type,
        restart=spec.restart,
        significant=spec.significant,
        shutdown=spec.shutdown,
        restarts=child.restarts,
        last_exit=None if child.last_exit is None else str(parent.scheduler.shown(child.last_exit)),
    )
    return node


def state_of(child: Child, table: ChildTable, now: float, own: str) -> str:
    """A child's state in words, from what its supervisor knows, and its `own` as it shows itself."""
    if child.state == "restarting":
        return f"restarting {table.history.count(now)} of {table.flags.intensity}"
    if child.state == "starting":
        return "starting"
    if own == "running" and _loops(child, table, now):
        return "crash-looping"
    return own


def own_state(ref: ActorRef[Any], seen: Look) -> str:
    """An actor's state in words, as it shows itself."""
    if seen.state == "dead":
        return "fenced" if fenced(ref) else "terminated"
    return seen.state


def absent_state(child: Child) -> str:
    """The state of a child that is not there."""
    last: ActorRef[Any] | None = child.last_ref
    return "fenced" if last is not None and fenced(last) else "terminated"


def _loops(child: Child, table: ChildTable, now: float) -> bool:
    crashes, flags = child.crashes, table.flags
    return crashes is not None and crashes.identical(now, flags.period) >= flags.deterministic_after


def _absent(child: Child, path: str) -> Node:
    return {
        "path": path,
        "id": str(child.spec.id),
        "name": None,
        "actor": None,
        "kind": child.spec.type,
        "module": child.spec.start.module,
        "class": child.spec.start.name,
        "restart": child.spec.restart,
        "significant": child.spec.significant,
        "shutdown": child.spec.shutdown,
        "state": absent_state(child),
        "restarts": child.restarts,
        "mailbox": 0,
        "handled": 0,
        "busy": None,
        "uptime": None,
        "last_exit": None,
        "children": [],
    }
