"""`System`: started, used and closed as a whole, by itself or beside others."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import dspex
from actors import AsyncActor, ForkedError
from dspex.programs import SystemClosedError
from dspex.system import ConfigError, close_default_system, current_system, running_systems
from dspex.testing import DummyLM
from supervision import ChildSpec

ROOT = Path(__file__).parents[3]


def run(program: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A Python program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


def held(event: threading.Event) -> Any:
    """A program whose calls last until the event is set."""

    class Held(dspex.Module):
        blocking = True

        def forward(self, question: str) -> str:
            event.wait(60)
            return question

    return Held()


# -- life


def test_nothing_is_started_by_import_nor_by_making_a_system() -> None:
    done = run(
        "import threading, dspex\n"
        "system = dspex.System('quiet')\n"
        "from dspex.system import running_systems\n"
        "print(threading.active_count(), running_systems(), system.running)"
    )
    assert done.stdout.strip() == "1 [] False", done.stderr


def test_the_tree_has_the_parts_of_a_system_and_those_of_its_user(make: Any, tmp_path: Path) -> None:
    class Mine(AsyncActor):
        pass

    with make("whole", store=str(tmp_path / "s.db"), children=(ChildSpec("mine", Mine),)) as system:
        tree = system.tree()
        assert tree["id"] == "whole"
        parts = [child["id"] for child in tree["children"]]
        assert parts == ["store", "lm", "programs", "requests", "evaluations", "teleprompters", "mine"]


def test_several_systems_run_in_one_process_each_with_its_own_settings(make: Any) -> None:
    with make("one", lm=DummyLM([{"answer": "first"}] * 3)) as one:
        with make("two", lm=DummyLM([{"answer": "second"}] * 3)) as two:
            assert [system.name for system in running_systems()][-2:] == ["one", "two"]
            assert current_system() is two
            assert dspex.Predict("question -> answer")(question="?").answer == "second"
            ref = one.spawn(dspex.Predict("question -> answer"))
            assert ref(question="?").answer == "first"
        assert current_system() is one
        assert dspex.Predict("question -> answer")(question="?").answer == "first"
        assert not two.running
    assert running_systems() == []


def test_an_asyncio_program_of_ones_own_uses_it_with_async_with(make: Any) -> None:
    async def main() -> list[str]:
        async with make() as system:
            ref = await system.aspawn(dspex.Predict("question -> answer"), name="qa")
            answers = await asyncio.gather(*(ref.acall(question=str(n)) for n in range(5)))
            return [answer.answer for answer in answers]

    assert asyncio.run(main()) == ["42"] * 5


def test_plain_threads_use_the_system_that_runs(make: Any) -> None:
    answers = []
    with make():
        qa = dspex.Predict("question -> answer")
        threads = [threading.Thread(target=lambda: answers.append(qa(question="?").answer)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == ["42"] * 5


def test_a_system_is_used_once(make: Any) -> None:
    system = make()
    with pytest.raises(SystemClosedError, match="has not been started"):
        system.spawn(dspex.Predict("a -> b"))
    with system:
        pass
    with pytest.raises(SystemClosedError, match="has been closed"):
        system.spawn(dspex.Predict("a -> b"))
    with pytest.raises(SystemClosedError, match="started before"):
        system.start()
    assert system.close() is None


def test_a_part_that_cannot_start_stops_the_start_and_leaves_nothing(make: Any) -> None:
    class Broken(AsyncActor):
        def on_start(self) -> None:
            raise RuntimeError("no disk")

    system = make(children=(ChildSpec("broken", Broken),))
    with pytest.raises(Exception, match="no disk"):
        system.start()
    assert not system.running
    assert running_systems() == []


def test_a_wrong_setting_is_named_with_its_key_and_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_STALL_AFTER", "never")
    with pytest.raises(ConfigError, match=r"`stall_after` = 'never' \(from environment DSPEX_STALL_AFTER\)"):
        dspex.System()
    with pytest.raises(TypeError, match="takes no adaptor"):
        dspex.System(adaptor=None)


# -- the end


def test_calls_at_work_may_end_while_new_ones_are_refused(make: Any) -> None:
    event = threading.Event()
    system = make(shutdown_timeout=30.0)
    with system:
        ref = system.spawn(held(event), name="held")
        reply = ref.call(question="early")
        while not ref.metrics()["self"].in_flight:
            event.wait(0.01)
        closing = threading.Thread(target=lambda: reports.append(system.close()))
        reports: list[Any] = []
        closing.start()
        while system.accepting:
            event.wait(0.01)
        with pytest.raises(SystemClosedError, match="shutting down"):
            ref.call(question="late").get()
        event.set()
        assert reply.get(timeout=30) == "early"
        closing.join(60)
    (report,) = reports
    assert (report.finished, report.cancelled, report.clean) == (1, 0, True)
    assert report.to_json()["clean"] is True


def test_what_does_not_end_is_cut_off_within_the_deadline_and_reported(make: Any) -> None:
    class Endless(dspex.Module):
        async def aforward(self) -> None:
            await asyncio.Event().wait()

    system = make().start()
    ref = system.spawn(Endless())
    reply = ref.call()
    while not system._in_flight():
        threading.Event().wait(0.01)
    report = system.close(timeout=0.5)
    assert (report.finished, report.cancelled, report.clean) == (0, 1, False)
    assert report.seconds < 30
    with pytest.raises(Exception):
        reply.get(timeout=10)


def test_an_error_in_the_block_does_not_wait_for_calls_at_work(make: Any) -> None:
    class Endless(dspex.Module):
        async def aforward(self) -> None:
            await asyncio.Event().wait()

    def block() -> None:
        with make(shutdown_timeout=3600.0) as system:
            system.spawn(Endless()).call()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


def test_the_default_system_is_started_by_use_and_closed_at_exit() -> None:
    done = run(
        "import dspex, atexit\n"
        "from dspex.testing import DummyLM\n"
        "from dspex.system import running_systems\n"
        "atexit.register(lambda: print('at exit:', running_systems()))\n"
        "assert running_systems() == []\n"
        "dspex.configure(lm=DummyLM([{'answer': '42'}]))\n"
        "print(dspex.Predict('question -> answer')(question='?').answer, running_systems())\n",
        DSPEX_STORE=":memory:",
    )
    # Exit handlers run in reverse: the system's own, registered later, has run before ours.
    assert done.stdout.split("\n")[:2] == ["42 [<System 'default' running>]", "at exit: []"], done.stderr
    assert done.returncode == 0
    assert done.stderr == ""


def test_the_default_system_can_be_closed_and_the_next_call_starts_another() -> None:
    with dspex.context(lm=DummyLM([{"answer": "42"}] * 2)):
        qa = dspex.Predict("question -> answer")
        try:
            assert qa(question="?").answer == "42"
            first = current_system()
            close_default_system()
            assert not first.running
            assert qa(question="!").answer == "42"
            assert current_system() is not first
        finally:
            close_default_system()


# -- signals and forks

SERVICE = """
import sys, dspex
system = dspex.System('service', store=False, control_socket=False, handle_signals={handle})
try:
    with system:
        print('ready', flush=True)
        import time
        while True: time.sleep(0.05)
