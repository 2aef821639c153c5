"""Actors in processes of their own: the same as others, but for the ways in which only a process can end."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import actors
from actors import (
    ActorCrashed,
    AsyncActor,
    Crash,
    Exit,
    Ignore,
    Killed,
    NoProcess,
    Normal,
    ProcessActor,
    ProcessDiedError,
    Reject,
    Reply,
    Scheduler,
    Shutdown,
    StartError,
    UnpicklableMessageError,
    inspect,
)
from actors.testing import await_down, leak_check, no_leaks

assert leak_check is not None
pytestmark = pytest.mark.usefixtures("leak_check")


@pytest.fixture
def scheduler(leak_check):
    with Scheduler(name="processes") as scheduler:
        yield scheduler


@dataclass(frozen=True)
class Add:
    number: int


class OddError(Exception):
    """Pickles, and cannot be made again."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Worker(ProcessActor):
    def __init__(self, start=0, notes=None):
        self.sum = start
        self.notes = notes

    def on_start(self):
        match self.sum:
            case "ignore":
                raise Ignore
            case "crash":
                raise RuntimeError("no start")
            case "die":
                os._exit(7)
            case "hang":
                time.sleep(3600)

    def on_receive(self, message):
        match message:
            case Add(number):
                self.sum += number
                return self.sum
            case "pid":
                return os.getpid()
            case "raise":
                raise ZeroDivisionError("in the child")
            case "raise odd":
                raise OddError(1, 2)
            case "reject":
                raise Reject(KeyError("not that"))
            case "exit":
                self.exit(Shutdown("enough"))
            case "stop":
                self.stop()
                return "stopping"
            case ("os exit", code):
                os._exit(code)
            case "segfault":
                ctypes.string_at(0)
            case "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                while True:
                    time.sleep(3600)
            case ("note", text):
                self.note(text)
                time.sleep(3600)
            case "lambda":
                return lambda: None
            case "scheduler":
                return self.scheduler
            case Exit(_, reason):
                self.note(f"trapped {reason}")
                return None
        return ("echo", message)

    def method(self, number):
        return self.sum * number

    def on_stop(self):
        self.note(f"stopped {self.exit_reason}")

    def on_failure(self, exc_type, exc, tb):
        self.note(f"failed {exc_type.__name__}")

    def note(self, text):
        if self.notes:
            with open(self.notes, "a") as notes:
                notes.write(text + "\n")


class AsyncWorker(ProcessActor):
    async def on_receive(self, message):
        await asyncio.sleep(0)
        return os.getpid()


