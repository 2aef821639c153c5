"""The processes that compute metrics: what they are given, what they survive, when they end."""

import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dspex.evaluate import Evaluate, FailureKind, MetricError, SemanticF1, _metric_spawn
from dspex.evaluate._metric_process import MetricProcesses
from dspex.evaluate._metric_spawn import MetricProcess, packed
from dspex.primitives import Example, Prediction
from dspex.system import System

from . import metrics

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def system():
    with System() as running:
        yield running


@pytest.fixture
def spawned(monkeypatch):
    """All processes that are started."""
    started = []
    spawn = _metric_spawn._spawned

    def noted(*arguments):
        started.append(spawn(*arguments))
        return started[-1]

    monkeypatch.setattr(_metric_spawn, "_spawned", noted)
    return started


def echo(number):
    return Prediction(answer=number)


def examples(count, **more):
    return [Example(number=n, answer=n, **more).with_inputs("number") for n in range(count)]


def evaluate(metric, devset=None, program=echo, **options):
    options = {"metric_processes": 1, "max_retries": 0, "timeout": 60.0, **options}
    devset = examples(2) if devset is None else devset
    return Evaluate(devset=devset, metric=metric, metric_executor="process", **options)(program)


def script(*command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment
    )


def ended(spawned):
    """Whether all have ended, or are about to."""
    for thread in threading.enumerate():
        if thread.name == "metric-reaper":
            thread.join(30)
    return all(process.returncode is not None for process in spawned)


def unreachable(number):
    raise AssertionError("this would have been paid for")


# standard input and output


def test_a_metric_and_what_it_starts_have_nothing_to_read(system):
    assert evaluate(metrics.reads).score == 100.0


def test_what_a_metric_and_what_it_starts_print_is_no_answer_and_is_shown(system, capfd):
    assert evaluate(metrics.noisy).score == 100.0
    shown = capfd.readouterr()
    assert shown.out == ""
    assert sorted(shown.err.splitlines()) == sorted(["raw noise", "noise of another", "printed noise"] * 2)


# the main script


def test_what_a_script_defines_is_found_in_the_metric_s_process():
    ran = script("-m", "tests.dspex.evaluate.guarded")
    found = json.loads(ran.stdout)
    refusal = found.pop("under the guard")
    assert found == dict.fromkeys(["function", "partial", "object", "method", "of a module"], 100.0)
    assert "under_the_guard" in refusal
    assert "top level of a module" in refusal


def test_a_script_without_a_guard_is_told_so_before_anything_is_paid_for():
    ran = script("tests/dspex/evaluate/unguarded.py")
    assert ran.returncode == 1
    assert "MetricError: the metric's process cannot import the main script" in ran.stderr
    assert 'under `if __name__ == "__main__":`' in ran.stderr
    assert "PAID" not in ran.stdout + ran.stderr


def test_a_metric_of_a_session_without_a_script_is_refused():
    code = (
        "from tests.dspex.evaluate.guarded import tried\n"
        "def mine(example, prediction): return True\n"
        "from dspex.system import System\n"
        "with System(store=False, control_socket=False): tried(mine)\n"
    )
    ran = script("-c", code)
    assert "TypeError: metric_executor='process' sends the metric to another process, which cannot import mine" in (
        ran.stderr
    )


# what is refused before anything runs


@pytest.mark.parametrize(
    "metric",
    [metrics.awaited, functools.partial(metrics.awaited), metrics.Awaited(), SemanticF1(), SemanticF1().forward],
    ids=["async", "partial", "object", "module", "method"],
)
def test_what_runs_on_the_system_is_refused_with_the_alternative(system, spawned, metric):
    with pytest.raises(TypeError, match="leave metric_executor out"):
        evaluate(metric, program=unreachable)
    assert not spawned


def test_what_turns_out_to_be_async_says_what_to_do(system):
    result = evaluate(metrics.hidden)
    assert result.counts == {FailureKind.METRIC_ERROR: 2}
    assert "leave metric_executor out" in result.failures[0].message


def test_examples_that_cannot_be_sent_are_refused(system, spawned):
    with pytest.raises(TypeError, match="the first one cannot be pickled"):
        evaluate(metrics.exact, devset=examples(2, secret=threading.Lock()), program=unreachable)
    assert not spawned


@pytest.mark.parametrize(
    "options",
    [
        {"max_errors": -1},
        {"num_workers": "x"},
        {"num_workers": 0},
        {"metric_processes": 0},
        {"metric_processes": -1},
        {"metric_processes": "x"},
        {"program": 42},
    ],
    ids=str,
)
def test_a_wrong_option_starts_no_process(system, spawned, options):
    with pytest.raises((TypeError, ValueError)):
        evaluate(metrics.exact, **options)
    assert not spawned


# how they end


