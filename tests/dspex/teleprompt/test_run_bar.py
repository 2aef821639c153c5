"""What a terminal shows of a run."""

import io
import sys
import threading

import pytest

from actors import sleep
from dspex.system import System
from dspex.teleprompt import BootstrapFewShotWithRandomSearch
from dspex.teleprompt._run_actor import RunStatus
from dspex.teleprompt._run_bar import run_line

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
    line = run_line(status)
    for part in ("paused", "after trial", "best 58.3 of 3", "3 failed (most: timeout)", "5.0/s", "1.2k tokens", "$0.5"):
        assert part in line


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


def test_an_interrupt_while_it_is_shown_leaves_the_run_paused(system, monkeypatch):
    from dspex.teleprompt import _run

    def interrupted(self, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(_run.OptimizationRun, "_is_over", interrupted)
    gate = threading.Event()
    pupil = Pupil(Fate(lambda question: [sleep(0.001) for _ in iter(gate.is_set, True)]))
    run = BootstrapFewShotWithRandomSearch(exact, num_threads=2).start(pupil, trainset=examples(12))
    while run.status() is None or run.status().in_flight < 2:
        pass
    with pytest.raises(KeyboardInterrupt):
        run.follow()
    gate.set()
    assert run.result().optimization.stopped == "interrupted"