def assert_gone(pid):
    """The process has ended and no zombie of it is left, within the time that reaping takes."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)
    raise AssertionError(f"process {pid} is still there")


def notes_of(path):
    return path.read_text().splitlines() if path.exists() else []


def wait_for(path):
    """Until the child has written its note: it cannot tell us in another way while its handler runs."""
    while not path.exists():
        time.sleep(0.005)


def test_state_lives_in_another_process_from_message_to_message(scheduler):
    worker = Worker.start(10)
    assert [worker.ask(Add(n), timeout=30) for n in (1, 2, 3)] == [11, 13, 16]
    assert worker.ask("pid", timeout=30) != os.getpid()
    assert worker.proxy().method(2).get(timeout=30) == 32
    assert worker.stop(timeout=30)
    assert worker.exit_reason == Normal()


def test_async_handlers_run_in_the_child_too(scheduler):
    worker = AsyncWorker.start()
    pids = {worker.ask("pid", timeout=30) for _ in range(3)}
    assert len(pids) == 1
    assert pids != {os.getpid()}


@pytest.mark.parametrize(
    ("message", "code", "killer"),
    [
        (("os exit", 3), 3, None),
        (("os exit", 0), 0, None),
        ("segfault", -signal.SIGSEGV, signal.SIGSEGV),
    ],
)
def test_a_process_that_dies_in_a_handler_is_a_crash_that_says_how(scheduler, message, code, killer):
    worker = Worker.start()
    with pytest.raises(ActorCrashed) as crashed:
        worker.ask(message, timeout=30)
    reason = await_down(worker).reason
    assert crashed.value.reason == reason
    died = crashed.value.__cause__
    assert isinstance(died, ProcessDiedError)
    assert (died.exit_code, died.signal) == (code, killer)
    assert (killer.name if killer else f"code {code}") in reason.message


def test_a_process_that_is_killed_from_outside_while_idle_is_seen_at_once(scheduler):
    worker = Worker.start()
    pid = worker.ask("pid", timeout=30)
    down = worker.down()
    os.kill(pid, signal.SIGKILL)
    reason = down.get(timeout=30).reason
    assert (reason.type, reason.message) == ("ProcessDiedError", "the child process was killed by SIGKILL")


def test_a_suspended_actor_is_seen_to_die_as_well(scheduler):
    worker = Worker.start()
    pid = worker.ask("pid", timeout=30)
    worker.suspend()
    down = worker.down()
    os.kill(pid, signal.SIGKILL)
    assert isinstance(down.get(timeout=30).reason, Crash)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda ref: ref.kill(), Killed()),
        (lambda ref: ref.exit(Shutdown()), Shutdown()),
        (lambda ref: ref.exit(Crash("boom")), Crash("boom")),
    ],
)
def test_a_stuck_process_is_really_ended_by_a_kill_and_by_exit_signals(scheduler, tmp_path, end, reason):
    worker = Worker.start(0, tmp_path / "notes")
    pid = worker.ask("pid", timeout=30)
    call = worker.call(("note", "stuck"))
    wait_for(tmp_path / "notes")
    end(worker)
    with pytest.raises(ActorCrashed):
        call.get(timeout=30)
    assert await_down(worker).reason == reason
    assert notes_of(tmp_path / "notes") == ["stuck"]  # neither on_stop nor anything else ran
    assert_gone(pid)


def test_a_process_that_ignores_every_polite_signal_is_killed(scheduler):
    worker = Worker.start()
    pid = worker.ask("pid", timeout=30)
    worker.tell("deaf")
    worker.kill()
    assert await_down(worker).reason == Killed()
    assert_gone(pid)


def test_an_exception_crosses_with_its_type_message_place_and_traceback(scheduler, tmp_path):
    worker = Worker.start(0, tmp_path / "notes")
    with pytest.raises(ActorCrashed) as crashed:
        worker.ask("raise", timeout=30)
    reason = crashed.value.reason
    assert (reason.type, reason.message) == ("ZeroDivisionError", "in the child")
    assert reason.frames[-1][2] == "Worker.on_receive"
    assert isinstance(crashed.value.__cause__, ZeroDivisionError)
    assert "Worker.on_receive" in "".join(crashed.value.__cause__.__notes__)
    assert notes_of(tmp_path / "notes") == ["failed ZeroDivisionError"]


def test_an_exception_that_cannot_cross_leaves_its_words(scheduler):
    with pytest.raises(ActorCrashed) as crashed:
        Worker.start().ask("raise odd", timeout=30)
    assert (crashed.value.reason.type, crashed.value.reason.message) == ("OddError", "1 and 2")
    assert crashed.value.__cause__ is None


def test_a_rejection_answers_and_the_actor_lives_on(scheduler):
    worker = Worker.start()
    with pytest.raises(KeyError, match="not that"):
        worker.ask("reject", timeout=30)
    assert worker.ask(Add(1), timeout=30) == 1


@pytest.mark.parametrize(("message", "reason"), [("exit", Shutdown("enough")), ("stop", Normal())])
def test_a_handler_may_end_its_actor_and_on_stop_runs(scheduler, tmp_path, message, reason):
    worker = Worker.start(0, str(tmp_path / "notes"))
    worker.tell(message)
    assert await_down(worker, timeout=30).reason == reason
    assert notes_of(tmp_path / "notes") == [f"stopped {reason}"]


def test_messages_before_a_stop_are_handled_and_the_process_is_gone_at_the_down(scheduler, tmp_path):
    worker = Worker.start(0, str(tmp_path / "notes"))
    pid = worker.call("pid")
    calls = [worker.call(Add(1)) for _ in range(20)]
    worker.stop(timeout=30)
    assert [call.get(timeout=0) for call in calls] == list(range(1, 21))
    assert notes_of(tmp_path / "notes") == ["stopped normal"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid.get(timeout=0), 0)


def test_what_cannot_be_pickled_is_an_error_at_the_sender_and_harms_nobody(scheduler):
    worker = Worker.start()
    for message in (lambda: None, threading.Lock(), worker, [object(), worker]):
        with pytest.raises(UnpicklableMessageError, match="cannot"):
            worker.tell(message)
        with pytest.raises(UnpicklableMessageError, match="cannot"):
            worker.ask(message, timeout=30)
    with pytest.raises(UnpicklableMessageError, match="arguments of Worker"):
        Worker.start(lambda: None)
    with pytest.raises(UnpicklableMessageError, match="the answer"):
        worker.ask("lambda", timeout=30)
    assert worker.ask(Add(1), timeout=30) == 1


def test_a_message_is_copied_when_it_is_sent(scheduler):
    worker, message = Worker.start(), [1]
    call = worker.call(message)
    message.append(2)
    assert call.get(timeout=30) == ("echo", [1])


def test_a_large_message_and_its_answer_cross(scheduler):
    data = os.urandom(5_000_000)
    assert Worker.start().ask(data, timeout=30) == ("echo", data)


@pytest.mark.parametrize(
    ("start", "complaint"),
    [("crash", "RuntimeError: no start"), ("die", "exited with code 7")],
)
def test_a_start_that_fails_says_why(scheduler, start, complaint):
    with pytest.raises(StartError, match=complaint):
        Worker.with_options().start_wait(start).get(timeout=30)


def test_a_start_that_ignores_is_no_actor(scheduler):
    assert Worker.with_options().start_wait("ignore").get(timeout=30) is None


def test_a_start_that_hangs_is_ended_by_its_timeout(scheduler):
    with pytest.raises(StartError, match="longer than"):
        Worker.with_options(timeout=0.2).start_wait("hang").get(timeout=30)


def test_a_class_that_the_child_cannot_import_is_a_failed_start(scheduler):
    class Local(Worker):
        pass

    with pytest.raises(UnpicklableMessageError, match="arguments of"):
        Local.start()


def test_links_and_monitors_tie_it_to_other_actors(scheduler):
    class Partner(AsyncActor):
        def on_receive(self, message):
            self.link(message)

    worker, partner = Worker.start(), Partner.start()
    partner.ask(worker, timeout=30)
    worker.tell(("os exit", 4))
    assert await_down(partner, timeout=30).reason.message == "the child process exited with code 4"


def test_a_trapped_exit_signal_reaches_the_child_as_a_message(scheduler, tmp_path):
    worker = Worker.with_options(trap_exit=True).start(0, str(tmp_path / "notes"))
    worker.ask(Add(1), timeout=30)
    worker.exit(Shutdown("please"))
    assert worker.ask(Add(1), timeout=30) == 2
    assert notes_of(tmp_path / "notes") == ["trapped shutdown: please"]


def test_in_the_child_there_is_no_scheduler_and_the_error_says_so(scheduler):
    with pytest.raises(ActorCrashed, match="in its child process"):
        Worker.start().ask("scheduler", timeout=30)


def test_what_it_handles_can_be_seen_from_outside(scheduler, tmp_path):
    worker = Worker.start(0, tmp_path / "notes")
    worker.tell(("note", "busy"))
    wait_for(tmp_path / "notes")
    seen = inspect(worker)
    assert (seen.state, seen.message) == ("running", "tuple")
    worker.kill()


def test_the_end_of_the_scheduler_ends_the_processes():
    with no_leaks(), Scheduler(name="brief", shutdown_timeout=10) as scheduler:
        pids = [Worker.start().call("pid") for _ in range(3)]
        Worker.start().tell("deaf")
        pids = [pid.get(timeout=30) for pid in pids]
    for pid in pids:
        assert_gone(pid)
    assert scheduler.refs() == []


def test_a_killed_process_asked_later_says_why(scheduler):
    worker = Worker.start()
    worker.kill()
    assert await_down(worker).reason == Killed()
    reply: Reply = worker.call(Add(1))
    assert reply.exception().reason == Killed()
    assert worker.down().get(timeout=5).reason == NoProcess()


SCRIPT = """
import os, signal, sys, time
from actors import Scheduler
from actors._os_process import ProcessActor

