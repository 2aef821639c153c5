"""The scheduler: life and end, names, timers, work that is no actor's, forks, and the watchdog."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any

import pytest

from actors import (
    AsyncActor,
    Crash,
    NameTakenError,
    NoSchedulerError,
    Scheduler,
    Shutdown,
    StartError,
    ThreadActor,
    blocking,
    fiber,
    sleep,
)
from actors.testing import VirtualClock


class Plain(AsyncActor):
    def on_receive(self, message: Any) -> Any:
        return message


class PlainThread(ThreadActor):
    def on_receive(self, message: Any) -> Any:
        return message


def test_several_schedulers_live_in_one_process_and_actors_find_their_own() -> None:
    with Scheduler("one") as one:
        first = Plain.start()
        with Scheduler("two") as two:
            second = Plain.start()
            assert (first.scheduler, second.scheduler) == (one, two)
        assert Plain.start().scheduler is one

        class Parent(AsyncActor):
            def on_receive(self, message: Any) -> Any:
                return Plain.start().scheduler

        assert Parent.with_options(scheduler=one).start().ask("x") is one


def test_a_scheduler_is_an_async_context_manager_too() -> None:
    async def program() -> Any:
        async with Scheduler("async") as scheduler:
            answer = await Plain.start().call("x")
        return answer, scheduler.running

    assert asyncio.run(program()) == ("x", False)


def test_a_scheduler_is_used_once_and_says_so() -> None:
    scheduler = Scheduler("once").start()
    with pytest.raises(NoSchedulerError, match="make a new one"):
        scheduler.start()
    scheduler.shutdown()
    with pytest.raises(NoSchedulerError, match="not running"):
        Plain.with_options(scheduler=scheduler).start()
    with pytest.raises(NoSchedulerError):
        scheduler.submit(lambda: 1).get(timeout=1)


def test_shutdown_stops_the_youngest_first_and_runs_on_stop() -> None:
    ended: list[int] = []

    class Ending(AsyncActor):
        def __init__(self, number: int) -> None:
            self.number = number

        def on_stop(self) -> None:
            ended.append(self.number)

    with Scheduler("order"):
        for number in range(5):
            Ending.start(number)
    assert ended == [4, 3, 2, 1, 0]


def test_shutdown_reports_what_did_not_stop() -> None:
    begun, go = threading.Event(), threading.Event()

    class Deaf(ThreadActor):
        def on_receive(self, message: Any) -> None:
            begun.set()
            go.wait(10)

    class Stubborn(AsyncActor):
        async def on_stop(self) -> None:
            await asyncio.sleep(100)

    scheduler = Scheduler("deaf").start()
    deaf = Deaf.with_options(scheduler=scheduler, name="deaf one").start()
    Stubborn.with_options(scheduler=scheduler).start()
    deaf.tell("x")
    assert begun.wait(5)
    report = scheduler.shutdown(0.3)
    assert not report.clean
    assert any("deaf one" in name for name in report.killed)
    assert report.seconds < 3
    assert scheduler.shutdown() is report
    go.set()


def test_shutdown_is_refused_on_the_loop_itself(scheduler: Scheduler) -> None:
    class Suicidal(AsyncActor):
        def on_receive(self, message: Any) -> str:
            try:
                scheduler.shutdown()
            except RuntimeError as error:
                return str(error)
            return "no error"

    assert "another thread" in Suicidal.start().ask("x")


def test_a_name_belongs_to_one_living_actor(actor_kind: Any, scheduler: Scheduler) -> None:
    class Named(actor_kind):
        def on_receive(self, message: Any) -> Any:
            return message

    ref = Named.with_options(name="the one").start()
    assert scheduler.whereis("the one") is ref
    with pytest.raises(NameTakenError, match="the one") as caught:
        Named.with_options(name="the one").start()
    assert caught.value.ref is ref
    with pytest.raises(NameTakenError):
        Named.with_options(name="the one").start_link().get(timeout=5)
    ref.kill()
    ref.down().get(timeout=5)
    assert scheduler.whereis("the one") is None
    assert Named.with_options(name="the one").start().is_alive()
    assert len(scheduler.refs()) == 1


def test_timers_go_off_once_or_repeatedly_until_cancelled(actor_kind: Any, scheduler: Scheduler) -> None:
    class Clockwork(actor_kind):
        def __init__(self) -> None:
            super().__init__()
            self.ticks: list[str] = []
            self.third = threading.Event()

        def on_start(self) -> None:
            self.send_after(0.001, "once")
            self.send_after(0.001, "never").cancel()
            self.repeating = self.every(0.001, "tick")

        def on_receive(self, message: str) -> Any:
            self.ticks.append(message)
            if self.ticks.count("tick") == 3:
                self.repeating.cancel()
                self.send_after(0.02, "last")
            if message == "last":
                self.third.set()

    ref = Clockwork.start()
    actor = ref._process
    assert actor.third.wait(5)
    assert actor.ticks.count("once") == 1
    assert actor.ticks.count("tick") == 3
    assert "never" not in actor.ticks


def test_a_timer_of_a_dead_actor_is_silent(scheduler: Scheduler) -> None:
    class Ticking(AsyncActor):
        def on_start(self) -> None:
            self.every(0.001, "tick")

        def on_receive(self, message: Any) -> None:
            raise ValueError("one tick is enough")

    ref = Ticking.start()
    ref.down().get(timeout=5)
    scheduler.submit(asyncio.sleep(0.02)).get()
    assert scheduler.crashes == {"test_a_timer_of_a_dead_actor_is_silent.<locals>.Ticking": 1}


def test_call_with_a_timeout_fails_then_and_drops_the_late_answer(scheduler: Scheduler) -> None:
    from actors import Timeout

    class Slow(AsyncActor):
        async def on_receive(self, message: Any) -> Any:
            await asyncio.sleep(0.03)
            return message

    ref = Slow.start()
    reply = ref.call("x", timeout=0.001)
    with pytest.raises(Timeout, match="did not answer within"):
        reply.get(timeout=5)
    assert ref.ask("y", timeout=5) == "y"
    with pytest.raises(Timeout):
        reply.get()


def test_messages_to_actors_that_end_first_are_dead_letters(scheduler: Scheduler) -> None:
    letters: list[Any] = []
    with scheduler.events.subscribe("actor.dead_letter", lambda event: letters.append(event.metadata["message"])):
        ref = Plain.start()
        ref.suspend()
        ref.tell("lost")
        ref.kill()
        ref.down().get(timeout=5)
    assert letters == ["lost"]
    assert scheduler.dead_letters == 1


def test_news_of_others_that_come_too_late_are_no_dead_letters(scheduler: Scheduler) -> None:
    class Watcher(AsyncActor):
        def on_receive(self, message: Any) -> None:
            self.monitor(message)

    watcher, other = Watcher.start(), Plain.start()
    watcher.ask(other, timeout=5)
    watcher.suspend()
    other.kill()
    other.down().get(timeout=5)
    watcher.kill()
    watcher.down().get(timeout=5)
    assert scheduler.dead_letters == 0


def test_life_and_death_are_events(scheduler: Scheduler) -> None:
    seen: list[tuple[str, Any]] = []
    with scheduler.events.subscribe("actor", lambda event: seen.append((event.name, event.metadata.get("reason")))):
        ref = Plain.start()
        ref.exit(Crash("boom"))
        ref.down().get(timeout=5)
    assert seen == [("actor.started", None), ("actor.crashed", Crash("boom"))]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_every_use_after_a_fork_is_refused_with_advice_and_the_child_can_make_its_own() -> None:
    program = """
        import os, signal, sys
        from actors import AsyncActor, ForkedError, Scheduler, ThreadActor
        class Plain(AsyncActor):
            def on_receive(self, message): return message
        class PlainThread(ThreadActor):
            def on_receive(self, message): return message
        with Scheduler("parent") as scheduler:
            refs = [Plain.start(), PlainThread.start()]
            scheduler.run_blocking(int).get()  # an idle thread of the pool, which a fork does not take along
            assert [ref.ask("x") for ref in refs] == ["x", "x"]
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # what hangs is ended
                for ref in refs:
                    uses = {
                        "start": Plain.with_options(scheduler=scheduler).start,
                        "tell": lambda: ref.tell("x"),
                        "ask": lambda: ref.ask("x"),
                        "stop": ref.stop,
                        "exit": lambda: ref.exit(None),
                        "kill": ref.kill,
                        "suspend": ref.suspend,
                        "inspect": lambda: ref.inspect(id).get(),
                        "call_later": lambda: scheduler.call_later(0, print),
                        "submit": lambda: scheduler.submit(print).get(),
                        "run_blocking": lambda: scheduler.run_blocking(print).get(),
                    }
                    for name, use in [*uses.items()] * 2:  # the second time as well
                        try:
                            use()
                        except ForkedError as error:
                            assert "after the fork" in str(error)
                        else:
                            print(name, "was not refused", file=sys.stderr)
                            os._exit(1)
                with Scheduler("child"):
                    if Plain.start().ask("y") != "y":
                        os._exit(2)
                if Plain.start().ask("z") != "z":  # and a default one
                    os._exit(3)
                sys.exit(0)  # through the end of the `with` block and of the interpreter
            _, status = os.waitpid(child, 0)
            assert [ref.ask("z") for ref in refs] == ["z", "z"]
            sys.exit(os.waitstatus_to_exitcode(status))
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_fork_in_the_middle_of_everything_does_not_take_a_lock_along() -> None:
    program = """
        import os, signal, threading
        from actors import AsyncActor, Scheduler
        class Plain(AsyncActor):
            def on_receive(self, message): return message
        over = threading.Event()
        def work():
            with Scheduler("busy"):
                while not over.is_set():
                    ref = Plain.start()
                    ref.monitor(id)
                    ref.ask("x")
                    ref.stop()
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(8):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                with Scheduler("child"):
                    ref = Plain.start()
                    os._exit(0 if ref.ask("y") == "y" and ref.stop() else 1)
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        for thread in threads:
            thread.join()
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], timeout=60, check=False)
    assert done.returncode == 0


def test_a_scheduler_that_cannot_be_made_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_loop() -> Any:
        raise OSError("too many open files")

    with pytest.raises(NoSchedulerError, match="too many open files"):
        Scheduler("x", loop_factory=no_loop).start()
    clock = VirtualClock()
    with Scheduler("first", clock=clock), pytest.raises(NoSchedulerError, match="belongs to one scheduler"):
        Scheduler("second", clock=clock).start()

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Scheduler("third") as scheduler:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(NoSchedulerError, match="can't start new thread"):
                Scheduler("x").start()
            with pytest.raises(StartError, match="can't start new thread"):
                PlainThread.with_options(name="a name").start()
            with pytest.raises(NoSchedulerError, match="can't start new thread"):
                scheduler.run_blocking(int)
        assert scheduler.refs() == []
        assert scheduler.whereis("a name") is None
        assert scheduler.run_blocking(int).get(timeout=5) == 0
    with pytest.raises(NoSchedulerError, match="closed"):
        scheduler.run_blocking(int)


STUCK = """
import asyncio, sys, threading, time
from actors import AsyncActor, Reply, Scheduler, ThreadActor, blocking, fiber

