"""A run that is interrupted, wherever it is, stops, is closed, and can be taken up at once."""

import asyncio
import os
import signal
import threading

import pytest

from actors import sleep
from dspex.system import System
from dspex.teleprompt import BootstrapRS, list_runs, load_run
from dspex.teleprompt import _run as runs

from .test_run import Pupil, exact, examples


@pytest.fixture
def system(tmp_path):
    with System(stall_after=1.0, store=str(tmp_path / "store.db")) as running:
        yield running


def search():
    return BootstrapRS(exact, num_candidate_programs=4, num_threads=6)


@pytest.fixture
def slow():
    made = Slow()
    yield made
    made.go_on.set()


class Slow:
    """Programs with this fate say when they are at work, and go on when they may."""

    def __init__(self):
        self.at_work = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, question):
        self.at_work.set()
        while not self.go_on.is_set():
            sleep(0.001)

    def __deepcopy__(self, memo):
        return self


def test_an_interrupted_compile_can_be_repeated_at_once(system, slow):
    def interrupt():
        slow.at_work.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        search().compile(Pupil(slow), trainset=examples(9), run_id="r1")
    assert system.live_runs() == {}
    assert load_run("r1").state == "paused"
    assert search().compile(Pupil(), trainset=examples(9), run_id="r1").optimization.stopped is None


def test_a_cancelled_acompile_can_be_repeated_at_once(system, slow):
    async def main():
        task = asyncio.create_task(search().acompile(Pupil(slow), trainset=examples(9), run_id="r1"))
        await asyncio.to_thread(slow.at_work.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert system.live_runs() == {}
        assert load_run("r1").state == "paused"
        return await search().acompile(Pupil(), trainset=examples(9), run_id="r1")

    assert asyncio.run(main()).optimization.stopped is None


def test_an_acompile_that_is_cancelled_while_it_begins_leaves_nothing_at_work(system, slow, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    begin = runs.OptimizationRun.begin

    def held(self):
        reached.set()
        go_on.wait()
        return begin(self)

    async def main():
        task = asyncio.create_task(search().acompile(Pupil(slow), trainset=examples(9), run_id="r1"))
        await asyncio.to_thread(reached.wait)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert system.live_runs() == {}
        assert load_run("r1").state == "paused"

    with monkeypatch.context() as patch:
        patch.setattr(runs.OptimizationRun, "begin", held)
        asyncio.run(main())
    assert search().compile(Pupil(), trainset=examples(9), run_id="r1").optimization.stopped is None


def test_an_async_program_that_is_interrupted_leaves_its_run_paused(slow, tmp_path):
    store = str(tmp_path / "store.db")

    async def main():
        async with System(stall_after=1.0, store=store):
            try:
                await search().acompile(Pupil(slow), trainset=examples(9), run_id="r1")
            finally:
                slow.go_on.set()

    def interrupt():
        slow.at_work.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    with System(stall_after=1.0, store=store):
        assert load_run("r1").state == "paused"
        assert search().compile(Pupil(), trainset=examples(9), run_id="r1").optimization.stopped is None


@pytest.mark.parametrize("where", ["_begin", "_prepare", "_launch"])
@pytest.mark.parametrize(("error", "state"), [(RuntimeError("broken"), "failed"), (KeyboardInterrupt(), "paused")])
def test_a_run_that_does_not_come_up_is_free_again(where, error, state, system, monkeypatch):
    def broken(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(runs.OptimizationRun, where, broken)
        with pytest.raises(type(error)):
            search().compile(Pupil(), trainset=examples(9), run_id="r1")
    assert system.live_runs() == {}
    assert [run.status for run in list_runs()] == ([] if where == "_begin" else [state])
    assert search().compile(Pupil(), trainset=examples(9), run_id="r1").optimization.stopped is None


def test_a_run_that_is_interrupted_before_its_actors_are_up_is_paused(system, monkeypatch):
    run = search().start
    begun = []
    launch = runs.OptimizationRun._launch

    def interrupted(self, teleprompter):
        crew = launch(self, teleprompter)
        self.end("interrupted")
        begun.append(self)
        return crew

    with monkeypatch.context() as patch:
        patch.setattr(runs.OptimizationRun, "_launch", interrupted)
        started = run(Pupil(), trainset=examples(9), run_id="r1")
    assert started.result().optimization.stopped == "interrupted"
    assert begun == [started]
    assert load_run("r1").state == "paused"


def test_of_two_that_begin_the_same_run_at_once_one_is_refused(system, slow):
    outcomes = []

    def compile():
        try:
            outcomes.append(search().compile(Pupil(slow), trainset=examples(9), run_id="r1").optimization.stopped)
        except Exception as error:  # noqa: BLE001
            outcomes.append(str(error))

    threads = [threading.Thread(target=compile) for _ in range(4)]
    for thread in threads:
        thread.start()
    slow.at_work.wait()
    while len(outcomes) < 3:
        pass
    slow.go_on.set()
    for thread in threads:
        thread.join()
    assert sum("under way" in str(outcome) for outcome in outcomes) == 3
    assert outcomes.count(None) == 1
