"""The live supervisor: what the recordings do not show."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from actors import (
    ActorDeadError,
    ActorRef,
    AsyncActor,
    Crash,
    Ignore,
    Killed,
    Normal,
    Reply,
    Scheduler,
    Shutdown,
    StartError,
    ThreadActor,
)
from actors.testing import VirtualClock, no_leaks, quiesce
from supervision import (
    Backoff,
    ChildNotFoundError,
    ChildRunningError,
    ChildSpec,
    ChildStartError,
    DynamicSupervisor,
    MaxChildrenError,
    Report,
    SpecError,
    Supervisor,
    SupervisorSpec,
    TemplateError,
    change_flags,
    change_supervisor,
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


class Worker(AsyncActor):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.args = args
        self.kwargs = kwargs

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise ValueError("bad")
        return (self.args, self.kwargs)


class OnThread(ThreadActor):
    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise ValueError("bad")
        return threading.current_thread().name


def ref_of(sup: ActorRef[Any], child: Any) -> ActorRef[Any]:
    return next(info.ref for info in which_children(sup).get(timeout=5) if info.id == child)


def states(sup: ActorRef[Any]) -> dict[Any, str]:
    return {info.id: info.state for info in which_children(sup).get(timeout=5)}


def crash(ref: ActorRef[Any]) -> None:
    down = ref.down()
    ref.tell("crash")
    down.get(timeout=5)


def reports_of(scheduler: Scheduler) -> list[Report]:
    seen: list[Report] = []
    scheduler.events.subscribe("supervisor", lambda event: seen.append(event.metadata["report"]))
    return seen


# ---- starting


def test_a_tree_of_every_kind_of_actor_starts_by_one_call_and_stops_by_one(scheduler: Scheduler) -> None:
    root = Supervisor.start_tree(
        SupervisorSpec(
            SupervisorSpec(ChildSpec("a", Worker), ChildSpec("t", OnThread), id="inner"),
            ChildSpec("d", (DynamicSupervisor, ("d",), {"max_children": 3})),
            id="root",
        )
    )
    assert states(root) == {"d": "alive", "inner": "alive"}
    assert states(ref_of(root, "inner")) == {"t": "alive", "a": "alive"}
    assert stop_supervisor(root).get(timeout=5).reason == Normal()
    assert scheduler.refs() == []


def test_a_tree_is_started_with_await_on_a_loop(scheduler: Scheduler) -> None:
    async def start() -> ActorRef[Any] | None:
        return await Supervisor.start_link(SupervisorSpec(Worker))

    ref = asyncio.run(start())
    assert ref is not None
    assert states(ref) == {"Worker": "alive"}


def test_arguments_and_keywords_reach_the_child_at_each_start(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", (Worker, (1, 2), {"three": 3}))))
    assert ref_of(sup, "w").ask("?", timeout=5) == ((1, 2), {"three": 3})
    crash(ref_of(sup, "w"))
    assert ref_of(sup, "w").ask("?", timeout=5) == ((1, 2), {"three": 3})


class Refuses(AsyncActor):
    def on_start(self) -> None:
        raise Ignore()


def ref_function() -> ActorRef[Any]:
    return Worker.start("ref")


def reply_function() -> Reply[Any]:
    return Worker.start_link("reply")


async def coroutine_function() -> Any:
    return await Worker.start_link("coroutine")


def ignoring_function() -> None:
    return None


@pytest.mark.parametrize("function", [ref_function, reply_function, coroutine_function])
def test_a_start_function_may_return_a_ref_a_reply_or_an_awaitable_and_its_child_is_linked(
    function: Any, scheduler: Scheduler
) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", function)))
    crash(ref_of(sup, "w"))
    assert ref_of(sup, "w").ask("?", timeout=5) == ((function.__name__.split("_")[0],), {})
    sup.kill()
    sup.down().get(timeout=5)
    quiesce(scheduler)
    assert scheduler.refs() == []


@pytest.mark.parametrize("target", [Refuses, ignoring_function])
def test_a_child_that_ignores_is_listed_without_a_process(target: Any, scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", target)))
    assert states(sup) == {"w": "undefined"}


def test_a_start_function_that_returns_rubbish_is_a_start_that_fails(scheduler: Scheduler) -> None:
    with pytest.raises(StartError) as caught:
        Supervisor.start_tree(SupervisorSpec(ChildSpec("w", lambda: 3)))
    assert "returned 3" in str(caught.value.reason)


def test_a_child_that_does_not_start_ends_the_start_of_the_tree_with_its_name_and_reason(
    scheduler: Scheduler,
) -> None:
    def fails() -> None:
        raise ValueError("no luck")

    with pytest.raises(StartError) as caught:
        Supervisor.start_tree(SupervisorSpec(Worker, ChildSpec("bad", fails)))
    reason = caught.value.reason
    assert isinstance(reason, Shutdown)
    assert reason.detail.child == "bad"
    assert reason.detail.reason == Crash("ValueError", "no luck")
    assert scheduler.refs() == []


def test_ten_thousand_children_start_without_holding_the_loop_all_the_time(scheduler: Scheduler) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    class Other(AsyncActor):
        async def on_receive(self, message: Any) -> None:
            await other()

    busy = Other.start()
    busy.tell("go")
    Supervisor.start_tree(SupervisorSpec(*[ChildSpec(n, Worker) for n in range(10_000)]))
    busy.kill()
    assert turns > 50


# ---- calls


def test_calls_fail_with_errors_that_name_the_child_and_leave_the_supervisor_alone(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", Worker)))
    with pytest.raises(ChildNotFoundError, match="'x'"):
        terminate_child(sup, "x").get(timeout=5)
    with pytest.raises(ChildRunningError, match="'w'"):
        restart_child(sup, "w").get(timeout=5)
    with pytest.raises(ChildRunningError):
        delete_child(sup, "w").get(timeout=5)
    with pytest.raises(SpecError, match="strategy"):
        start_from_template(sup, 1).get(timeout=5)
    with pytest.raises(TypeError, match="does not understand"):
        sup.ask("rubbish", timeout=5)
    assert count_children(sup).get(timeout=5).active == 1


def test_a_child_is_found_by_id_or_by_ref(scheduler: Scheduler) -> None:
    spec = ChildSpec("w", Worker)
    sup = Supervisor.start_tree(SupervisorSpec(spec))
    assert get_child_spec(sup, "w").get(timeout=5) == spec
    assert get_child_spec(sup, ref_of(sup, "w")).get(timeout=5) == spec


def test_a_failing_start_child_carries_the_exception_of_the_child(scheduler: Scheduler) -> None:
    def fails() -> None:
        raise ValueError("no luck")

    sup = Supervisor.start_tree(SupervisorSpec())
    with pytest.raises(ChildStartError) as caught:
        start_child(sup, ChildSpec("w", fails)).get(timeout=5)
    assert isinstance(caught.value.__cause__, ValueError)
    assert states(sup) == {}


def test_a_stopped_supervisor_refuses_calls(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec())
    stop_supervisor(sup, Shutdown("enough")).get(timeout=5)
    assert sup.exit_reason == Shutdown("enough")
    for reply in (which_children(sup), stop_supervisor(sup)):
        with pytest.raises(ActorDeadError):
            reply.get(timeout=5)


def test_children_of_a_template_are_started_with_more_arguments_and_terminated_by_ref(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("t", (Worker, (1,))), strategy="simple_one_for_one"))
    ref = start_from_template(sup, 2, 3).get(timeout=5)
    assert ref is not None
    assert ref.ask("?", timeout=5)[0] == (1, 2, 3)
    with pytest.raises(TemplateError):
        start_child(sup, Worker).get(timeout=5)
    terminate_child(sup, ref).get(timeout=5)
    terminate_child(sup, ref).get(timeout=5)
    with pytest.raises(ChildNotFoundError):
        terminate_child(sup, sup).get(timeout=5)


# ---- restarts


@pytest.mark.parametrize("kind", [Worker, OnThread])
def test_a_crashed_child_of_any_kind_comes_back(kind: Any, scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", kind)))
    before = ref_of(sup, "w")
    crash(before)
    after = ref_of(sup, "w")
    assert after is not before
    assert after.is_alive()


def test_ten_thousand_restarts_leave_nothing_behind(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", Worker), intensity=10**9, period=0.05))
    process: Any = sup._process
    for _ in range(2000):
        ref_of(sup, "w").kill()
    quiesce(scheduler)
    assert len(scheduler.refs()) == 2
    assert len(process.table.by_ref) == 1
    assert len(process._links) == 1
    assert not process._monitors


def test_backoff_delays_the_restart_on_the_schedulers_clock() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock):
        backoff = Backoff(1.0, 60.0, jitter=0.0)
        sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", Worker), backoff=backoff, period=1000.0))
        crash(ref_of(sup, "w"))
        assert states(sup) == {"w": "restarting"}
        clock.advance(0.9)
        assert states(sup) == {"w": "restarting"}
        clock.advance(0.2)
        assert states(sup) == {"w": "alive"}
        crash(ref_of(sup, "w"))
        clock.advance(1.5)
        assert states(sup) == {"w": "restarting"}
        assert restart_and_catch(sup) == "ChildRestartingError"
        clock.advance(0.6)
        assert states(sup) == {"w": "alive"}


def restart_and_catch(sup: ActorRef[Any]) -> str:
    try:
        restart_child(sup, "w").get(timeout=5)
    except Exception as error:  # noqa: BLE001  its name is what is looked at
        return type(error).__name__
    return "nothing"


def test_a_stop_comes_between_two_attempts_of_a_restart_that_keeps_failing(scheduler: Scheduler) -> None:
    attempts = 0

    def fails_later() -> Any:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            raise ValueError("never again")
        return Worker.start_link()

    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", fails_later), intensity=10**9, period=0.001))
    crash(ref_of(sup, "w"))
    assert stop_supervisor(sup).get(timeout=5).reason == Normal()
    assert attempts > 1


def test_a_deterministic_crash_is_reported_as_such(scheduler: Scheduler) -> None:
    seen = reports_of(scheduler)
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", Worker), intensity=5, deterministic_after=3))
    for _ in range(4):
        crash(ref_of(sup, "w"))
    quiesce(scheduler)
    assert [report.deterministic for report in seen] == [False, False, True, True]
    assert seen[-1].supervisor == "supervisor"
    assert isinstance(seen[-1].reason, Crash)
    assert seen[-1].reason.frames[-1][2].endswith("on_receive")


def test_giving_up_stops_the_others_and_is_a_shutdown(scheduler: Scheduler) -> None:
    seen = reports_of(scheduler)
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("a", Worker), ChildSpec("b", Worker), intensity=0))
    down = sup.down()
    ref_of(sup, "a").kill()
    assert down.get(timeout=5).reason == Shutdown()
    assert [(report.context, report.reason) for report in seen] == [
        ("child_terminated", Killed()),
        ("shutdown", "reached_max_restart_intensity"),
    ]
    assert scheduler.refs() == []


# ---- stopping


class Stubborn(AsyncActor):
    def __init__(self) -> None:
        super().__init__()
        self.trap_exit = True

    def on_exit(self, ref: Any, reason: Any) -> None:
        """Ignores all that can be ignored."""


class SwallowsCancel(AsyncActor):
    async def on_receive(self, message: Any) -> None:
        begun, release = message
        begun.set(None)
        while not release.done():
            try:
                await release
            except asyncio.CancelledError:
                continue


def test_a_child_that_does_not_end_is_killed_after_its_shutdown_time() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock) as scheduler:
        seen = reports_of(scheduler)
        sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("s", Stubborn, shutdown=7.0)))
        child = ref_of(sup, "s")
        down = stop_supervisor(sup)
        clock.advance(6.9)
        assert child.is_alive()
        clock.advance(0.2)
        assert down.get(timeout=5).reason == Normal()
        assert child.exit_reason == Killed()
        assert [(report.context, report.reason) for report in seen] == [("shutdown_error", Killed())]


def test_brutal_kill_ends_even_what_swallows_its_cancellation(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("s", SwallowsCancel, shutdown="brutal_kill")))
    begun, release = Reply[None](), Reply[None]()
    child = ref_of(sup, "s")
    child.tell((begun, release))
    begun.get(timeout=5)
    stop_supervisor(sup).get(timeout=5)
    assert child.exit_reason == Killed()
    assert len(scheduler.orphans) == 1
    release.set(None)
    quiesce(scheduler)
    assert scheduler.orphans == []


class Cleans(AsyncActor):
    def __init__(self, log: list[Any], name: str) -> None:
        super().__init__()
        self.trap_exit = True
        self.log = log
        self.name = name

    async def on_stop(self) -> None:
        await asyncio.sleep(0)
        self.log.append((self.name, self.exit_reason))


def test_children_that_trap_exits_clean_up_one_after_the_other_in_reverse(scheduler: Scheduler) -> None:
    log: list[Any] = []
    sup = Supervisor.start_tree(SupervisorSpec(*[ChildSpec(name, (Cleans, (log, name))) for name in "abc"]))
    sup.stop()
    assert log == [("c", Shutdown()), ("b", Shutdown()), ("a", Shutdown())]


def test_dynamic_children_are_stopped_at_the_same_time() -> None:
    clock = VirtualClock()
    with no_leaks(), Scheduler(clock=clock):
        sup = DynamicSupervisor.start_link().get(timeout=5)
        assert sup is not None
        for seconds in (1.0, 2.0, 3.0):
            start_child(sup, ChildSpec("s", Stubborn, shutdown=seconds)).get(timeout=5)
        down = stop_supervisor(sup)
        clock.advance(2.9)
        assert not down.done()
        clock.advance(0.2)
        down.get(timeout=5)


# ---- change while running


def test_flags_change_while_running_and_bad_ones_are_refused(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("w", Worker), intensity=0))
    with pytest.raises(SpecError, match="intensity"):
        change_flags(sup, intensity=-1).get(timeout=5)
    with pytest.raises(SpecError, match="strategy"):
        change_flags(sup, strategy="simple_one_for_one").get(timeout=5)
    change_flags(sup, intensity=5, strategy="one_for_all").get(timeout=5)
    crash(ref_of(sup, "w"))
    assert states(sup) == {"w": "alive"}


def test_the_limit_of_a_dynamic_supervisor_changes_while_running(scheduler: Scheduler) -> None:
    sup = DynamicSupervisor.start_link(max_children=1).get(timeout=5)
    assert sup is not None
    start_child(sup, Worker).get(timeout=5)
    with pytest.raises(MaxChildrenError):
        start_child(sup, Worker).get(timeout=5)
    change_flags(sup, max_children=2).get(timeout=5)
    start_child(sup, Worker).get(timeout=5)
    with pytest.raises(SpecError, match="max_children"):
        change_flags(sup, max_children=-1).get(timeout=5)
    with pytest.raises(SpecError, match="strategy"):
        change_flags(sup, strategy="one_for_all").get(timeout=5)


class FromFile(Supervisor):
    """Its children are what the configuration says at the moment."""

    def __init__(self, configuration: list[str]) -> None:
        super().__init__(SupervisorSpec(id="configured"))
        self.configuration = configuration

    def init(self) -> SupervisorSpec:
        return SupervisorSpec(*[ChildSpec(name, Worker) for name in self.configuration], id="configured")


def test_init_is_asked_again_when_a_supervisor_is_changed_without_a_spec(scheduler: Scheduler) -> None:
    names = ["a"]
    sup = FromFile.start_link(names).get(timeout=5)
    assert sup is not None
    names.append("b")
    change_supervisor(sup).get(timeout=5)
    assert states(sup) == {"b": "undefined", "a": "alive"}
    restart_child(sup, "b").get(timeout=5)
    assert states(sup) == {"b": "alive", "a": "alive"}


def test_a_template_changes_while_running(scheduler: Scheduler) -> None:
    sup = Supervisor.start_tree(SupervisorSpec(ChildSpec("t", (Worker, (1,))), strategy="simple_one_for_one"))
    start_from_template(sup, 2).get(timeout=5)
    changed = SupervisorSpec(ChildSpec("t", (Worker, (7,)), "temporary"), strategy="simple_one_for_one")
    change_supervisor(sup, changed).get(timeout=5)
    ref = start_from_template(sup, 3).get(timeout=5)
    assert ref is not None
    assert ref.ask("?", timeout=5)[0] == (7, 3)


def test_paths_are_the_ids_from_the_root_down_in_reports_too(scheduler: Scheduler) -> None:
    seen = reports_of(scheduler)
    inner = SupervisorSpec(ChildSpec("w", Worker), id="inner")
    root = Supervisor.start_tree(SupervisorSpec(inner, id="root"))
    crash(ref_of(ref_of(root, "inner"), "w"))
    quiesce(scheduler)
    assert seen[0].supervisor == "root/inner"


def test_the_template_is_found_by_its_id_and_its_children_by_their_refs(scheduler: Scheduler) -> None:
    spec = ChildSpec("t", (Worker, (1,)))
    sup = Supervisor.start_tree(SupervisorSpec(spec, strategy="simple_one_for_one"))
    ref = start_from_template(sup, 2).get(timeout=5)
    assert get_child_spec(sup, "t").get(timeout=5) == spec
    assert get_child_spec(sup, ref).get(timeout=5).start.args == (1, 2)
    with pytest.raises(ChildNotFoundError):
        get_child_spec(sup, "x").get(timeout=5)
