"""The pure core in a simulated world: processes that live in a dictionary, no actors, no time.

Every plan is driven to its end step by step, as the supervisor actor does; what a real process would do upon an exit
signal is simulated.  Replaying the recordings here tests the decisions without the machinery.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from typing import Any

from actors import Crash, ExitReason, Killed, Normal, Shutdown
from supervision import ChildSpec, SpecError, SupervisionError, SupervisorFlags
from supervision._dynamic_strategy import TemplateChildren
from supervision._strategy import OrderedChildren
from supervision._table import (
    Child,
    ChildTable,
    Emit,
    Failed,
    Ignored,
    Outcome,
    Retry,
    Started,
    StartStep,
    StopAllStep,
    StopStep,
)

from .scenario import Step, flags_of, milliseconds, reason_of, seconds, told, told_error, told_spec


class RaisedError(Exception):
    """What a start function with the plan entry `raise` raises."""


class OutOfTime(Exception):
    """The time that a supervisor was given for its own stop is over."""

    def __init__(self, process: Process) -> None:
        self.process = process


class Process:
    """A simulated process."""

    def __init__(self, node: dict[str, Any], name: str, number: int, parent: Process | None) -> None:
        self.node = node
        self.name = name
        self.number = number
        self.parent = parent
        self.alive = True
        self.reason: ExitReason | None = None
        self.core: ChildTable | None = None
        self.children: list[Process] = []


def end_of(behavior: str, reason: ExitReason) -> ExitReason | None:
    """How a worker ends upon an exit signal, None if it does not."""
    match behavior:
        case "plain":
            return None if reason == Normal() else reason
        case "trap":
            return reason
        case "trap_normal":
            return Normal()
        case "trap_crash":
            return Crash("cleanup_failed")
    return None


class World:
    """Plays the actions of one scenario."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree
        self.counts: dict[str, int] = {}
        self.plans: dict[str, list[str]] = {}
        self.living: dict[str, Process] = {}
        self.seen: set[str] = set()
        self.mail: deque[tuple[Process, tuple[Any, ...]]] = deque()
        self.gate: list[dict[str, Any]] | None = None
        self.results: list[Any] = []
        self.now = 0.0
        self.limits: list[tuple[float, Process]] = []
        self.step = Step()
        self.last_dynamic: dict[str, Process] = {}

    # ---- the simulation

    def spec_of(self, node: dict[str, Any]) -> ChildSpec:
        return ChildSpec(
            node["id"],
            (self.spawn, (node,)),
            node["restart"],
            seconds(node["shutdown"]),
            node["type"],
            node.get("significant", False),
        )

    def spawn(self, node: dict[str, Any], *args: Any, parent: Process | None) -> Outcome:
        name = args[0] if args else node["id"]
        number = self.counts[name] = self.counts.get(name, 0) + 1
        plan = self.plans.get(name, []) if args else node.get("start_plan", [])
        what = plan[number - 1] if number <= len(plan) else "ok"
        self.step.events.append(["start", name, number, "error" if what == "gate_error" else what])
        if what == "gate_error" and self.gate is not None:
            gate, self.gate = self.gate, None
            for action in gate:
                self.results.append(None)
                self.act(action, len(self.results) - 1)
        if what in ("error", "gate_error"):
            return Failed(Crash("start_failed"))
        if what == "raise":
            return Failed(Crash("RaisedError", "start_failed"))
        if what == "ignore":
            return Ignored()
        process = Process(node, name, number, parent)
        self.seen.add(name)
        if node["type"] == "supervisor":
            reason = self.init(process)
            if reason is not None:
                self.ended(process, reason)
                return Failed(reason)
        self.living[name] = process
        if parent is not None:
            parent.children.append(process)
        return Started(process, self.now)

    def init(self, process: Process) -> ExitReason | None:
        node = process.node
        try:
            flags = SupervisorFlags(**flags_of(node))
            specs = [self.spec_of(child) for child in node["children"]]
            if flags.strategy == "simple_one_for_one":
                process.core = TemplateChildren(node["id"], flags, specs[0], lambda: 0.0)
            else:
                process.core = OrderedChildren(node["id"], flags, specs, lambda: 0.0)
        except SpecError as error:
            return Crash.of(error)
        self.seen.add(process.name)
        return self.run(process, process.core.boot())

    def run(self, process: Process, plan: Generator[Any, Any, Any]) -> Any:
        outcome: Any = None
        while True:
            try:
                step = plan.send(outcome)
            except StopIteration as stop:
                return stop.value
            match step:
                case StartStep(child):
                    start = child.spec.start
                    outcome = start.target(*start.args, parent=process)
                case StopStep(child):
                    outcome = self.stop_child(child)
                case StopAllStep(children):
                    outcome = [self.stop_child(child) for child in children]
                case Emit(report):
                    child_name = report.ref.name if report.ref is not None else report.child
                    self.step.reports.append([report.supervisor, report.context, child_name, told(report.reason)])
                    outcome = None
                case Retry(key, ticket, delay):
                    assert delay == 0
                    self.mail.append((process, ("retry", key, ticket)))
                    outcome = None

    def stop_child(self, child: Child) -> ExitReason:
        process: Process = child.ref
        if process.reason is not None:
            return process.reason
        shutdown = child.spec.shutdown
        if shutdown == "brutal_kill":
            self.kill(process)
        elif process.core is not None:
            if isinstance(shutdown, float):
                self.limits.append((self.now + shutdown, process))
            try:
                self.terminate(process, Shutdown())
            except OutOfTime as over:
                if over.process is not process:
                    raise
                self.kill(process)
            finally:
                if isinstance(shutdown, float):
                    self.limits.pop()
        else:
            reason = end_of(process.node["behavior"], Shutdown())
            if reason is not None:
                self.ended(process, reason)
            else:
                kill_at = self.now + shutdown if isinstance(shutdown, float) else math.inf
                first = min(self.limits, key=lambda limit: limit[0], default=None)
                if first is not None and first[0] < kill_at:
                    self.now = first[0]
                    raise OutOfTime(first[1])
                assert kill_at < math.inf, "nobody ever ends this one"
                self.now = kill_at
                self.kill(process)
        assert process.reason is not None
        return process.reason

    def terminate(self, process: Process, reason: ExitReason) -> None:
        assert process.core is not None
        self.run(process, process.core.stop())
        self.ended(process, reason)

    def ended(self, process: Process, reason: ExitReason) -> None:
        """The process has ended: its links are told."""
        process.alive = False
        process.reason = reason
        if self.living.get(process.name) is process:
            del self.living[process.name]
        self.step.events.append(["exit", process.name, process.number, told(reason)])
        if process.parent is not None:
            self.mail.append((process.parent, ("exit", process, reason)))

    def kill(self, process: Process) -> None:
        orphans = [child for child in process.children if child.alive]
        self.ended(process, Killed())
        for orphan in orphans:
            if orphan.alive:
                self.signal(orphan, Killed())

    def signal(self, process: Process, reason: ExitReason) -> None:
        """An exit signal over the link from the parent."""
        if process.core is not None:
            self.terminate(process, reason)
        elif (end := end_of(process.node["behavior"], reason)) is not None:
            self.ended(process, end)

    def settle(self) -> None:
        while self.mail:
            process, message = self.mail.popleft()
            if process.alive:
                self.handle(process, message)
            elif message[0] == "call":
                self.results[message[2]] = {"exit": "noproc"}

    def handle(self, process: Process, message: tuple[Any, ...]) -> None:
        core = process.core
        assert core is not None
        verdict: ExitReason | None = None
        match message:
            case ("exit", other, reason):
                if other in process.children:
                    process.children.remove(other)
                verdict = self.run(process, core.exited(other, reason, self.now))
            case ("retry", key, ticket):
                verdict = self.run(process, core.retry(key, ticket, self.now))
            case ("stop", reason, slot):
                verdict = reason
                self.results[slot] = "ok"
            case ("call", action, slot):
                self.results[slot] = self.call(process, action)
        if verdict is not None:
            self.terminate(process, verdict)

    # ---- actions

    def call(self, process: Process, action: dict[str, Any]) -> Any:
        core: Any = process.core
        name = action.get("id")
        template = isinstance(core, TemplateChildren)
        try:
            match action["op"]:
                case "which_children":
                    return self.children_of(core)
                case "count_children":
                    counts = core.count_children()
                    return [counts.specs, counts.active, counts.supervisors, counts.workers]
                case "get_childspec":
                    return told_spec(core.find(name).spec)
                case "start_child":
                    ref = self.run(process, core.start_child(self.spec_of(action["child"])))
                case "start_dynamic":
                    if "start_plan" in action:
                        self.plans[name] = action["start_plan"]
                    ref = self.run(process, core.start_more((name,)))
                    if ref is not None:
                        self.last_dynamic[name] = ref
                case _ if template and action["op"] != "terminate_child":
                    return {"error": "simple_one_for_one"}
                case "terminate_child" if template:
                    self.terminate_dynamic(process, core, name)
                    return "ok"
                case "terminate_child" | "terminate_child_raw":
                    self.run(process, core.terminate_child(name))
                    return "ok"
                case "restart_child":
                    ref = self.run(process, core.restart_child(name))
                case "delete_child":
                    core.delete_child(name)
                    return "ok"
        except SupervisionError as error:
            return told_error(error)
        return "ok_undefined" if ref is None else "ok_pid"

    def terminate_dynamic(self, process: Process, core: TemplateChildren, name: Any) -> None:
        latest = self.last_dynamic[name]
        for child in core.rows.values():
            if child.last_ref is not None and child.last_ref.name == name:
                latest = child.last_ref
        if latest in core.by_ref or latest.alive:
            self.run(process, core.terminate_child(latest))

    def children_of(self, core: ChildTable) -> list[Any]:
        infos = [
            [info.last_ref.name if isinstance(core, TemplateChildren) else info.id, info.state]
            for info in core.which_children()
        ]
        return sorted(infos) if isinstance(core, TemplateChildren) else infos

    def play(self, action: dict[str, Any]) -> Step:
        """One action, and all that follows from it."""
        self.step = Step()
        if action["op"] == "start_tree":
            outcome = self.spawn(self.tree, parent=None)
            self.step.result = {"error": told(outcome.reason)} if isinstance(outcome, Failed) else "ok_pid"
        elif action["op"] == "crash_batch":
            if action["sup"] in self.living:
                self.step.result = [self.crash(name, reason_of(why)) for name, why in action["crashes"]]
            else:
                self.step.result = "no_target"
        elif action["op"] == "crash_gated":
            self.gate, self.results = action["queued"], []
            crashed = self.crash(action["id"], reason_of(action["reason"]))
            self.settle()
            self.step.result = self.results if crashed == "ok" else crashed
        else:
            self.results = [None]
            self.act(action, 0)
            self.settle()
            self.step.result = self.results[0]
        self.settle()
        for name, process in self.living.items():
            if process.core is not None:
                counts = process.core.count_children()
                self.step.after[name] = {
                    "children": self.children_of(process.core),
                    "count": [counts.specs, counts.active, counts.supervisors, counts.workers],
                }
        return self.step

    def crash(self, name: str, reason: ExitReason) -> str:
        process = self.living.get(name)
        if process is None:
            return "no_target"
        self.ended(process, reason)
        return "ok"

    def act(self, action: dict[str, Any], slot: int) -> None:
        target = action["sup"] if "sup" in action else action.get("id", self.tree["id"])
        process = self.living.get(target)
        if process is None:
            is_call = "sup" in action and target in self.seen
            self.results[slot] = {"exit": "noproc"} if is_call else "no_target"
            return
        self.results[slot] = "ok"
        match action["op"]:
            case "crash":
                self.crash(action["id"], reason_of(action["reason"]))
            case "kill":
                self.kill(process)
            case "exit_signal" | "parent_exit" if action["reason"] == "kill":
                self.kill(process)
            case "exit_signal" if process.core is None:
                end = end_of(process.node["behavior"], reason_of(action["reason"]))
                if end is not None:
                    self.ended(process, end)
            case "parent_exit":
                self.terminate(process, reason_of(action["reason"]))
            case "stop":
                self.mail.append((process, ("stop", reason_of(action["reason"]), slot)))
            case "sleep":
                self.now += action["ms"] / 1000
            case _ if "sup" in action:
                self.mail.append((process, ("call", action, slot)))


__all__ = ["World", "milliseconds"]
