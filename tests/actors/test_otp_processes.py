"""Processes, GenServer and Registry of Elixir, as recorded, played on both kinds of actor.

How their words map to ours is in `docs/actors.md`; `OURS` lists what deliberately comes out differently, and why.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from actors import (
    ActorCrashed,
    ActorDeadError,
    AsyncActor,
    Crash,
    Down,
    Exit,
    Ignore,
    Killed,
    NameTakenError,
    NoProcess,
    Normal,
    ReceiveTimeout,
    Reject,
    Reply,
    Scheduler,
    Shutdown,
    StartError,
    ThreadActor,
    Timeout,
    fiber,
)
from actors._registry import NotRegisteredError, Registered, Registry, Unregistered
from actors.testing import VirtualClock, await_down, quiesce

RECORDED = json.loads((Path(__file__).parent / "data" / "processes.json").read_text())
NAMED = {"normal": Normal(), "shutdown": Shutdown(), "killed": Killed(), "noproc": NoProcess()}

OURS = {
    "gs_call_bad_return": "a handler's return value is the answer, so none is wrong",
    "gs_hibernate": "memory is shared: there is no heap of an actor to shrink",
}


def tuple_(*items):
    return {"tuple": list(items)}


def word(reason):
    """An exit reason as the recordings write it."""
    for name, each in NAMED.items():
        if reason == each:
            return name
    if reason.frames or reason.type.endswith("Error"):
        return tuple_({"exception": reason.type, "message": reason.message}, "<stacktrace>")
    return reason.type


def reason_of(name):
    return NAMED.get(name) or Crash(name)


def message_word(message):
    match message:
        case Down(_, _, reason):
            return tuple_("DOWN", "<ref>", "process", "<pid>", word(reason))
        case Exit(_, reason):
            return tuple_("EXIT", "<pid>", word(reason))
    return message


class Body:
    """Does functions in its own name, logs all else; exit signals come to it raw, as to a bare process."""

    raw = True

    def __init__(self, log=None):
        self.log = log if log is not None else []

    def receive(self, message):
        if callable(message):
            return message(self)
        self.log.append(message)
        return None

    def on_exit(self, ref, reason):
        if self.raw:
            self.deliver_notice(Exit(ref, reason))
        else:
            super().on_exit(ref, reason)


class AsyncBody(Body, AsyncActor):
    @fiber
    def on_receive(self, message):
        return self.receive(message)


class ThreadBody(Body, ThreadActor):
    def on_receive(self, message):
        return self.receive(message)


class Server:
    """A gen_server that reports its terminate; `log` is its parent's mailbox, in effect."""

    raw = False

    def __init__(self, log, plan="x"):
        super().__init__(log)
        self.plan = plan
        self.state = 1

    def on_start(self):
        match self.plan:
            case "ignore":
                raise Ignore
            case ("stop", reason):
                self.exit(reason_of(reason))
            case ("raise", text):
                raise RuntimeError(text)
            case ("slow", event):
                event.get()
            case "continue":
                self.continue_with(tuple_("continue", "first"))
            case ("timeout", seconds):
                self.receive_timeout(seconds)

    def receive(self, message):
        match message:
            case ("stop_reply", reason):
                self.defer().set("bye")
                self.exit(reason_of(reason))
            case ("stop", reason):
                self.exit(reason_of(reason))
            case "raise":
                raise RuntimeError("boom")
            case ("continue", answer):
                self.continue_with(tuple_("continue", "after_reply"))
                return answer
            case ("wait for", event):
                return event.get()
            case "get":
                return self.state
            case ReceiveTimeout():
                self.log.append("timeout_msg")
            case Exit(_, reason):
                self.log.append(tuple_("info_exit", word(reason)))
            case _:
                return super().receive(message)
        return None

    def on_stop(self):
        self.log.append(tuple_("terminate_called", word(self.exit_reason)))

    def on_failure(self, exc_type, exc, tb):
        self.log.append(tuple_("terminate_called", word(self.exit_reason)))


class AsyncServer(Server, AsyncBody):
    @fiber
    def on_start(self):
        Server.on_start(self)

    @fiber
    def on_receive(self, message):
        return self.receive(message)


class ThreadServer(Server, ThreadBody):
    pass


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def scheduler(clock):
    with Scheduler(name="otp", clock=clock) as scheduler:
        yield scheduler


