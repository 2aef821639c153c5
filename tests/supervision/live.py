"""The recordings played on real supervisors, with workers on the loop or on threads."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from actors import (
    ActorDeadError,
    ActorRef,
    AsyncActor,
    Crash,
    Exit,
    ExitReason,
    LoopClock,
    Normal,
    Reject,
    Reply,
    Scheduler,
    StartError,
    State,
    ThreadActor,
)
from supervision import (
    ChildSpec,
    Report,
    SpecError,
    SupervisionError,
    Supervisor,
    SupervisorSpec,
    count_children,
    delete_child,
    get_child_spec,
    restart_child,
    start_child,
    start_from_template,
    stop_supervisor,
    terminate_child,
    which_children,
)

from .scenario import Step, flags_of, reason_of, seconds, told, told_error, told_spec, told_spec_error

Kind = Literal["async", "thread"]

PATIENCE = 20.0
"""Seconds after which a replay that does not settle has failed."""


class RaisedError(Exception):
    """What a start function with the plan entry `raise` raises."""


class StartFailedError(Exception):
    """Never seen by a supervisor: becomes the reason `start_failed`."""


class SkippingClock(LoopClock):
    """Real time, but `sleep` steps of the recordings are jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


@contextmanager
def stage() -> Iterator[Scheduler]:
    """A scheduler on which many scenarios can be played, one after the other."""
    scheduler = Scheduler(name="replay", clock=SkippingClock(), stall_after=30.0).start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown()


@dataclass(frozen=True)
class End:
    """To a worker: end by yourself, now, with this reason."""

    reason: ExitReason


class Behaving:
    """How a worker of the recordings behaves upon exit signals; the same for both kinds of actor."""

    def __init__(self, live: Live, name: str, number: int, behavior: str) -> None:
        super().__init__()
        self.behavior = behavior
        self.trap_exit = behavior != "plain"
        live.names[str(self.actor_ref)] = (name, number)  # type: ignore[attr-defined]

    def on_exit(self, ref: ActorRef[Any] | None, reason: ExitReason) -> None:
        if self.behavior != "stubborn":
            self.deliver_notice(Exit(ref, reason))  # type: ignore[attr-defined]

    def on_receive(self, message: Any) -> None:
        match message:
            case End(reason):
                self.exit(reason)  # type: ignore[attr-defined]
            case Exit(_, reason):
                ends = {"trap": reason, "trap_normal": Normal(), "trap_crash": Crash("cleanup_failed")}
                self.exit(ends[self.behavior])  # type: ignore[attr-defined]


class AsyncWorker(Behaving, AsyncActor):
    """A worker on the loop."""


class ThreadWorker(Behaving, ThreadActor):
    """A worker on a thread of its own."""


class RecordedSupervisor(Supervisor):
    """A supervisor of the recordings: its init reads the scenario."""

    def __init__(self, live: Live, node: dict[str, Any], number: int) -> None:
        super().__init__(SupervisorSpec(id=node["id"]))
        self.live = live
        self.node = node
        live.names[str(self.actor_ref)] = (node["id"], number)
        live.refs[node["id"]] = self.actor_ref

    def init(self) -> SupervisorSpec:
        try:
            children = [self.live.spec_of(child) for child in self.node["children"]]
            return SupervisorSpec(*children, id=self.node["id"], **flags_of(self.node))
        except SpecError as error:
            self.exit(Crash("start_spec", json.dumps(told_spec_error(error))))


