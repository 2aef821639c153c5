"""What a terminal shows of a run."""

import io
import sys
import threading
import time

import pytest

from actors import sleep
from dspex.evaluate._line import lay_out
from dspex.system import System
from dspex.teleprompt import BootstrapFewShotWithRandomSearch
from dspex.teleprompt._run_actor import RunStatus
from dspex.teleprompt._run_bar import EVERY, NOTABLE, EndpointOutage, RunLog, outages, run_line

from .test_run import Fate, Pupil, exact, examples


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def system():
    with System(store=False, control_socket=False) as running:
        yield running


def test_the_line_tells_what_was_found_what_failed_and_what_it_cost():
    status = RunStatus("r", "paused", "trial", 50, 0, 6, 4, 3, 58.333, {"outage": 1, "timeout": 2}, 9, 1200, 0.5, 10.0)
    line = lay_out("", "", run_line(status), 200).text
    for part in ("paused", "after trial", "best 58.3 of 3", "3 failed (most: timeout)", "5.0/s", "1.2k tokens", "$0.5"):
        assert part in line


def test_without_a_terminal_a_line_is_written_at_once_and_every_minute():
    status = RunStatus("n-1", "running", "trial", 107, 5, 6, 4, 3, 46.666, {"timeout": 2}, 9, 1200, 0.031, 10.0)
    log = RunLog("n-1", 600.0)
    assert log.due(1000.0)
    line = "run n-1: 107 steps done, 5 known from its journal, best 46.7, 2 failed, $0.03"
    assert log.line(status, 1000.0) == line
    assert not log.due(1000.0 + EVERY - 0.1)
    assert log.due(1000.0 + EVERY)
    begun = RunStatus("n-1", "paused", "", 1, 0, 6, 4, 0, None, {}, 9, 0, None, 10.0)
    assert log.line(begun, 1060.0) == "run n-1: paused, 1 step done"


def test_an_outage_that_lasts_is_told_once_with_its_endpoint_and_its_end(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    log = RunLog("n-1", 600.0)
    down = [EndpointOutage("openai/m", "connect", 30.0)]
    assert log.news(down, 20.0) == []
    waits = "run n-1 waits for openai/m, next trial at 00:00:30 (it cannot be reached)"
    assert log.news(down, 20.0 + NOTABLE) == [f"{waits}; it is waited for until about 00:10:20"]
    assert log.news(down, 400.0) == []
    assert log.news([], 410.0) == ["run n-1 goes on: openai/m answers again"]
    assert log.news(down, 500.0) == []  # another one
    assert log.news([], 501.0) == []
    monkeypatch.undo()
    time.tzset()


def test_the_outages_are_those_of_the_systems_pools_and_stand_beside_the_bar():
    def pool(name, breaker):
        return {"name": name, "breaker": breaker, "breaker_failure": "server", "breaker_retry_after": 2.0}

    out = outages([pool("a", "open"), pool("b", "closed"), pool("c", "half_open")], 100.0)
    assert out == [EndpointOutage("a", "server", 102.0), EndpointOutage("c", "server", 102.0)]
    status = RunStatus("r", "running", "", 0, 0, 6, 4, 0, None, {}, 0, 0, None, 0.0)
    assert run_line(status, out[:1])[0].startswith("waits for a, next trial at ")


def test_a_run_that_is_waited_for_without_a_terminal_writes_lines(system, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    gate = threading.Event()
    pupil = Pupil(Fate(lambda question: [sleep(0.001) for _ in iter(gate.is_set, True)]))
    run = BootstrapFewShotWithRandomSearch(exact, num_candidate_programs=1, num_threads=2).start(
        pupil, trainset=examples(6), run_id="written"
    )
    status = run.status

    def looked_at(timeout):
        gate.set()
        return status(timeout)

    monkeypatch.setattr(run, "status", looked_at)
    run.follow()
    assert sys.stderr.getvalue().startswith("run written: ")


def test_a_run_that_is_waited_for_is_shown_under_its_name(system, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    search = BootstrapFewShotWithRandomSearch(exact, num_candidate_programs=1, num_threads=2)
    better = search.compile(Pupil(), trainset=examples(6), run_id="shown", display_progress=True)
    assert better.optimization.score is not None
    assert "shown" in sys.stderr.getvalue()


def test_a_run_that_fails_while_it_is_shown_raises_what_it_would_have_raised(system, monkeypatch):
    def broken(example, prediction, trace=None):
        raise KeyError("label")

    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(Exception, match="KeyError"):
        BootstrapFewShotWithRandomSearch(broken).compile(Pupil(), trainset=examples(12), display_progress=True)


def test_an_interrupt_while_it_is_shown_leaves_the_run_paused(system, monkeypatch, caplog):
    from dspex.teleprompt import _run

    def interrupted(self, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(_run.OptimizationRun, "wait", interrupted)
    gate = threading.Event()
    pupil = Pupil(Fate(lambda question: [sleep(0.001) for _ in iter(gate.is_set, True)]))
    run = BootstrapFewShotWithRandomSearch(exact, num_threads=2).start(pupil, trainset=examples(12))
    while run.status() is None or run.status().in_flight < 2:
        pass
    with pytest.raises(KeyboardInterrupt):
        run.follow()
    gate.set()
    assert run.result().optimization.stopped == "interrupted"
    assert "without a store nothing of it is kept" in caplog.text