class Main(ProcessActor):
    def on_receive(self, message):
        if message == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(3600)
        return os.getpid()

if __name__ == "__main__":
    busy, idle = Main.start(), Main.start()
    print(busy.ask("pid"), idle.ask("pid"), flush=True)
    busy.tell("deaf")
    if sys.argv[1] == "wait":
        time.sleep(3600)
"""


@pytest.mark.parametrize("how", ["exit", "wait"])
def test_a_script_that_ends_or_is_killed_takes_its_processes_along(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(actors.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, str(script), how], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        if how == "wait":
            parent.kill()
        parent.wait(timeout=30)
    for pid in pids:
        assert_gone(pid)


UNGUARDED = """
from actors import ProcessActor, Scheduler, StartError

class Main(ProcessActor):
    pass

with Scheduler():
    try:
        Main.with_options().start_wait().get(timeout=30)
    except StartError as error:
        print(error)
"""


def test_a_script_that_forgets_its_guard_is_told_so_and_starts_no_avalanche(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    environment = {**os.environ, "PYTHONPATH": str(Path(actors.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert "__name__" in done.stdout
    assert "did not start" in done.stdout


def test_a_main_script_is_not_run_again_for_a_class_that_is_defined_elsewhere(tmp_path):
    (tmp_path / "elsewhere.py").write_text(
        "from actors import ProcessActor\nclass Echo(ProcessActor):\n    def on_receive(self, m): return m\n"
    )
    script = tmp_path / "script.py"
    script.write_text("from elsewhere import Echo\nprint('run')\nref = Echo.start()\nprint(ref.ask(7))\nref.stop()\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(actors.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert done.stdout.split() == ["run", "7"]