class Scene:
    """A driver that traps exits, and servers linked to it or not, of one kind of actor."""

    def __init__(self, scheduler, body, server):
        self.scheduler = scheduler
        self.body = body
        self.server_class = server
        self.log = []
        self.driver = body.with_options(trap_exit=True).start(self.log)

    def do(self, function):
        """In the driver's name; what the function raises is raised here and does not hurt the driver."""

        def guarded(driver):
            try:
                return function(driver)
            except Exception as error:
                raise Reject(error) from error

        return self.driver.ask(guarded, timeout=5)

    def spawn(self, function, **options):
        """A bare process that runs `function(actor)` and lives on."""
        ref = self.body.with_options(**options).start()
        ref.tell(function)
        return ref

    def server(self, plan="x", *, link=True, **options):
        def start(_):
            starter = self.server_class.with_options(link=link, **options)
            return starter.start_wait(self.log, plan).get(timeout=5)

        return self.do(start)

    def flush(self):
        quiesce(self.scheduler)
        seen, self.log[:] = [message_word(message) for message in self.log], []
        return seen


@pytest.fixture(params=[(AsyncBody, AsyncServer), (ThreadBody, ThreadServer)], ids=["async", "thread"])
def scene(scheduler, request):
    return Scene(scheduler, *request.param)


PLAYED: dict[str, str] = {}


def played(*names):
    def mark(test):
        PLAYED.update(dict.fromkeys(names, test.__name__))
        return test

    return mark


def recorded(pattern):
    return [name for name in RECORDED if re.fullmatch(pattern, name)]


# -- signals, links, monitors


@played(*recorded("sig_(exit2|link)_.*"))
@pytest.mark.parametrize("name", recorded("sig_(exit2|link)_.*"))
def test_what_an_exit_signal_does_depends_on_reason_trap_and_way(scene, name):
    way, trap, why = re.fullmatch(r"sig_(exit2|link)_(plain|trap)_(\w+)", name).groups()
    log = []
    target = scene.body.with_options(trap_exit=trap == "trap").start(log)
    if way == "link":
        partner = scene.body.start()
        target.ask(lambda actor: actor.link(partner), timeout=5)
        partner.tell(lambda actor: actor.exit(reason_of(why)))
    elif why == "kill":
        target.kill()
    else:
        target.exit(reason_of(why))
    quiesce(scene.scheduler)
    if not target.is_alive():
        observed = ["died", word(target.exit_reason)]
    elif log:
        observed = ["trapped", word(log[0].reason)]
    else:
        observed = ["ignored"]
    assert observed == RECORDED[name]["observed"]


@played("sig_self_normal")
def test_exiting_oneself_normally_ends_oneself(scene):
    ref = scene.spawn(lambda actor: actor.exit(Normal()))
    assert tuple_("died", word(await_down(ref).reason)) == RECORDED["sig_self_normal"]["observed"]


@played("sig_linked_killed")
def test_a_partner_that_was_killed_is_seen_as_killed(scene):
    partner = scene.body.start()
    scene.do(lambda driver: driver.link(partner))
    partner.kill()
    assert scene.flush() == RECORDED["sig_linked_killed"]["observed"]


@played("link_dead_trap", "monitor_dead")
@pytest.mark.parametrize("how", ["link", "monitor"])
def test_linking_or_monitoring_the_dead_tells_so_at_once(scene, how):
    dead = scene.body.start()
    dead.stop()
    scene.do(lambda driver: getattr(driver, how)(dead) and None)
    assert scene.flush() == RECORDED["link_dead_trap" if how == "link" else "monitor_dead"]["observed"]


@played("monitor_twice")
def test_two_monitors_give_two_downs(scene):
    ref = scene.body.start()
    scene.do(lambda driver: [driver.monitor(ref), driver.monitor(ref)])
    ref.stop()
    assert scene.flush() == RECORDED["monitor_twice"]["observed"]


@played("monitor_reasons")
def test_a_down_tells_the_reason(scene):
    def crash(actor):
        raise RuntimeError("x")

    seen = []
    for end in (
        lambda ref: ref.stop(),
        lambda ref: ref.tell(lambda actor: actor.exit(Crash("boom"))),
        lambda ref: ref.kill(),
        lambda ref: ref.tell(crash),
    ):
        ref = scene.body.start()
        scene.do(lambda driver, ref=ref: driver.monitor(ref) and None)
        end(ref)
        seen.append(scene.flush())
    assert seen == RECORDED["monitor_reasons"]["observed"]


@played("demonitor_flush")
def test_after_demonitor_no_down_is_left_in_the_mailbox(scene):
    ref = scene.body.start()
    held = []
    scene.do(lambda driver: held.append(driver.monitor(ref)))

    def die_then_demonitor(driver):
        ref.stop()
        driver.demonitor(held[0])

    scene.do(die_then_demonitor)
    assert scene.flush() == RECORDED["demonitor_flush"]["observed"]


