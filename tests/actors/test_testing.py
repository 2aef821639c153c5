"""The helpers for tests, tested."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import actors
from actors import AsyncActor, Crash, Scheduler, ThreadActor, Timeout, blocking, fiber, sleep
from actors._errors import ActorError
from actors.testing import LeakError, NotQuietError, VirtualClock, await_down, leak_check, no_leaks, quiesce

pytest_plugins = ["pytester"]
assert leak_check is not None


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def scheduler(clock):
    with Scheduler(name="testing", clock=clock) as scheduler:
        yield scheduler


class Ticker(AsyncActor):
    def __init__(self, log):
        self.log = log

    def on_receive(self, message):
        match message:
            case ("every", seconds):
                return self.every(seconds, "tick")
            case ("after", seconds, what):
                return self.send_after(seconds, what)
            case ("then", seconds, what):
                return self.send_after(seconds, ("after", seconds, what))
            case what:
                return self.log.append((self.scheduler.clock.time(), what))


class ThreadTicker(ThreadActor):
    __init__ = Ticker.__init__
    on_receive = Ticker.on_receive


@pytest.mark.parametrize("kind", [Ticker, ThreadTicker])
def test_timers_go_off_when_virtual_time_passes_and_not_before(scheduler, clock, kind):
    log = []
    ref = kind.start(log)
    ref.ask(("every", 10.0))
    ref.ask(("after", 15.0, "once"))
    clock.advance(9.9)
    assert log == []
    clock.advance(20.2)
    assert log == [(10.0, "tick"), (15.0, "once"), (20.0, "tick"), (30.0, "tick")]
    assert clock.time() == pytest.approx(30.1)


@pytest.mark.parametrize("kind", [Ticker, ThreadTicker])
def test_what_a_timer_sets_off_happens_at_its_time_not_at_the_end_of_the_advance(scheduler, clock, kind):
    log = []
    kind.start(log).ask(("then", 5.0, "second"))
    clock.advance(100.0)
    assert log == [(10.0, "second")]


def test_a_cancelled_timer_never_goes_off(scheduler, clock):
    log = []
    timer = Ticker.start(log).ask(("every", 1.0))
    clock.advance(1.0)
    timer.cancel()
    clock.advance(10.0)
    assert len(log) == 1
    assert clock.pending == 0


def test_time_may_jump_to_the_next_timer(scheduler, clock):
    log = []
    ref = Ticker.start(log)
    ref.ask(("after", 3.0, "a"))
    ref.ask(("after", 7.5, "b"))
    assert [clock.advance_to_next(), clock.advance_to_next(), clock.advance_to_next()] == [3.0, 4.5, None]
    assert [what for _, what in log] == ["a", "b"]


def test_a_call_times_out_in_virtual_time(scheduler, clock):
    class Silent(AsyncActor):
        def on_receive(self, message):
            self.defer()

    reply = Silent.start().call("anybody?", timeout=60.0)
    clock.advance(59.0)
    assert not reply.done()
    clock.advance(1.0)
    with pytest.raises(Timeout):
        reply.get(timeout=0)


def test_a_fiber_sleeps_in_virtual_time(scheduler, clock):
    class Sleeper(AsyncActor):
        @fiber
        def on_receive(self, message):
            sleep(3600.0)
            return self.scheduler.clock.time()

    reply = Sleeper.start().call("sleep")
    clock.advance(3600.0)
    assert reply.get(timeout=5) == 3600.0


def test_a_clock_serves_one_scheduler_and_needs_one(clock):
    with pytest.raises(ActorError, match="no scheduler yet"):
        clock.advance(1)
    clock.bind(None)
    clock._scheduler = object()
    with pytest.raises(ActorError, match="one scheduler"):
        clock.bind(None)


class Forwarder(AsyncActor):
    """Sends a number on, one less, until it is nothing."""

    def __init__(self, done):
        self.done = done
        self.to = None

    async def on_receive(self, message):
        if not isinstance(message, int):
            self.to = message
        elif message == 0:
            self.done.append(threading.current_thread().name)
        else:
            await asyncio.sleep(0)
            self.to.tell(message - 1)


class ThreadForwarder(ThreadActor):
    __init__ = Forwarder.__init__
    on_receive = Forwarder.on_receive


@pytest.mark.parametrize("kinds", [(Forwarder, Forwarder), (Forwarder, ThreadForwarder), (ThreadForwarder,) * 2])
def test_when_it_is_quiet_every_message_and_its_consequences_have_been_handled(scheduler, kinds):
    done = []
    one, two = (kind.start(done) for kind in kinds)
    one.tell(two)
    two.tell(one)
    for _ in range(20):
        one.tell(30)
    quiesce(scheduler)
    assert len(done) == 20


def test_two_schedulers_that_talk_are_waited_for_together(scheduler):
    done = []
    with Scheduler(name="other") as other:
        one = Forwarder.with_options(scheduler=scheduler).start(done)
        two = Forwarder.with_options(scheduler=other).start(done)
        one.tell(two)
        two.tell(one)
        one.tell(200)
        quiesce(scheduler, other)
        assert len(done) == 1


@pytest.mark.parametrize("base", [AsyncActor, ThreadActor])
def test_code_that_blocks_is_not_quiet_and_is_named(scheduler, base):
    release = threading.Event()

    class Blocker(base):
        @blocking
        def on_receive(self, message):
            release.wait(5)

    ref = Blocker.start()
    ref.tell("block")
    with pytest.raises(NotQuietError) as found:
        quiesce(scheduler, timeout=0.05)
    assert any("blocking call" in busy or "Blocker" in busy for busy in found.value.busy)
    release.set()
    quiesce(scheduler)


def test_an_actor_that_waits_for_an_answer_is_quiet(scheduler):
    class Silent(AsyncActor):
        def on_receive(self, message):
            self.held = self.defer()

    silent = Silent.start()

    class Asker(ThreadActor):
        def on_receive(self, message):
            silent.ask("anybody?")

    Asker.start().tell("go")
    quiesce(scheduler)
    silent.stop()


def test_quiet_cannot_be_awaited_on_the_loop_itself(scheduler):
    async def on_loop():
        quiesce(scheduler)

    with pytest.raises(ActorError, match="own thread"):
        scheduler.submit(on_loop()).get(timeout=5)


def test_await_down_gives_the_reason(scheduler):
    ref = Ticker.start([])
    ref.exit(Crash("boom"))
    assert await_down(ref).reason == Crash("boom")
    assert await_down(ref).reason == Crash("boom")
    with pytest.raises(Timeout):
        await_down(Ticker.start([]), timeout=0)


# -- leaks


def test_a_block_that_cleans_up_leaves_nothing():
    with no_leaks(), Scheduler(name="clean"):
        Ticker.start([]).ask(("every", 1.0))
        ThreadTicker.start([]).ask("x")


def test_a_scheduler_that_is_left_running_is_reported_with_its_actors_and_threads():
    scheduler = Scheduler(name="forgotten")
    with pytest.raises(LeakError) as found, no_leaks(grace=0):  # noqa: PT012
        scheduler.start()
        ref = Ticker.with_options(scheduler=scheduler).start([])
    scheduler.shutdown()
    left = " ".join(found.value.left)
    assert f"actor {ref}" in left
    assert "scheduler 'forgotten'" in left
    assert "thread 'forgotten-loop'" in left


def test_an_actor_left_in_a_scheduler_that_was_there_before_is_reported(scheduler):
    with pytest.raises(LeakError) as found, no_leaks(grace=0):
        ref = Ticker.start([])
    assert found.value.left == [f"actor {ref}"]


def test_a_child_process_that_is_left_is_reported_until_it_is_reaped():
    with pytest.raises(LeakError, match="process"), no_leaks(grace=0):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.kill()
    child.communicate()


def test_a_thread_that_is_just_ending_is_given_time():
    release = threading.Event()
    with no_leaks(grace=5):
        thread = threading.Thread(target=release.wait)
        thread.start()
        threading.Timer(0.01, release.set).start()
    thread.join()


def test_the_fixture_fails_the_test_that_leaks_and_no_other(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(actors.__file__).parents[1]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a dozen plugins take longer to load than this to run
    pytester.makepyfile(
        """
        import pytest
        from actors import AsyncActor, Killed, Scheduler
        from actors.testing import leak_check

        scheduler = Scheduler(name="module").start()

        @pytest.fixture(scope="module", autouse=True)
        def end():
            yield
            scheduler.shutdown()

        def test_leaking(leak_check):
            AsyncActor.with_options(scheduler=scheduler).start()

        def test_clean(leak_check):
            AsyncActor.with_options(scheduler=scheduler).start().kill()
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2, errors=1)