class Driver(AsyncActor):
    """The parent of the root: traps exits, as the recorder did."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self.live = live
        self.trap_exit = True

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exit):
            return None
        try:
            begun = self.live.start(self.live.tree)
            return await begun if begun is not None else "ignore"
        except (StartError, RaisedError) as error:
            raise Reject(error) from None


class Live:
    """Plays the actions of one scenario.  Use it as a context manager.

    `scheduler` comes from `stage()`; without one it makes its own.
    """

    def __init__(self, tree: dict[str, Any], kind: Kind = "async", scheduler: Scheduler | None = None) -> None:
        self.tree = tree
        self.kind = kind
        self.worker: Any = AsyncWorker if kind == "async" else ThreadWorker
        self.own = ExitStack()
        self.scheduler = scheduler if scheduler is not None else self.own.enter_context(stage())
        self.names: dict[str, tuple[str, int]] = {}
        self.refs: dict[str, ActorRef[Any]] = {}
        self.counts: dict[str, int] = {}
        self.plans: dict[str, list[str]] = {}
        self.step = Step()
        self.lock = threading.Lock()
        self.gate_reached = threading.Event()
        self.gate: Reply[None] | None = None

    def __enter__(self) -> Live:
        events = self.scheduler.events
        self.subscriptions = [
            events.subscribe("actor", self.on_actor_event),
            events.subscribe("supervisor", self.on_report),
        ]
        self.driver = Driver.with_options(scheduler=self.scheduler).start(self)
        return self

    def __exit__(self, *_: object) -> None:
        for subscription in self.subscriptions:
            subscription.close()
        while refs := self.scheduler.refs():
            downs = [ref.down() for ref in refs]
            for ref in refs:
                ref.kill()
            for down in downs:
                down.get(timeout=PATIENCE)
        self.own.close()

    # ---- what is seen

    def on_actor_event(self, event: Any) -> None:
        who = self.names.get(event.metadata.get("actor", ""))
        if event.topic[-1] in ("ended", "crashed") and who is not None:
            self.log(["exit", *who, self.told(event.metadata["reason"])])

    def told(self, reason: ExitReason) -> Any:
        if isinstance(reason, Crash) and reason.type == "start_spec":
            return {"start_spec": json.loads(reason.message)}
        return told(reason)

    def log(self, event: list[Any]) -> None:
        with self.lock:
            self.step.events.append(event)

    def on_report(self, event: Any) -> None:
        report: Report = event.metadata["report"]
        child = self.names[str(report.ref)][0] if report.ref is not None else report.child
        name = report.supervisor.rsplit("/", 1)[-1]
        self.step.reports.append([name, report.context, child, self.told(report.reason)])  # type: ignore[arg-type]

    # ---- start functions

    def spec_of(self, node: dict[str, Any]) -> ChildSpec:
        return ChildSpec(
            node["id"],
            (self.start, (node,)),
            node["restart"],
            seconds(node["shutdown"]),
            node["type"],
            node.get("significant", False),
        )

    def start(self, node: dict[str, Any], *args: Any) -> Any:
        name = args[0] if args else node["id"]
        number = self.counts[name] = self.counts.get(name, 0) + 1
        plan = self.plans.get(name, []) if args else node.get("start_plan", [])
        what = plan[number - 1] if number <= len(plan) else "ok"
        self.log(["start", name, number, "error" if what == "gate_error" else what])
        match what:
            case "error":
                return Reply.failed(StartError(self.worker, Crash("start_failed")))
            case "raise":
                raise RaisedError("start_failed")
            case "ignore":
                return None
            case "gate_error":
                return self.wait_at_gate()
        if node["type"] == "supervisor":
            return RecordedSupervisor.start_link(self, node, number)
        begun = self.worker.start_link(self, name, number, node["behavior"])
        if self.kind == "async":
            self.refs[name] = begun.get()
            return begun
        return self.note(name, begun)

    async def note(self, name: str, begun: Reply[Any]) -> Any:
        self.refs[name] = await begun
        return self.refs[name]

    async def wait_at_gate(self) -> Any:
        gate = self.gate
        if gate is not None:
            self.gate_reached.set()
            await gate
        raise StartError(self.worker, Crash("start_failed"))

    # ---- quiescence

    def settle(self) -> None:
        """Return when nothing moves any more."""
        end = time.monotonic() + PATIENCE
        while True:
            before = len(self.step.events)
            self.scheduler.submit(self.turn).get(timeout=PATIENCE)
            if self.kind == "thread":
                self.ping()
                self.ping()
            if self.idle() and before == len(self.step.events):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"the tree does not settle: {[str(ref) for ref in self.scheduler.refs()]}")

    async def turn(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        if not self.idle():
            await asyncio.sleep(0.001)

    def ping(self) -> None:
        for ref in self.scheduler.refs():
            if isinstance(ref._process, ThreadActor):
                try:
                    ref.inspect(lambda _: None).get(timeout=PATIENCE)
                except ActorDeadError:
                    continue

    def idle(self) -> bool:
        for ref in self.scheduler.refs():
            process = ref._process
            if process is None:
                continue
            if process._mail or process._signals or process._state != State.ALIVE:
                return False
            if process.current_message is not None or getattr(process, "_current", None) is not None:
                return False
        return True

    # ---- actions

    def live(self, name: str) -> ActorRef[Any] | None:
        ref = self.refs.get(name)
        return ref if ref is not None and ref.is_alive() else None

    def play(self, action: dict[str, Any]) -> Step:
        """One action, and all that follows from it."""
        self.step = Step()
        match action["op"]:
            case "start_tree":
                self.step.result = self.answer(self.driver.call("start"))
            case "crash_batch":
                self.step.result = self.batch(action)
            case "crash_gated":
                self.step.result = self.gated(action)
            case _:
                self.step.result = self.answer(self.act(action))
        self.settle()
        for name in {name for name, _ in self.names.values()}:
            ref = self.live(name)
            if ref is not None and isinstance(ref._process, Supervisor):
                counts = count_children(ref).get(timeout=PATIENCE)
                self.step.after[name] = {
                    "children": self.told_children(ref, which_children(ref).get(timeout=PATIENCE)),
                    "count": [counts.specs, counts.active, counts.supervisors, counts.workers],
                }
        return self.step

    def batch(self, action: dict[str, Any]) -> Any:
        sup = self.live(action["sup"])
        if sup is None:
            return "no_target"
        sup.suspend()
        results = []
        for name, reason in action["crashes"]:
            results.append(self.crash(name, reason))
            sup.inspect(lambda _: None).get(timeout=PATIENCE)
        sup.resume()
        return results

    def gated(self, action: dict[str, Any]) -> Any:
        self.gate = Reply()
        self.gate_reached.clear()
        if self.crash(action["id"], action["reason"]) == "no_target":
            return "no_target"
        assert self.gate_reached.wait(PATIENCE), "nobody came to the gate"
        pending = [self.act(queued) for queued in action["queued"]]
        self.gate.set(None)
        self.gate = None
        return [self.answer(result) for result in pending]

    def crash(self, name: str, reason: Any) -> str:
        ref = self.live(name)
        if ref is None:
            return "no_target"
        down = ref.down()
        ref.tell(End(reason_of(reason)))
        down.get(timeout=PATIENCE)
        return "ok"

    def act(self, action: dict[str, Any]) -> Any:
        """Do it; the result, or the Reply that will have it."""
        target = action["sup"] if "sup" in action else action.get("id", self.tree["id"])
        ref = self.live(target)
        if ref is None:
            return {"exit": "noproc"} if "sup" in action and target in self.refs else "no_target"
        match action["op"]:
            case "crash":
                return self.crash(target, action["reason"])
            case "kill":
                down = ref.down()
                ref.kill()
                down.get(timeout=PATIENCE)
            case "exit_signal" | "parent_exit" if action["reason"] == "kill":
                ref.kill()
            case "exit_signal":
                ref.exit(reason_of(action["reason"]))
            case "parent_exit":
                down = ref.down()
                ref.exit(reason_of(action["reason"]), sender=self.driver)
                down.get(timeout=PATIENCE)
            case "stop":
                return stop_supervisor(ref, reason_of(action["reason"]))
            case "sleep":
                clock = self.scheduler.clock
                assert isinstance(clock, SkippingClock)
                clock.skipped += action["ms"] / 1000
            case _:
                return self.call(ref, action)
        return "ok"

    def call(self, sup: ActorRef[Any], action: dict[str, Any]) -> Any:
        name = action.get("id")
        match action["op"]:
            case "which_children":
                return which_children(sup).map(lambda infos: self.told_children(sup, infos))
            case "count_children":
                return count_children(sup).map(lambda c: [c.specs, c.active, c.supervisors, c.workers])
            case "get_childspec":
                return get_child_spec(sup, name).map(told_spec)
            case "start_child":
                try:
                    return start_child(sup, self.spec_of(action["child"]))
                except SpecError as error:
                    return told_error(error)
            case "start_dynamic":
                assert name is not None
                if "start_plan" in action:
                    self.plans[name] = action["start_plan"]
                return start_from_template(sup, name)
            case "terminate_child":
                dynamic = isinstance(sup._process, Supervisor) and sup._process.table.flags.strategy == (
                    "simple_one_for_one"
                )
                return terminate_child(sup, self.refs[str(name)] if dynamic else name).map(lambda _: "ok")
            case "terminate_child_raw":
                return terminate_child(sup, name).map(lambda _: "ok")
            case "restart_child":
                return restart_child(sup, name)
            case "delete_child":
                return delete_child(sup, name).map(lambda _: "ok")
        raise ValueError(f"no such action: {action}")

    def answer(self, result: Any) -> Any:
        if not isinstance(result, Reply):
            return result
        try:
            value = result.get(timeout=PATIENCE)
        except StartError as error:
            return {"error": self.told(error.reason)}
        except RaisedError as error:
            return {"error": {"raised": str(error)}}
        except SupervisionError as error:
            return told_error(error)
        except ActorDeadError:
            return {"exit": "noproc"}
        if isinstance(value, ActorRef):
            return "ok_pid"
        if value is None:
            return "ok_undefined"
        return "ok" if type(value).__name__ == "Down" else value

    def told_children(self, sup: ActorRef[Any], infos: Any) -> list[Any]:
        process = sup._process
        if isinstance(process, Supervisor) and process.table.flags.strategy == "simple_one_for_one":
            return sorted([self.names[str(info.last_ref)][0], info.state] for info in infos)
        return [[info.id, info.state] for info in infos]