@played("link_is_bidirectional_single")
def test_linking_twice_is_one_link_and_unlinking_ends_it(scene):
    ref = scene.body.start()
    scene.do(lambda driver: [driver.link(ref), driver.link(ref), driver.unlink(ref)])
    ref.tell(lambda actor: actor.exit(Crash("boom")))
    assert scene.flush() == RECORDED["link_is_bidirectional_single"]["observed"]


# -- gen_server


@played("gs_init_returns")
def test_start_link_tells_what_on_start_came_to(scene):
    plans = [
        ("x", "x"),
        ("ignore", "ignore"),
        (tuple_("stop", "boom"), ("stop", "boom")),
        (tuple_("raise", "oops"), ("raise", "oops")),
        (tuple_("stop", "normal"), ("stop", "normal")),
    ]
    observed = []
    for recorded_plan, plan in plans:
        try:
            ref = scene.server(plan)
            result = "ignore" if ref is None else tuple_("ok", "<pid>")
        except StartError as error:
            result = tuple_("error", word(error.reason))
        observed.append([recorded_plan, result, scene.flush()])
    expected = [entry for entry in RECORDED["gs_init_returns"]["observed"] if "throw" not in str(entry[0])]
    for entry in expected:
        if "error" in str(entry[1]):
            entry[2] = []  # ours: a start that fails is told once, by the reply, and not by a signal as well
    assert observed == expected


@played("gs_init_timeout")
def test_a_start_that_takes_too_long_is_an_error_and_the_actor_is_killed(scene, clock):
    started = []

    def start(driver):
        starter = scene.server_class.with_options(link=True, timeout=20.0)
        started.append(starter.start_wait(scene.log, ("slow", Reply())))

    scene.do(start)
    clock.advance(20.0)
    with pytest.raises(StartError) as error:
        started[0].get(timeout=5)
    assert [tuple_("error", error.value.reason.type.lower()), scene.flush()] == RECORDED["gs_init_timeout"]["observed"]
    assert all(type(ref._process) is not scene.server_class for ref in scene.scheduler.refs())


@played("gs_continue_first")
def test_what_on_start_continues_with_comes_before_all_mail(scene):
    server = scene.server("continue")
    server.tell(tuple_("info", "m"))
    assert scene.flush() == RECORDED["gs_continue_first"]["observed"]


@played("gs_timeout_message", "gs_timeout_cancelled")
@pytest.mark.parametrize("mail", [False, True])
def test_a_receive_timeout_comes_once_and_any_message_cancels_it(scene, clock, mail):
    server = scene.server(("timeout", 30.0))
    if mail:
        server.tell(tuple_("info", "m"))
    quiesce(scene.scheduler)
    clock.advance(100.0)
    assert scene.flush() == RECORDED["gs_timeout_cancelled" if mail else "gs_timeout_message"]["observed"]


@played("gs_call_timeout_late_reply")
def test_a_call_that_times_out_ends_a_caller_that_lets_it_and_the_late_answer_is_dropped(scene, clock):
    server, answer = scene.server(), Reply()
    call = server.call(("wait for", answer), timeout=20.0)
    caller = scene.spawn(lambda actor: call.get())
    clock.advance(20.0)
    reason = await_down(caller).reason
    assert isinstance(call.exception(), Timeout)
    answer.set("late")
    quiesce(scene.scheduler)
    assert isinstance(call.exception(), Timeout)
    observed = [reason.type.lower(), "exit", scene.flush(), server.is_alive()]
    assert observed == RECORDED["gs_call_timeout_late_reply"]["observed"]


@played("gs_call_noproc")
def test_asking_the_dead_or_nobody_fails_at_once(scene):
    dead = scene.body.start()
    dead.stop()
    nobody = scene.scheduler.registry.via("nobody")
    with pytest.raises(ActorDeadError) as of_dead:
        dead.ask("get")
    with pytest.raises(ActorDeadError) as of_nobody:
        nobody.ask("get")
    assert word(of_nobody.value.reason) == "noproc"
    # Ours: the error knows why it is dead, and tell raises too, as Pykka's does.
    assert of_dead.value.reason == Normal()
    for target in (dead, nobody):
        with pytest.raises(ActorDeadError):
            target.tell("m")
    assert [kind for kind, _ in RECORDED["gs_call_noproc"]["observed"][:2]] == ["exit", "exit"]


