"""Links and monitors under any sequence of events, against a model that is a dozen lines long."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import pytest
import structlog.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from actors import (
    AsyncActor,
    Crash,
    Down,
    Exit,
    Killed,
    NoProcess,
    Normal,
    Reply,
    Scheduler,
    Shutdown,
    ThreadActor,
)
from actors.testing import await_down, quiesce


def peer(kind: Any) -> Any:
    class Peer(kind):
        def __init__(self) -> None:
            self.got: list[Any] = []

        def on_receive(self, message: Any) -> Any:
            match message:
                case Down() | Exit():
                    self.got.append(message)
                case "crash":
                    raise ValueError("boom")
                case ("exit", reason):
                    self.exit(reason)
                case (method, *arguments):
                    return getattr(self, method)(*arguments)
            return None

    return Peer


KINDS = [peer(AsyncActor), peer(ThreadActor)]
REASONS = st.sampled_from([Normal(), Shutdown(), Shutdown("detail"), Crash("boom")])


class GraphMachine(RuleBasedStateMachine):
    """Actors of both kinds that link, monitor, trap and die in any order; who learns what is computed beside them."""

    actors = Bundle("actors")
    watches = Bundle("watches")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler("graph").start()
        self.ended: dict[Any, Any] = {}  # the model: reason of each end
        self.traps: dict[Any, bool] = {}
        self.links: set[frozenset[Any]] = set()
        self.monitors: dict[Any, tuple[Any, Any]] = {}  # monitor: (owner, who is watched)
        self.exits: Counter[tuple[Any, Any, Any]] = Counter()  # (to whom, from whom, reason)
        self.downs: dict[Any, tuple[Any, Any]] = {}  # monitor: (owner, reason)
        self.down_callbacks: list[tuple[Any, list[Any]]] = []

    def teardown(self) -> None:
        report = self.scheduler.shutdown()
        assert report.clean, report
        for ref, calls in self.down_callbacks:
            assert [down.ref for down in calls] == [ref]  # exactly one, be it at the very end

    def model_end(self, ref: Any, reason: Any) -> None:
        if ref in self.ended:
            return
        self.ended[ref] = reason
        for monitor, (owner, watched) in list(self.monitors.items()):
            if watched is ref:
                del self.monitors[monitor]
                self.downs[monitor] = (owner, reason)
            elif owner is ref:
                del self.monitors[monitor]
        partners = [other for pair in self.links if ref in pair for other in pair if other is not ref]
        self.links = {pair for pair in self.links if ref not in pair}
        for partner in partners:
            self.model_signal(partner, ref, reason)

    def model_signal(self, ref: Any, sender: Any, reason: Any) -> None:
        if ref in self.ended:
            return
        if self.traps[ref]:
            self.exits[ref, sender, reason] += 1
        elif reason != Normal():
            self.model_end(ref, reason)

    # -- what happens

    @rule(target=actors, kind=st.sampled_from(KINDS), trap=st.booleans())
    def start(self, kind: Any, trap: bool) -> Any:
        ref = kind.with_options(scheduler=self.scheduler, trap_exit=trap).start()
        self.traps[ref] = trap
        calls: list[Any] = []
        ref.monitor(calls.append)
        self.down_callbacks.append((ref, calls))
        return ref

    @rule(one=actors, other=actors)
    def link(self, one: Any, other: Any) -> None:
        if one in self.ended:
            return
        one.ask(("link", other), timeout=10)
        if other in self.ended:
            self.model_signal(one, other, NoProcess())
        elif one is not other:
            self.links.add(frozenset((one, other)))

    @rule(one=actors, other=actors)
    def unlink(self, one: Any, other: Any) -> None:
        if one in self.ended:
            return
        quiesce(self.scheduler)
        one.ask(("unlink", other), timeout=10)
        self.links.discard(frozenset((one, other)))

    @rule(target=watches, one=actors, other=actors)
    def monitor(self, one: Any, other: Any) -> Any:
        if one in self.ended:
            return None
        monitor = one.ask(("monitor", other), timeout=10)
        if other in self.ended:
            self.downs[monitor] = (one, NoProcess())
        else:
            self.monitors[monitor] = (one, other)
        return (one, monitor)

    @rule(watch=consumes(watches))
    def demonitor(self, watch: Any) -> None:
        if watch is None or watch[0] in self.ended:
            return
        owner, monitor = watch
        quiesce(self.scheduler)  # what had come by then is in its list already
        owner.ask(("demonitor", monitor), timeout=10)
        self.monitors.pop(monitor, None)

    @rule(ref=actors, reason=REASONS)
    def exit_signal(self, ref: Any, reason: Any) -> None:
        ref.exit(reason)
        self.model_signal(ref, None, reason)

    @rule(ref=actors)
    def kill(self, ref: Any) -> None:
        ref.kill()
        self.model_end(ref, Killed())

    @rule(ref=actors)
    def stop(self, ref: Any) -> None:
        assert ref.stop(timeout=10) is (ref not in self.ended)
        self.model_end(ref, Normal())

    @rule(ref=actors, reason=REASONS)
    def end_by_itself(self, ref: Any, reason: Any) -> None:
        if ref not in self.ended:
            ref.tell(("exit", reason))
            self.model_end(ref, reason)

    @rule(ref=actors)
    def crash(self, ref: Any) -> None:
        if ref not in self.ended:
            ref.tell("crash")
            self.model_end(ref, Crash("ValueError", "boom"))

    # -- what must be true after each of them

    @invariant()
    def the_actors_are_as_the_model_says(self) -> None:
        quiesce(self.scheduler)
        assert {ref for ref in self.traps if not ref.is_alive()} == set(self.ended)
        assert {ref: ref.exit_reason for ref in self.ended} == self.ended
        for ref, calls in self.down_callbacks:
            assert [down.reason for down in calls] == ([self.ended[ref]] if ref in self.ended else [])
        for ref in self.traps:
            if ref in self.ended:
                continue
            got = ref.inspect(lambda actor: list(actor.got)).get(timeout=10)
            seen = Counter((ref, message.ref, message.reason) for message in got if isinstance(message, Exit))
            assert seen == Counter({key: n for key, n in self.exits.items() if key[0] is ref})
            held = ref.inspect(lambda actor: (set(actor._links or ()), len(actor._monitoring or ()))).get(timeout=10)
            linked = {other for pair in self.links if ref in pair for other in pair if other is not ref}
            assert held == (linked, sum(owner is ref for owner, _ in self.monitors.values()))  # nothing of the dead
            downs = [message for message in got if isinstance(message, Down)]
            assert len({message.monitor for message in downs}) == len(downs)  # never two for one monitor
            expected = {monitor: reason for monitor, (owner, reason) in self.downs.items() if owner is ref}
            assert {message.monitor: message.reason for message in downs} == expected


TestGraph = GraphMachine.TestCase
TestGraph.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


def test_a_callback_that_raises_keeps_nobody_from_a_down(actor_kind: Any, log: list[Any], scheduler: Scheduler) -> None:
    def bad(_: Any) -> None:
        raise RuntimeError("bad callback")

    ref, watch = peer(actor_kind).start(), peer(actor_kind).start()
    got: list[Any] = []
    for _ in range(3):
        ref.monitor(got.append)
        ref.monitor(bad)
        ref.down().add_done_callback(bad)
        watch.ask(("monitor", ref))
    stopping: Reply[bool] = ref.stop(block=False)
    assert stopping.get(timeout=5) is True
    quiesce(scheduler)
    assert [down.reason for down in got] == [Normal()] * 3
    assert len(watch.inspect(lambda actor: actor.got).get(timeout=5)) == 3
    assert len([entry for entry in log if entry["log_level"] == "error"]) == 6
    assert peer(actor_kind).start().ask(("monitor", watch)) is not None  # the loop goes on


def test_a_long_lived_watcher_keeps_nothing_of_those_that_ended(actor_kind: Any, scheduler: Scheduler) -> None:
    watcher = peer(actor_kind).start()
    for _ in range(3):
        other = peer(actor_kind).start()
        watcher.ask(("monitor", other), timeout=5)
        other.stop(timeout=30)
    quiesce(scheduler)
    assert watcher.inspect(lambda actor: len(actor.got)).get(timeout=5) == 3
    assert not watcher.inspect(lambda actor: actor._monitoring).get(timeout=5)


def test_a_hook_that_raises_at_the_end_keeps_nobody_from_a_down(actor_kind: Any, log: list[Any]) -> None:
    class Careless(actor_kind):
        def on_undelivered(self, *_: Any) -> bool:
            raise RuntimeError("bad hook")

        def on_failure(self, *_: Any) -> None:
            raise RuntimeError("bad hook")

        def on_receive(self, message: Any) -> Any:
            raise ValueError("boom")

    ref = Careless.start()
    ref.suspend()
    waiting = [ref.call("x"), ref.call("y")]
    down = ref.down()
    ref.resume()
    assert down.get(timeout=5).reason == Crash("ValueError", "boom")
    for reply in waiting:
        with pytest.raises(Exception, match="ended before it answered"):
            reply.get(timeout=5)
    assert {entry["event"] for entry in log} == {"on_failure raised", "on_undelivered raised"}


class CrowdedLane(deque):  # type: ignore[type-arg]
    """A lane into which another thread puts something right after each signal, before its sender goes on."""

    def append(self, signal: Any) -> None:
        super().append(signal)
        super().append(("inspect", id, Reply()))


class TornLane(deque):  # type: ignore[type-arg]
    """A lane out of which the actor takes each signal before its sender goes on."""

    def append(self, signal: Any) -> None:
        """It is gone at once."""


@pytest.mark.parametrize("lane", [CrowdedLane, TornLane])
def test_a_kill_is_not_lost_when_other_signals_are_sent_or_taken_up_at_the_same_moment(
    scheduler: Scheduler, lane: Any
) -> None:
    ref = peer(ThreadActor).start()
    process = ref._process
    assert process is not None
    process._signals = lane()
    ref.kill()
    assert await_down(ref, timeout=10).reason == Killed()