finally:
    print('closed', not system.running, flush=True)
"""


@pytest.mark.parametrize(
    ("handle", "number", "code", "words"),
    [
        (True, signal.SIGTERM, 143, ["closed True"]),
        (False, signal.SIGTERM, -signal.SIGTERM, []),
        (False, signal.SIGINT, -signal.SIGINT, ["closed True"]),
    ],
    ids=["sigterm handled", "sigterm not imposed on", "ctrl-c"],
)
def test_signals_leave_the_block_in_order_if_that_was_asked_for(
    handle: bool, number: signal.Signals, code: int, words: list[str]
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SERVICE.format(handle=handle)], cwd=ROOT, stdout=subprocess.PIPE, text=True, stderr=-3
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    try:
        out, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert out.splitlines() == words
    assert child.returncode == code


def test_run_until_signal_closes_and_returns_the_report() -> None:
    program = (
        "import dspex, os, signal, threading\n"
        "system = dspex.System('service', store=False, control_socket=False).start()\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "print(system.run_until_signal().clean)"
    )
    done = run(program)
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr


def test_handling_signals_needs_the_main_thread(make: Any) -> None:
    caught = []

    def enter() -> None:
        try:
            with make(handle_signals=True):
                pass
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread" in caught[0]


def test_a_forked_child_is_told_to_start_a_system_of_its_own(make: Any) -> None:
    with make("parent") as system:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            words = "nothing"
            try:
                system.spawn(dspex.Predict("a -> b"))
            except ForkedError as error:
                words = str(error)
            finally:
                os.write(writing, words.encode())
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            words = pipe.read().decode()
        os.waitpid(child, 0)
        assert "'parent'" in words
        assert "fork" in words
        assert system.spawn(dspex.Predict("question -> answer"))(question="?").answer == "42"


# -- notebooks


def test_a_cell_that_is_run_twice_leaks_nothing(make: Any) -> None:
    before = threading.active_count()
    first = make("cell", replace=True).start()
    second = make("cell", replace=True).start()
    assert not first.running
    assert running_systems() == [second]
    other = make("other", replace=True).start()
    assert second.running, "only a system of the same name is replaced"
    other.close()
    second.close()
    assert threading.active_count() == before


def test_in_a_notebook_replacing_is_the_default(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shell:
        kernel = object()

    class IPython:
        get_ipython = staticmethod(Shell)

    first = make("cell").start()
    monkeypatch.setitem(sys.modules, "IPython", IPython)  # what a kernel has loaded
    second = make("cell").start()
    assert not first.running
    second.close()


def test_a_notebook_shows_the_tree(make: Any) -> None:
    system = make("note")
    assert system._repr_html_() == "<pre>&lt;System &#x27;note&#x27; new&gt;</pre>"
    with system:
        system.spawn(dspex.Predict("question -> answer"), name="<qa>")
        html = system._repr_html_()
        assert html.startswith("<pre>")
        assert "&lt;qa&gt;" in html
        assert "<qa>" not in html