CALLS = {
    "gs_call_stop_reply": ("stop_reply", "normal"),
    "gs_call_stop_noreply": ("stop", "normal"),
    "gs_call_stop_noreply_boom": ("stop", "boom"),
    "gs_call_raise": "raise",
    "gs_call_exit": ("stop", "gone"),
}


@played(*CALLS)
@pytest.mark.parametrize("name", CALLS)
def test_an_asker_learns_at_once_why_the_actor_ended_and_its_end_is_called(scene, name):
    server = scene.server(link=False)
    try:
        result = tuple_("returned", server.ask(CALLS[name], timeout=5))
    except ActorCrashed as crashed:
        result = tuple_("exit", word(crashed.reason), "in_call")
    assert [result, scene.flush()] == RECORDED[name]["observed"]


@played(*recorded("gs_terminate_.*"))
@pytest.mark.parametrize("name", recorded("gs_terminate_.*"))
def test_on_stop_runs_when_terminate_does_and_the_parent_gets_the_same_signals(scene, name):
    trap, how = re.fullmatch(r"gs_terminate_(plain|trap)_(\w+)", name).groups()
    server = scene.server(trap_exit=trap == "trap")
    match how:
        case "parent_exit_shutdown":
            server.exit(Shutdown(), sender=scene.driver)
        case "genserver_stop":
            server.stop(timeout=5)
        case "kill":
            server.kill()
        case "cast_stop_normal":
            server.tell(("stop", "normal"))
        case "cast_stop_boom":
            server.tell(("stop", "boom"))
    assert scene.flush() == RECORDED[name]["observed"]


@played("gs_stranger_exit_trap")
def test_the_exit_signal_of_a_stranger_is_a_message_to_a_trapping_actor(scene):
    server = scene.server(link=False, trap_exit=True)
    server.exit(Shutdown())
    assert [scene.flush(), server.is_alive()] == RECORDED["gs_stranger_exit_trap"]["observed"]


@played("gs_fifo")
def test_messages_of_one_sender_are_handled_in_order(scene):
    server = scene.server()
    for number in range(100):
        server.tell(number)
    assert (scene.flush() == list(range(100))) is RECORDED["gs_fifo"]["observed"]


@played("gs_deferred_reply")
def test_an_answer_may_be_given_later_by_another(scene):
    held = []
    server = scene.server()
    call = server.call(lambda actor: held.append(actor.defer()))
    quiesce(scene.scheduler)
    assert not call.done()
    scene.spawn(lambda actor: held[0].set(5))
    assert call.get(timeout=5) == RECORDED["gs_deferred_reply"]["observed"]


@played("gs_reply_continue")
def test_an_answer_may_be_followed_by_a_continuation(scene):
    observed = [scene.server().ask(("continue", 1), timeout=5), scene.flush()]
    assert observed == RECORDED["gs_reply_continue"]["observed"]


@played("gs_stop_results")
def test_stopping_twice(scene):
    server = scene.server(link=False)
    # Ours, as Pykka's: True if it was alive; False, and no error, if it had ended.
    assert [server.stop(timeout=5), server.stop(timeout=5)] == [True, False]
    assert RECORDED["gs_stop_results"]["observed"] == ["ok", tuple_("exit", "noproc")]


@played("gs_name_conflict")
def test_a_name_that_is_taken_is_refused_without_a_signal(scene):
    first = scene.server(name="taken")
    with pytest.raises(NameTakenError) as refused:
        scene.server(name="taken")
    assert refused.value.ref is first
    result = tuple_("error", tuple_("already_started", "<pid>"))
    assert [result, scene.flush()] == RECORDED["gs_name_conflict"]["observed"]


@played("gs_sys")
def test_the_state_of_an_actor_is_read_and_replaced_and_its_mail_held_from_outside(scene, clock):
    server = scene.server()

    def replace(actor):
        actor.state += 1

    first = server.inspect(lambda actor: actor.state).get(timeout=5)
    server.inspect(replace).get(timeout=5)
    second = server.inspect(lambda actor: actor.state).get(timeout=5)
    server.suspend()
    call = server.call("get", timeout=20.0)
    clock.advance(20.0)
    third = tuple_("exit", type(call.exception()).__name__.lower())
    server.resume()
    observed = [first, second, third, server.ask("get", timeout=5)]
    assert observed == RECORDED["gs_sys"]["observed"]


# -- Registry


def ok_or_conflict(function):
    try:
        function()
    except NameTakenError:
        return tuple_("error", tuple_("already_registered", "<pid>"))
    return tuple_("ok", "<pid>")