begun = threading.Semaphore(0)

class Sleeping(ThreadActor):
    def on_receive(self, message): begun.release(); time.sleep(1000)

class Waiting(AsyncActor):
    async def on_receive(self, message): begun.release(); await asyncio.sleep(1000)

class Stubborn(AsyncActor):
    async def on_receive(self, message):
        begun.release()
        while True:
            try: await asyncio.sleep(1000)
            except asyncio.CancelledError: pass

class Parked(AsyncActor):
    @fiber
    def on_receive(self, message): begun.release(); Reply().get()

class OnThePool(AsyncActor):
    @blocking
    def on_receive(self, message): begun.release(); time.sleep(1000)

class NeverDone(ThreadActor):
    def on_receive(self, message): begun.release()
    def on_stop(self): time.sleep(1000)

class Spinning(AsyncActor):
    def on_receive(self, message):
        begun.release()
        while True: pass

def start(*kinds):
    for kind in kinds:
        kind.start().tell("x")  # on the default scheduler, which is shut down at exit
        kind.with_options(scheduler=Scheduler("forgotten").start()).start().tell("x")  # on one that is never
    for _ in kinds:
        begun.acquire()
        begun.acquire()

"""


@pytest.mark.parametrize(
    "script",
    ["start(Sleeping, Waiting, Stubborn, Parked, OnThePool, NeverDone)", "start(Spinning); sys.exit(0)"],
    ids=["all that waits", "what computes for ever"],
)
def test_the_interpreter_ends_whatever_actors_do(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK + script], timeout=90, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_handler_that_waits_on_the_loop_is_named_and_moved_to_threads() -> None:
    stalls: list[Any] = []
    noticed = threading.Event()

    class Sleeper(AsyncActor):
        @fiber
        def on_receive(self, message: Any) -> str:
            if message == "sleep":
                noticed.wait(5)
            return threading.current_thread().name

    with Scheduler("watched", stall_after=0.05) as scheduler:
        ref = Sleeper.with_options(name="sleepy").start()

        def stalled(event: Any) -> None:
            stalls.append(event)
            noticed.set()

        with scheduler.events.subscribe("scheduler.stalled", stalled):
            assert ref.ask("sleep", timeout=10) == "watched-loop"
        (event,) = stalls
        assert "sleepy" in event.metadata["actor"]
        assert event.metadata["waited"] is True
        assert "noticed.wait" in event.metadata["stack"]
        assert event.measurements["seconds"] >= 0.05
        assert "blocking" in ref.ask("again", timeout=5)


def test_a_handler_that_computes_is_told_from_one_that_waits() -> None:
    stalls: list[Any] = []
    noticed = threading.Event()

    class Busy(AsyncActor):
        def on_receive(self, message: Any) -> None:
            deadline = time.monotonic() + 10
            while not noticed.is_set() and time.monotonic() < deadline:
                sum(range(1000))

    with Scheduler("watched", stall_after=0.05) as scheduler:

        def stalled(event: Any) -> None:
            stalls.append(event)
            noticed.set()

        with scheduler.events.subscribe("scheduler.stalled", stalled):
            for _ in range(5):  # where the machine itself was stopped meanwhile, it looks as if the handler had waited
                noticed.clear()
                Busy.start().ask("x", timeout=20)
                if not stalls[-1].metadata["waited"]:
                    break
        assert stalls[-1].metadata["waited"] is False
        assert stalls[-1].metadata["message"] == "str"


def test_a_blocking_handler_never_stalls_the_loop() -> None:
    stalls: list[Any] = []

    class Heavy(AsyncActor):
        @blocking
        def on_receive(self, message: Any) -> None:
            threading.Event().wait(0.2)

    with Scheduler("watched", stall_after=0.05) as scheduler:
        with scheduler.events.subscribe("scheduler.stalled", stalls.append):
            Heavy.start().ask("x", timeout=5)
    assert stalls == []


def test_one_clock_and_one_rng_make_a_run_repeatable() -> None:
    def draw() -> list[float]:
        with Scheduler("seeded", seed=7) as scheduler:
            return [scheduler.rng.random() for _ in range(3)]

    assert draw() == draw()


def test_a_life_takes_as_many_steps_among_thousands_as_alone() -> None:
    """Counted in calls: start, look-up, link, monitor, demonitor and stop do not look at the other actors."""

    class Counting(AsyncActor):
        async def on_receive(self, message: Any) -> int:
            steps = 0

            def count(*_: object) -> None:
                nonlocal steps
                steps += 1

            sys.setprofile(count)
            ref = Plain.with_options(name="a name").start()
            assert self.scheduler.whereis("a name") is ref
            self.link(ref)
            self.unlink(ref)
            self.demonitor(self.monitor(ref))
            await ref.stop(block=False)
            sys.setprofile(None)
            return steps

    with Scheduler("crowd", stall_after=60):
        counting = Counting.start()
        alone = min(counting.ask("x", timeout=30) for _ in range(5))
        others = [Plain.with_options(name=number).start() for number in range(3000)]
        among = min(counting.ask("x", timeout=30) for _ in range(5))
        for ref in others:
            ref.kill()
        assert among == alone


def test_nothing_is_left_after_a_scheduler() -> None:
    gc.collect()  # what other tests left to the collector may hold files
    threads = set(threading.enumerate())
    handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        with Scheduler("tidy") as scheduler:
            ref = Plain.start()
            ref.ask("x")
            scheduler.run_blocking(lambda: None).get()
            ref.exit(Shutdown())
    assert set(threading.enumerate()) == threads
    if handles:
        assert len(os.listdir("/proc/self/fd")) < handles + 5  # not one for each of them


def test_submitted_work_ends_with_the_scheduler_and_its_waiter_learns_it() -> None:
    unwound = threading.Event()
    outcome: list[BaseException] = []
    begun = threading.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            unwound.set()

    def waiting() -> None:
        try:
            reply.get()
        except BaseException as error:  # noqa: BLE001
            outcome.append(error)

    scheduler = Scheduler("short").start()
    reply = scheduler.submit(endless())
    waiter = threading.Thread(target=waiting)
    waiter.start()
    assert begun.wait(5)
    scheduler.shutdown()
    waiter.join(5)
    assert unwound.is_set()
    assert isinstance(outcome[0], asyncio.CancelledError)


def test_one_handler_moved_to_threads_leaves_the_others_on_the_loop() -> None:
    class Other(AsyncActor):
        def on_receive(self, message: Any) -> str:
            return threading.current_thread().name

    with Scheduler("watched") as scheduler:
        scheduler.mark_blocking(Plain.on_receive)
        assert Other.start().ask("x") == "watched-loop"
        assert Plain.start().ask("x") == "x"


def test_a_plain_handler_that_hands_back_a_coroutine_does_so_on_a_thread_too() -> None:
    async def later() -> str:
        return threading.current_thread().name

    class Disguised(AsyncActor):
        def on_receive(self, message: Any) -> Any:
            return later()

    with Scheduler("watched") as scheduler:
        scheduler.mark_blocking(Disguised.on_receive)
        assert Disguised.start().ask("x") == "watched-loop"


def test_idle_fibers_end_with_their_scheduler() -> None:
    with Scheduler("brief") as scheduler:
        assert scheduler.submit(lambda: 1).get() == 1
        fibers = list(scheduler.idle_fibers)
    assert fibers
    assert all(fiber.dead for fiber in fibers)


def test_nothing_holds_the_greenlets_of_a_loop_that_has_ended() -> None:
    with Scheduler("ended") as scheduler:
        assert scheduler.submit(lambda: sleep(0)).get(timeout=5) is None  # in a fiber
        kept = [weakref.ref(each) for each in (scheduler.hub, *scheduler.idle_fibers)]
    assert len(kept) == 2

    def holders() -> list[Any]:
        return [holder for each in kept for holder in gc.get_referrers(each()) if each() is not None]

    deadline = time.monotonic() + 10
    while holders() and time.monotonic() < deadline:
        gc.collect()  # the thread goes some time after it has been joined
    assert holders() == []
