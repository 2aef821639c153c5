"""The recordings of DynamicSupervisor, Task.Supervisor, async_stream, PartitionSupervisor and of changes while running.

`about` says what was done; each function here does the same with ours and returns what it sees, in the recording's
words.  Recordings of links, monitors, servers and registries are the business of tests/actors.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

from actors import (
    ActorRef,
    AsyncActor,
    Crash,
    Exit,
    ExitReason,
    Ignore,
    Killed,
    LoopClock,
    Normal,
    Reply,
    Scheduler,
    Shutdown,
    StartError,
    current_actor,
    fiber,
    sleep,
)
from supervision import (
    ChildNotFoundError,
    ChildSpec,
    ChildStartError,
    DynamicSupervisor,
    MaxChildrenError,
    PartitionSupervisor,
    SpecError,
    Supervisor,
    SupervisorFlags,
    SupervisorSpec,
    TaskDone,
    TaskExit,
    TaskFailedError,
    TaskOwnerError,
    TaskSupervisor,
    TaskTimeoutError,
    async_,
    async_nolink,
    async_stream,
    await_many,
    change_flags,
    change_supervisor,
    count_children,
    restart_child,
    start_child,
    start_task,
    stop_supervisor,
    terminate_child,
    which_children,
)

from .scenario import reason_of

LONG = 5.0
"""Seconds of a task that is never waited out."""

PLAYERS: dict[str, Callable[[Room], Any]] = {}


def player(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names or (function.__name__,):
            PLAYERS[name] = function
        return function

    return enter


def disagreements(scenario: dict[str, Any]) -> Iterator[str]:
    """What differs from this recording; nothing for recordings that are not about supervision."""
    play = PLAYERS.get(scenario["name"])
    if play is None:
        return
    try:
        with Room() as room:
            seen = play(room)
    except Exception as failure:  # noqa: BLE001  a replay that breaks is a disagreement, the others go on
        yield f"{scenario['name']}: replay failed: {failure!r}"
        return
    recorded = scenario["observed"]
    if isinstance(recorded, dict) and "max_running" in recorded:
        if seen["max_running"] > recorded["max_running"]:
            yield f"{scenario['name']}: {seen['max_running']} tasks ran together, not {recorded['max_running']}"
        recorded = {**recorded, "max_running": seen["max_running"]}
        if "ordered: false" in scenario["about"] or not isinstance(seen["start_order"], list):
            recorded = {**recorded, "start_order": seen["start_order"]}
    if seen != recorded:
        yield f"{scenario['name']}: recorded {recorded}, ours {seen}"


class UnhurriedClock(LoopClock):
    """Every delay takes ten times as long: a busy machine does not turn 30 ms into a timeout of somebody else."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any:
        return super().call_later(delay * 10, callback, *args)


class Room:
    """A scheduler with an actor that does what the recording's process did: it traps exits and keeps its mail."""

    def __enter__(self) -> Room:
        self.scheduler = Scheduler("room", clock=UnhurriedClock(), stall_after=30.0).start()
        self.mailbox: list[Any] = []
        self.me: ActorRef[Any] = Caller.with_options(scheduler=self.scheduler).start(self, True)
        return self

    def __exit__(self, *_: object) -> None:
        for ref in self.scheduler.refs():
            ref.kill()
        self.scheduler.shutdown()

    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run `function` in that actor, in a fiber."""
        return self.me.call(Do(function, args)).get(timeout=30)

    def fate(self, function: Callable[..., Any]) -> Any:
        """Run it in an actor that does not trap exits: how that one ends."""
        victim: ActorRef[Any] = Caller.with_options(scheduler=self.scheduler).start(self, False)
        down = victim.down()
        victim.call(Do(function, (), last=True))
        return {"tuple": ["died", told(down.get(timeout=30).reason)]}


class Do:
    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], last: bool = False) -> None:
        self.function = function
        self.args = args
        self.last = last


class Caller(AsyncActor):
    """Does what it is told in a fiber; keeps the exit signals of others."""

    def __init__(self, room: Room, trap: bool) -> None:
        super().__init__()
        self.trap_exit = trap
        self.room = room

    @fiber
    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Do):
            return message.function(*message.args)
        self.room.mailbox.append(message)
        return None


def told(value: Any) -> Any:
    """A value of ours in the recording's words."""
    match value:
        case Crash("timeout"):
            return "timeout"
        case Crash(kind):
            return kind
        case Normal():
            return "normal"
        case Killed():
            return "killed"
        case Shutdown(None):
            return "shutdown"
        case Shutdown(detail):
            return {"tuple": ["shutdown", detail]}
        case TaskDone(inner):
            return {"tuple": ["ok", inner]}
        case TaskExit(reason, given) if type(given) is object:
            return {"tuple": ["exit", told(reason)]}
        case TaskExit(reason, given):
            return {"tuple": ["exit", {"tuple": [given, told(reason)]}]}
        case ActorRef():
            return {"tuple": ["ok", "<pid>"]}
        case list():
            return [told(item) for item in value]
        case Exit(_, reason):
            return {"tuple": ["EXIT", "<pid>", told(reason)]}
    return value