def entries(registry, key):
    return [tuple_("<pid>", entry.value) for entry in registry.lookup(key)]


@played("reg_unique_conflict")
def test_reg_unique_conflict(scene):
    registry, other = Registry(), scene.body.start()
    observed = [
        scene.do(lambda driver: ok_or_conflict(lambda: registry.register("k", 1))),
        other.ask(lambda actor: ok_or_conflict(lambda: registry.register("k", 2)), timeout=5),
        scene.do(lambda driver: ok_or_conflict(lambda: registry.register("k", 3))),
        entries(registry, "k"),
    ]
    assert observed == RECORDED["reg_unique_conflict"]["observed"]


@played("reg_cleanup")
def test_reg_cleanup(scene):
    registry, ref = Registry(), scene.body.start()
    ref.ask(lambda actor: registry.register("k", 1), timeout=5)
    before = entries(registry, "k")
    down = ref.down()
    ref.kill()
    down.get(timeout=5)
    after = entries(registry, "k")
    again = scene.do(lambda driver: ok_or_conflict(lambda: registry.register("k", 9)))
    assert [before, after, again] == RECORDED["reg_cleanup"]["observed"]


@played("reg_duplicate")
def test_reg_duplicate(scene):
    registry, other = Registry("duplicate"), scene.body.start()
    scene.do(lambda driver: [registry.register("t", value) for value in (1, 2)])
    other.ask(lambda actor: registry.register("t", 3), timeout=5)
    seen = []
    registry.dispatch("t", lambda found: seen.append(tuple_("entries", sorted(entry.value for entry in found))))
    count = registry.count()
    scene.do(lambda driver: registry.unregister("t"))
    assert [seen, count, entries(registry, "t")] == RECORDED["reg_duplicate"]["observed"]


@played("reg_dispatch_none")
def test_reg_dispatch_none(scene):
    called = []
    Registry("duplicate").dispatch("none", called.append)
    assert ["ok", called] == RECORDED["reg_dispatch_none"]["observed"]


@played("reg_via")
def test_reg_via(scene):
    name = Registry().via("a")
    server = scene.server(link=False, name=name)
    server.ask(lambda actor: setattr(actor, "state", 5), timeout=5)
    answer = name.ask("get", timeout=5)
    try:
        second = scene.server(link=False, name=name)
    except NameTakenError:
        second = tuple_("error", tuple_("already_started", "<pid>"))
    server.stop(timeout=5)
    assert [answer, second, name.whereis()] == RECORDED["reg_via"]["observed"]


@played("reg_update_value")
def test_reg_update_value(scene):
    registry, other = Registry(), scene.body.start()
    scene.do(lambda driver: registry.register("k", 1))
    mine = tuple_(*scene.do(lambda driver: registry.update_value("k", lambda value: value + 1)))

    def try_to(actor):
        try:
            return registry.update_value("k", lambda value: value + 1)
        except NotRegisteredError:
            return "error"

    theirs = [tuple_("o", other.ask(try_to, timeout=5))]
    assert [mine, theirs] == RECORDED["reg_update_value"]["observed"]


@played("reg_keys_count")
def test_reg_keys_count(scene):
    registry = Registry()
    for key in ("a", "b"):
        scene.do(lambda driver, key=key: registry.register(key, key))
    observed = [
        sorted(registry.keys(scene.driver)),
        registry.count(),
        registry.values("a", scene.driver),
    ]
    assert observed == RECORDED["reg_keys_count"]["observed"]


@played("reg_listener")
def test_reg_listener(scene):
    registry = Registry(listeners=[scene.driver])
    scene.do(lambda driver: registry.register("k", 1))
    scene.do(lambda driver: registry.unregister("k"))
    observed = []
    for message in scene.flush():
        match message:
            case Registered(_, key, _, value):
                observed.append(["register", key, "<pid>", value])
            case Unregistered(_, key, _):
                observed.append(["unregister", key, "<pid>"])
    assert observed == RECORDED["reg_listener"]["observed"]


@played("reg_registry_crash_kills_owner")
def test_reg_registry_crash_kills_owner(scene):
    registry, ref = Registry(), scene.body.start()
    ref.ask(lambda actor: registry.register("k", 1), timeout=5)
    registry.close(Killed())
    observed = ["died", word(await_down(ref).reason)]
    assert observed == RECORDED["reg_registry_crash_kills_owner"]["observed"]


def test_every_recording_is_played_or_named_as_ours():
    assert sorted({*PLAYED, *OURS}) == sorted(RECORDED)
    assert not set(PLAYED) & set(OURS)
