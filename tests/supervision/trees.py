"""Random trees and actions, in the language of the recordings."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

REASONS = ["normal", "shutdown", {"shutdown": "done"}, "boom", "killed"]
OUTCOMES = ["ok", "error", "error", "ignore", "raise"]
BEHAVIORS = ["plain", "plain", "trap", "trap_normal", "trap_crash"]


@st.composite
def workers(draw: st.DrawFn, name: str, auto: str = "never") -> dict[str, Any]:
    restart = draw(st.sampled_from(["permanent", "transient", "temporary"]))
    node: dict[str, Any] = {
        "id": name,
        "type": "worker",
        "restart": restart,
        "shutdown": draw(st.sampled_from([1000, "infinity", "brutal_kill"])),
        "behavior": draw(st.sampled_from(BEHAVIORS)),
    }
    if draw(st.integers(0, 9)) == 0:
        node |= {"behavior": "stubborn", "shutdown": "brutal_kill"}
    if (plan := draw(plans())) is not None:
        node["start_plan"] = plan
    if auto != "never" and restart != "permanent":
        node["significant"] = draw(st.booleans())
    return node


@st.composite
def plans(draw: st.DrawFn) -> list[str] | None:
    """What the start function does, call by call; a plan rarely lets the first start fail."""
    if draw(st.integers(0, 2)):
        return None
    first = draw(st.sampled_from(["ok"] * 9 + OUTCOMES))
    return [first, *draw(st.lists(st.sampled_from(OUTCOMES), max_size=4))]


@st.composite
def supervisors(draw: st.DrawFn, name: str = "root", depth: int = 2, auto: str = "never") -> dict[str, Any]:
    own = draw(st.sampled_from(["never", "never", "any_significant", "all_significant"]))
    children = []
    for n in range(draw(st.integers(0 if depth < 2 else 1, 4))):
        child = f"{name}.{n}" if name != "root" else f"{n}"
        if depth and draw(st.integers(0, 2)) == 0:
            children.append(draw(supervisors(f"s{child}", depth - 1, own)))
        else:
            children.append(draw(workers(f"w{child}", own)))
    node: dict[str, Any] = {
        "id": name,
        "type": "supervisor",
        "strategy": draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])),
        "intensity": draw(st.integers(0, 5)),
        "period": 3600,
        "auto_shutdown": own,
        "restart": draw(st.sampled_from(["permanent", "transient", "temporary"])),
        "shutdown": draw(st.sampled_from(["infinity", "infinity", "infinity", "brutal_kill"])),
        "children": children,
    }
    if name != "root" and (plan := draw(plans())) is not None:
        node["start_plan"] = plan
    if auto != "never" and node["restart"] != "permanent":
        node["significant"] = draw(st.booleans())
    return node


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The node and all below it."""
    return [node] + [each for child in node.get("children", ()) for each in nodes(child)]


class Names:
    """Who may be named in an action on a tree: those declared in it, and those that may be added to it later."""

    def __init__(self, tree: dict[str, Any]) -> None:
        declared = nodes(tree)
        added = [f"s+{node['id']}" for node in declared if node["type"] == "supervisor"]
        self.supervisors = [node["id"] for node in declared if node["type"] == "supervisor"] + added
        self.children = {node["id"]: [each["id"] for each in node.get("children", ())] for node in declared}
        for name in self.supervisors:
            self.children[name] = [*self.children.get(name, ()), f"w+{name}", f"v+{name}", f"s+{name}"]
        below = {name for names in self.children.values() for name in names}
        self.workers = sorted(below - set(self.supervisors))
        self.auto = {node["id"]: node.get("auto_shutdown", "never") for node in declared}


@st.composite
def calls(draw: st.DrawFn, names: Names, sup: str) -> dict[str, Any]:
    """A call of a supervisor's interface."""
    asked = ["which_children", "count_children", "get_childspec"]
    op = draw(st.sampled_from(["terminate_child", "restart_child", "delete_child", "start_child"] * 3 + asked))
    if op in asked[:2]:
        return {"op": op, "sup": sup}
    name = draw(st.sampled_from(names.children[sup]))
    if op != "start_child":
        return {"op": op, "sup": sup, "id": name}
    auto = draw(st.sampled_from([names.auto.get(sup, "never")] * 5 + ["any_significant"]))
    if name[0] == "s":
        child = draw(supervisors(name, 0, auto))
        for worker in child["children"]:
            worker["id"] = f"w+{name}" if worker is child["children"][0] else f"{name}/{worker['id']}"
    else:
        child = draw(workers(name, auto))
    return {"op": op, "sup": sup, "child": child}


@st.composite
def actions(draw: st.DrawFn, tree: dict[str, Any]) -> dict[str, Any]:
    """One action on a tree."""
    names = Names(tree)
    reason = st.sampled_from(REASONS)
    ops = ["crash"] * 6 + ["kill", "exit_signal", "crash_batch", "crash_batch"] + ["call"] * 8 + ["stop", "rare"]
    op = draw(st.sampled_from(ops))
    if op == "rare":
        op = draw(st.sampled_from(["kill_supervisor", "parent_exit", "kill_supervisor"]))
    if op == "crash":
        return {"op": op, "id": draw(st.sampled_from(names.workers)), "reason": draw(reason)}
    if op == "exit_signal":
        everybody = [*names.workers, *names.supervisors]
        return {"op": op, "id": draw(st.sampled_from(everybody)), "reason": draw(reason)}
    if op == "kill":
        return {"op": op, "id": draw(st.sampled_from(names.workers))}
    if op == "kill_supervisor":
        return {"op": "kill", "id": draw(st.sampled_from(names.supervisors))}
    if op == "parent_exit":
        return {"op": op, "reason": draw(reason)}
    sup = draw(st.sampled_from(names.supervisors))
    if op == "stop":
        return {"op": op, "id": sup, "reason": draw(st.sampled_from(["normal", "shutdown", "boom"]))}
    if op == "call":
        return draw(calls(names, sup))
    mine = [name for name in names.children[sup] if name in names.workers]
    victims = draw(st.lists(st.sampled_from(mine), min_size=1, max_size=3, unique=True))
    return {"op": op, "sup": sup, "crashes": [[name, draw(reason)] for name in victims]}