def test_a_death_is_seen_although_what_was_forked_lives_on(system):
    result = evaluate(metrics.forks, devset=examples(1))
    assert result.counts == {FailureKind.WORKER_CRASH: 1}
    assert result.failures[0].error.exitcode == 4


def test_a_process_that_hangs_up_and_lives_on_is_ended(system, spawned, monkeypatch):
    monkeypatch.setattr(_metric_spawn, "_GRACE", 0.1)
    result = evaluate(metrics.hangs_up, devset=examples(1))
    assert result.counts == {FailureKind.WORKER_CRASH: 1}
    assert [process.returncode for process in spawned] == [-signal.SIGKILL]


def test_what_a_metric_has_started_ends_with_its_process(system, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = evaluate(metrics.starts, devset=examples(1, pipe=str(pipe)), timeout=2.0)
        assert result.counts == {FailureKind.TIMEOUT: 1}
        os.set_blocking(held, True)
        assert os.read(held, 1) == b"", "the last writer is gone"
    finally:
        os.close(held)


def test_a_process_that_has_died_between_two_examples_costs_none(system, spawned):
    processes = MetricProcesses(metrics.exact, 1, system.scheduler)
    try:
        processes.start().get()
        assert processes.score(Example(answer=1), Prediction(answer=1)) == 1.0
        (first,) = processes._children
        os.kill(spawned[0].pid, signal.SIGKILL)
        first._reaper.join()
        assert processes.score(Example(answer=1), Prediction(answer=2)) == 0.0
        assert len(spawned) == 2
    finally:
        processes.close()


def test_processes_are_gone_when_the_evaluation_has_ended(system, spawned):
    evaluation = Evaluate(
        devset=examples(4), metric=metrics.exact, metric_executor="process", metric_processes=2
    ).start(echo)  # fmt: skip
    assert evaluation.result().score == 100.0
    assert ended(spawned)


def test_an_interrupt_while_they_start_leaves_none(system, spawned, monkeypatch):
    def interrupted(self):
        start(self).get()
        raise KeyboardInterrupt

    start = MetricProcesses.start
    monkeypatch.setattr(MetricProcesses, "start", interrupted)
    assert evaluate(metrics.exact, program=unreachable).stopped == "cancelled"
    with pytest.raises(KeyboardInterrupt):
        Evaluate(devset=examples(2), metric=metrics.exact, metric_executor="process").start(unreachable)
    assert len(spawned) >= 2
    assert ended(spawned)


def test_an_evaluation_that_is_cancelled_while_they_start_begins_nothing(system, spawned, monkeypatch):
    in_doubt = packed(metrics.exact)[0], True  # as if it were of the main script: others are not waited for
    monkeypatch.setattr("dspex.evaluate._metric_process.packed", lambda _: in_doubt)
    evaluation = Evaluate(devset=examples(2), metric=metrics.exact, metric_executor="process").start(unreachable)
    assert evaluation.cancel().counts == {FailureKind.CANCELLED: 2}
    assert ended(spawned)


def test_ctrl_c_does_not_disturb_a_process_at_any_moment(system, spawned, capfd):
    process = MetricProcess(packed(metrics.exact)[0])
    begun = system.scheduler.run_blocking(process.begin)
    try:
        while not begun.done():
            if spawned:
                os.kill(spawned[0].pid, signal.SIGINT)
        begun.get()
        assert os.getsid(spawned[0].pid) == spawned[0].pid, "not in our session: a terminal's Ctrl-C does not reach it"
    finally:
        process.kill()
    assert capfd.readouterr().err == ""


def test_a_process_whose_parent_hangs_up_ends_quietly(system, spawned, capfd):
    process = MetricProcess(packed(metrics.exact)[0])
    process.begin()
    process._hang_up()
    process._reaper.join()
    assert spawned[0].returncode == 0
    assert capfd.readouterr().err == ""


def test_a_module_that_cannot_be_imported_there_is_an_error_at_once(system, monkeypatch):
    metric = functools.partial(metrics.exact)
    monkeypatch.setattr("dspex.evaluate._metric_process.packed", lambda _: (_packed_nonsense(), True))
    with pytest.raises(MetricError, match="No module named 'nowhere'"):
        evaluate(metric, program=unreachable)


def test_a_metric_of_any_module_is_not_waited_for_but_ends_the_evaluation_too(system, monkeypatch):
    begun = threading.Event()

    async def program(**inputs):
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("dspex.evaluate._metric_process.packed", lambda _: (_packed_nonsense(), False))
    with pytest.raises(MetricError, match="No module named 'nowhere'"):
        evaluate(functools.partial(metrics.exact), program=program)
    assert begun.is_set()


def _packed_nonsense():
    import pickle

    return pickle.dumps(({}, {}, False, b"cnowhere\nmetric\n."))