def error(reason: Any) -> Any:
    return {"tuple": ["error", reason]}


class Worker(AsyncActor):
    """The recordings' module W."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.args = args

    def on_start(self) -> None:
        match self.args:
            case ("ignore",):
                raise Ignore()
            case (("stop", reason),):
                self.exit(reason_of(reason))
            case (("raise", message),):
                raise RuntimeError(message)
            case (("plan", plan, calls),):
                calls.append(1)
                what = plan[len(calls) - 1] if len(calls) <= len(plan) else "ok"
                if what == "ignore":
                    raise Ignore()
                if what == "stop":
                    self.exit(Crash("no"))

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, ExitReason):
            self.exit(message)
        return self.args


def counts(sup: ActorRef[Any]) -> dict[str, int]:
    seen = count_children(sup).get()
    return {"active": seen.active, "specs": seen.specs, "supervisors": seen.supervisors, "workers": seen.workers}


def dynamic(**options: Any) -> ActorRef[Any]:
    ref = DynamicSupervisor.start_link(**options).get()
    assert ref is not None
    return ref


def started(sup: ActorRef[Any], *args: Any, **options: Any) -> Any:
    try:
        return told(start_child(sup, ChildSpec.of(Worker, *args, **options)).get())
    except MaxChildrenError:
        return error("max_children")
    except ChildStartError as failure:
        return error(told(failure.reason))


def worker(sup: ActorRef[Any], *args: Any, **options: Any) -> ActorRef[Any]:
    ref = start_child(sup, ChildSpec.of(Worker, *args, **options)).get()
    assert ref is not None
    return ref


def end(ref: ActorRef[Any], reason: ExitReason, settled: Callable[[], bool] = lambda: True) -> None:
    """End it, and wait until what follows has happened."""
    down = ref.down()
    ref.tell(reason)
    down.get()
    until(settled)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        sleep(0.001)
    raise TimeoutError("what was waited for did not happen")


def dead(ref: ActorRef[Any]) -> Callable[[], bool]:
    return lambda: not ref.is_alive()


# ---- DynamicSupervisor


@player()
def dyn_max_children(room: Room) -> Any:
    def play() -> Any:
        sup = dynamic(max_children=2)
        first = worker(sup, 1)
        results = [told(first), started(sup, 2), started(sup, 3), counts(sup)]
        terminate_child(sup, first).get()
        return [*results, "ok", counts(sup), started(sup, 4), counts(sup)]

    return room.do(play)


@player()
def dyn_terminate_unknown(room: Room) -> Any:
    def terminate(sup: ActorRef[Any], ref: ActorRef[Any]) -> Any:
        try:
            terminate_child(sup, ref).get()
        except ChildNotFoundError:
            return error("not_found")
        return "ok"

    def play() -> Any:
        sup = dynamic()
        child = worker(sup, 1)
        return [terminate(sup, room.me), terminate(sup, child), terminate(sup, child)]

    return room.do(play)


@player()
def dyn_extra_arguments(room: Room) -> Any:
    return room.do(lambda: {"tuple": list(worker(dynamic(extra_arguments=("x",)), "arg").ask("get"))})


@player()
def dyn_start_results(room: Room) -> Any:
    def play() -> Any:
        sup = dynamic()
        results = []
        for arg in ("ignore", ("stop", "boom"), ("raise", "oops")):
            result = started(sup, arg)
            results.append("ignore" if result is None else result)
        raised = results[2]["tuple"][1]
        results[2] = error({"tuple": [{"exception": raised, "message": "oops"}, "<stacktrace>"]})
        # A throw has no equivalent: what a constructor returns cannot be wrong.
        return [*results, error({"tuple": ["bad_return_value", "ball"]}), counts(sup)]

    return room.do(play)


def _restart_player(restart: str, word: str) -> None:
    reason = reason_of({"shutdown": "x"} if word == "shutdown_term" else word)

    def play(room: Room) -> Any:
        def inner() -> Any:
            sup = dynamic()
            end(worker(sup, 1, restart=restart), reason)
            sup.inspect(lambda _: None).get()
            return counts(sup)

        return room.do(inner)

    PLAYERS[f"dyn_restart_{restart}_{word}"] = play


for _restart in ("permanent", "transient", "temporary"):
    for _word in ("normal", "shutdown", "shutdown_term", "boom"):
        _restart_player(_restart, _word)


@player()
def dyn_max_restarts(room: Room) -> Any:
    def play() -> Any:
        sup = dynamic(intensity=2, period=3600)
        alive = []
        for child in [worker(sup, n) for n in range(3)]:
            end(child, Crash("boom"))
            sup.inspect(lambda _: None).get() if len(alive) < 2 else until(dead(sup))
            alive.append(sup.is_alive())
        return alive

    alive = room.do(play)
    room.do(lambda: None)
    return [alive, told(room.mailbox)]


@player()
def dyn_restart_ignore_forgets(room: Room) -> Any:
    def play() -> Any:
        calls: list[int] = []
        sup = dynamic()
        end(worker(sup, ("plan", ["ok", "ignore"], calls)), Crash("boom"), lambda: len(calls) == 2)
        return [counts(sup), len(calls)]

    return room.do(play)


@player()
def dyn_restart_fails_then_ok(room: Room) -> Any:
    def play() -> Any:
        calls: list[int] = []
        sup = dynamic(intensity=3, period=3600)
        end(worker(sup, ("plan", ["ok", "stop", "stop", "ok"], calls)), Crash("boom"), lambda: len(calls) == 4)
        return [counts(sup), len(calls)]

    return room.do(play)


@player()
def dyn_restart_fails_exceeds(room: Room) -> Any:
    calls: list[int] = []

    def play() -> None:
        sup = dynamic(intensity=3, period=3600)
        end(worker(sup, ("plan", ["ok"] + ["stop"] * 20, calls)), Crash("boom"), dead(sup))

    room.do(play)
    room.do(lambda: None)
    return [len(calls), told(room.mailbox)]


@player()
def dyn_count_children(room: Room) -> Any:
    def play() -> Any:
        sup = dynamic()
        for n in range(3):
            worker(sup, n)
        start_child(sup, DynamicSupervisor).get()
        return counts(sup)

    return room.do(play)


@player()
def dyn_defaults(room: Room) -> Any:
    def play() -> Any:
        sup: Any = dynamic()._process
        spec = ChildSpec.of(Worker, 1, id="W")
        flags = {
            "extra_arguments": list(sup.extra_arguments),
            "intensity": sup.flags.intensity,
            "max_children": "infinity" if sup.max_children is None else sup.max_children,
            "period": sup.flags.period,
            "strategy": sup.flags.strategy,
        }
        return [flags, {"id": spec.id, "restart": spec.restart}]

    return room.do(play)


@player()
def dyn_bad_strategy(room: Room) -> Any:
    def play() -> Any:
        try:
            DynamicSupervisor.start_link(strategy="one_for_all").get()
        except StartError as failure:
            reason = failure.reason
            assert isinstance(reason, Crash)
            problem = reason.exception
            assert isinstance(problem, SpecError)
            why = {"tuple": [f"invalid_{problem.field}", problem.value]}
            return {"tuple": ["returned", error({"tuple": ["supervisor_data", why]})]}
        return None

    return room.do(play)


@player()
def dyn_bad_child_spec(room: Room) -> Any:
    def play() -> Any:
        sup = dynamic()
        seen = []
        try:
            ChildSpec(1, None)
        except SpecError as failure:
            seen.append(error({"tuple": ["invalid_child_spec", {"id": 1}]}) if failure.field == "start" else failure)
        try:
            ChildSpec(1, Worker, restart="nope")  # type: ignore[arg-type]
        except SpecError as failure:
            seen.append(error({"tuple": [f"invalid_{failure.field}_type", failure.value]}))
        return [*seen, sup.is_alive()]

    return room.do(play)


# ---- tasks


def tasks(**options: Any) -> ActorRef[Any]:
    ref = TaskSupervisor.start_link(**options).get()
    assert ref is not None
    return ref


def leave(reason: ExitReason) -> Callable[[], None]:
    """A function that ends its task, as `exit(reason)` does."""

    def function() -> None:
        actor = current_actor()
        assert actor is not None
        actor.exit(reason)

    return function


async def forever() -> None:
    await asyncio.sleep(LONG)


async def stubborn() -> None:
    while True:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            continue


BOOM = Crash("boom")


@player()
def task_async_await(room: Room) -> Any:
    return room.do(lambda: async_(tasks(), lambda: 42).get())


@player()
def task_async_crash_kills_caller(room: Room) -> Any:
    return room.fate(lambda: async_(tasks(), leave(BOOM)).get())


@player()
def task_nolink_await_crash(room: Room) -> Any:
    def play() -> Any:
        try:
            async_nolink(tasks(), leave(BOOM)).get()
        except TaskFailedError as failure:
            why = {"tuple": [told(failure.reason), {"tuple": ["Task", "await", ["Task", 5000]]}]}
            return {"tuple": ["died", why]}

    return room.do(play)


def _with_reason(name: str, reason: ExitReason) -> None:
    def play(room: Room) -> Any:
        return room.do(lambda: told(async_nolink(tasks(), leave(reason)).yield_(LONG).get()))

    PLAYERS[name] = play


_with_reason("task_nolink_yield_crash", BOOM)
_with_reason("task_nolink_normal_exit", Normal())


@player()
def task_await_timeout(room: Room) -> Any:
    def play() -> Any:
        release: Reply[int] = Reply()

        async def work() -> int:
            return await release

        task = async_nolink(tasks(), work)
        try:
            task.get(timeout=0.01)
        except TaskTimeoutError:
            result = {"tuple": ["exit", {"tuple": ["timeout", {"tuple": ["Task", "await", ["Task", 10]]}]}]}
        assert task.ref is not None
        alive = task.ref.is_alive()
        release.set(1)
        until(dead(task.ref))
        return [result, alive, told(room.mailbox)]

    return room.do(play)


@player()
def task_yield_then_shutdown(room: Room) -> Any:
    def play() -> Any:
        task = async_nolink(tasks(), forever)
        polled = task.yield_(0.01).get()
        result = task.shutdown().get()
        assert task.ref is not None
        return [polled, result, task.ref.is_alive(), told(room.mailbox)]

    return room.do(play)


@player()
def task_shutdown_after_reply(room: Room) -> Any:
    def play() -> Any:
        task = async_nolink(tasks(), lambda: 7)
        until(task.outcome.done)
        return [told(task.shutdown().get()), told(room.mailbox)]

    return room.do(play)


@player()
def task_shutdown_after_crash(room: Room) -> Any:
    def play() -> Any:
        task = async_nolink(tasks(), leave(BOOM))
        until(task.outcome.done)
        return [told(task.shutdown().get()), told(room.mailbox)]

    return room.do(play)


@player()
def task_shutdown_brutal(room: Room) -> Any:
    def play() -> Any:
        task = async_nolink(tasks(), stubborn)
        until(lambda: task.ref is not None)
        assert task.ref is not None
        return [task.shutdown("brutal_kill").get(), task.ref.is_alive()]

    return room.do(play)


@player()
def task_shutdown_timeout_kill(room: Room) -> Any:
    def play() -> Any:
        begun = threading.Event()

        async def work() -> None:
            begun.set()
            await stubborn()

        task = async_nolink(tasks(), work)
        until(begun.is_set)
        assert task.ref is not None
        return [told(task.shutdown(0.02).get()), task.ref.is_alive()]

    return room.do(play)


@player()
def task_default_restart(room: Room) -> Any:
    def play() -> Any:
        sup = tasks()
        for _ in range(20):
            start_task(sup, leave(BOOM)).get()
        until(lambda: not which_children(sup).get())
        return [sup.is_alive(), which_children(sup).get()]

    return room.do(play)


@player()
def task_max_children(room: Room) -> Any:
    def play() -> Any:
        sup = tasks(max_children=1)
        start_task(sup, forever).get()
        try:
            async_nolink(sup, lambda: 1).get()
        except MaxChildrenError:
            first = error("RuntimeError")
        try:
            start_task(sup, lambda: 1).get()
        except MaxChildrenError:
            return [first, error("max_children")]

    return room.do(play)


@player()
def task_await_many(room: Room) -> Any:
    async def after(ms: int) -> int:
        await asyncio.sleep(ms / 1000)
        return ms

    def play() -> Any:
        sup = tasks()
        good = await_many([async_nolink(sup, after, ms) for ms in (30, 1, 15)]).get()
        try:
            await_many([async_nolink(sup, forever), async_nolink(sup, leave(BOOM))]).get()
        except TaskFailedError as failure:
            why = {"tuple": ["Task", "await_many", [["Task", "Task"], 5000]]}
            return [good, {"tuple": ["exit", {"tuple": [told(failure.reason), why]}]}]

    return room.do(play)


@player()
def task_await_not_owner(room: Room) -> Any:
    task = room.do(lambda: async_(tasks(), forever))
    try:
        task.get()
    except TaskOwnerError:
        return error("ArgumentError")


@player()
def task_supervisor_stop_kills_tasks(room: Room) -> Any:
    def play() -> Any:
        sup = tasks()
        task = async_nolink(sup, forever)
        until(lambda: task.ref is not None)
        stop_supervisor(sup).get()
        return told(task.yield_(0.1).get())

    return room.do(play)


# ---- streams


class Meter:
    """Counts the tasks of a stream."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.order: list[Any] = []

    def around(self, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def measured(item: Any) -> Any:
            self.running += 1
            self.most = max(self.most, self.running)
            self.order.append(item)
            value = work(item)
            if asyncio.iscoroutine(value):
                value = await value
            self.running -= 1
            return value

        return measured


def stream(
    room: Room, items: Any, work: Callable[[Any], Any], take: int | None = None, link: bool = False, **options: Any
) -> Any:
    meter = Meter()

    def play() -> Any:
        sup = tasks()
        try:
            results = list(islice(async_stream(sup, items, meter.around(work), link=link, **options), take))
            seen: Any = {"tuple": ["returned", told(results)]}
        except TaskTimeoutError as late:
            why = {"tuple": ["Task.Supervised", "stream", [round(late.timeout * 1000)]]}
            seen = {"tuple": ["exit", {"tuple": ["timeout", why]}]}
        except RuntimeError as failure:
            seen = error({"exception": "RuntimeError", "message": str(failure)})
        until(lambda: not which_children(sup).get())
        return {
            "alive_tasks_after": len(which_children(sup).get()),
            "mailbox": told(room.mailbox),
            "max_running": meter.most,
            "results": seen,
            "start_order": meter.order,
            "started": len(meter.order),
        }

    return room.do(play)


def pause(ms: float, value: Any) -> Any:
    async def work() -> Any:
        await asyncio.sleep(ms / 1000)
        return value

    return work()


def slow_first(items: int = 8) -> Callable[[int], Any]:
    """Item 1 is ready when all others are."""
    others: Reply[None] = Reply()
    left = items - 1

    async def work(item: int) -> int:
        nonlocal left
        if item == 1:
            await others
        else:
            left -= 1
            if left == 0:
                others.set(None)
        return item

    return work


def bad_second(item: int) -> Any:
    if item == 2:
        leave(BOOM)()
    return item


def stuck_second(item: int) -> Any:
    return pause(5000, None) if item == 2 else item


PLAYERS["stream_basic"] = lambda room: stream(room, range(1, 7), lambda x: pause(5, x * 10), max_concurrency=2)
PLAYERS["stream_ordered_slow_first"] = lambda room: stream(room, range(1, 9), slow_first(), max_concurrency=2)
PLAYERS["stream_unordered_slow_first"] = lambda room: stream(
    room, range(1, 9), slow_first(), max_concurrency=2, ordered=False
)
PLAYERS["stream_lazy_take"] = lambda room: stream(room, count(1), lambda x: pause(10, x), 2, max_concurrency=3)
PLAYERS["stream_crash_nolink"] = lambda room: stream(room, range(1, 5), bad_second, max_concurrency=2)
PLAYERS["stream_crash_link_trapping"] = lambda room: stream(room, range(1, 5), bad_second, link=True, max_concurrency=2)
PLAYERS["stream_crash_link"] = lambda room: room.fate(lambda: list(async_stream(tasks(), range(1, 5), bad_second)))
PLAYERS["stream_timeout_exit"] = lambda room: stream(room, range(1, 5), stuck_second, max_concurrency=2, timeout=0.03)
PLAYERS["stream_timeout_kill_task"] = lambda room: stream(
    room, range(1, 5), stuck_second, max_concurrency=2, timeout=0.03, on_timeout="kill_task"
)
PLAYERS["stream_timeout_zip"] = lambda room: stream(
    room,
    range(1, 5),
    stuck_second,
    max_concurrency=2,
    timeout=0.03,
    on_timeout="kill_task",
    zip_input_on_exit=True,
)
PLAYERS["stream_timeout_per_task"] = lambda room: stream(
    room, range(1, 7), lambda x: pause(200, x), max_concurrency=1, timeout=0.06
)
PLAYERS["stream_halt_kills_running"] = lambda room: stream(
    room, range(1, 5), lambda x: 1 if x == 1 else pause(3000, x), 1, max_concurrency=4
)


@player()
def stream_bad_concurrency(room: Room) -> Any:
    def play() -> Any:
        try:
            async_stream(tasks(), [1, 2], bad_second, max_concurrency=0)
        except SpecError as failure:
            return error("ArgumentError" if isinstance(failure, ValueError) else failure)

    return room.do(play)


@player()
def stream_input_raises(room: Room) -> Any:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("bad")

    return stream(room, items(), lambda x: pause(5, x), max_concurrency=2)


# ---- partitions


def partitions(number: int, **options: Any) -> ActorRef[Any]:
    ref = PartitionSupervisor.start_link(ChildSpec.of(Worker, "x"), partitions=number, **options).get()
    assert ref is not None
    return ref


@player()
def part_routing(room: Room) -> Any:
    def play() -> Any:
        sup = partitions(4)
        number_of = {info.ref: info.id for info in which_children(sup).get()}
        route = PartitionSupervisor.route
        return {
            "count": counts(sup),
            "ids": sorted(number_of.values()),  # type: ignore[type-var]
            "int_keys": [[key, number_of[route(sup, key)]] for key in (0, 1, 5, 7, -3)],
            "same_key_same_child": route(sup, "abc") is route(sup, "abc"),
        }

    return room.do(play)


@player()
def part_restart(room: Room) -> Any:
    def play() -> Any:
        sup = partitions(2)
        before = PartitionSupervisor.route(sup, 1)
        end(before, BOOM, lambda: which_children(sup).get()[0].ref is not before)
        after = PartitionSupervisor.route(sup, 1)
        return [after is not before, after.is_alive(), PartitionSupervisor.partitions_of(sup)]

    return room.do(play)


@player()
def part_with_arguments(room: Room) -> Any:
    def play() -> Any:
        sup = partitions(3, with_arguments=lambda args, n: (n * 10,))
        return [PartitionSupervisor.route(sup, key).ask("get")[0] for key in range(3)]

    return room.do(play)


# ---- defaults and change while running


@player()
def sup_defaults(room: Room) -> Any:
    flags = SupervisorFlags()
    assert flags.auto_shutdown == "never"
    return {"intensity": flags.intensity, "period": flags.period, "strategy": flags.strategy}


@player()
def sup_child_spec_defaults(room: Room) -> Any:
    def told_defaults(kind: Any, name: str, *keys: str) -> dict[str, Any]:
        spec = ChildSpec.of(kind, id=name)
        return {"id": spec.id, **{key: getattr(spec, key) for key in keys}}

    # A task in a tree has no class of its own here: temporary is what TaskSupervisor gives it.
    return [
        {"id": "Task", "restart": "temporary"},
        told_defaults(Worker, "Agent"),
        told_defaults(DynamicSupervisor, "DynamicSupervisor", "type"),
        told_defaults(TaskSupervisor, "Task.Supervisor", "type"),
        told_defaults(Worker, "W", "restart"),
    ]


def listed(sup: ActorRef[Any]) -> Any:
    return [[info.id, ":undefined" if info.state == "undefined" else info.state] for info in which_children(sup).get()]


def ref_of(sup: ActorRef[Any], child: str) -> ActorRef[Any]:
    return next(info.ref for info in which_children(sup).get() if info.id == child)


def specs(*names: str, **flags: Any) -> SupervisorSpec:
    return SupervisorSpec(*[ChildSpec(name, Worker) for name in names], period=3600, **flags)


def crash(sup: ActorRef[Any], child: str) -> bool:
    """Crash a child; is the supervisor alive when it has dealt with it?"""
    ref = ref_of(sup, child)
    end(ref, BOOM, lambda: not sup.is_alive() or ref_of(sup, child) not in (ref, None))
    return sup.is_alive()


@player()
def hot_change(room: Room) -> Any:
    def play() -> Any:
        sup = Supervisor.start_tree(specs("a", "b", intensity=1))
        b = ref_of(sup, "b")
        change_supervisor(sup, specs("b", "c", intensity=3)).get()
        after = listed(sup)
        same = ref_of(sup, "b") is b
        restarted = restart_child(sup, "c").get() is not None
        then = listed(sup)
        alive = []
        for n in range(4):
            ref = ref_of(sup, "b")
            end(ref, BOOM, dead(sup) if n == 3 else lambda ref=ref: ref_of(sup, "b") not in (ref, None))  # type: ignore[misc]
            alive.append(sup.is_alive())
        return ["ok", after, same, restarted, then, alive]

    return room.do(play)


@player()
def hot_change_lower_intensity(room: Room) -> Any:
    def play() -> Any:
        sup = Supervisor.start_tree(specs("a", intensity=5))
        alive = [crash(sup, "a"), crash(sup, "a")]
        change_supervisor(sup, specs("a", intensity=1)).get()
        end(ref_of(sup, "a"), BOOM, dead(sup))
        return [*alive, sup.is_alive()]

    return room.do(play)


@player()
def hot_change_bad(room: Room) -> Any:
    def play() -> Any:
        sup = Supervisor.start_tree(specs("a"))
        try:
            change_flags(sup, strategy="nope").get()
        except SpecError as failure:
            why = f"{{:error, {{:error, {{:invalid_{failure.field}, :{failure.value}}}}}}}"
            return [why, sup.is_alive()]

    return room.do(play)
