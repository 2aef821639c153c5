"""What an evaluation survives: dead workers, rows that are no examples, code that never comes back."""

import asyncio
import itertools
import threading

import pytest

from actors import ActorDeadError, sleep
from dspex import _errors as errors
from dspex.evaluate import Evaluate, FailureKind, Scored
from dspex.evaluate._collector import Collector
from dspex.evaluate._worker import EvaluationWorker
from dspex.predict import Module
from dspex.primitives import Example, Prediction
from dspex.system import System

from .metrics import exact


@pytest.fixture
def system():
    with System(stall_after=1.0) as running:
        yield running


@pytest.fixture
def release():
    """Set at the end: code that hangs until then leaves no thread behind."""
    event = threading.Event()
    yield event
    event.set()


def examples(count):
    return [Example(question=f"q{n}", answer=f"a{n}").with_inputs("question") for n in range(count)]


class Waits(Module):
    """Right, after a moment."""

    def forward(self, question):
        sleep(0.001)
        return Prediction(answer="a" + question[1:])


def test_workers_that_are_killed_at_any_moment_cost_no_example(system, monkeypatch):
    workers = []

    class Watched(EvaluationWorker):
        def __init__(self, *args):
            super().__init__(*args)
            workers.append(self.actor_ref)

    monkeypatch.setattr("dspex.evaluate._collector.EvaluationWorker", Watched)
    turns = itertools.count()

    def kill(event):
        alive = [worker for worker in workers if worker.is_alive()]
        if isinstance(event, Scored) and alive:
            alive[next(turns) * 7 % len(alive)].kill()

    result = Evaluate(
        devset=examples(200), metric=exact, num_workers=8, max_retries=1000, quarantine_after=1000, on_event=kill
    )(Waits())
    assert next(turns) > 100
    assert [scored.index for scored in result.scored] == list(range(200))


def test_a_worker_that_is_gone_before_its_end_is_known_costs_not_even_an_attempt(system, monkeypatch):
    class Gone:
        def tell(self, message):
            raise ActorDeadError("it was killed a moment ago")

    send, turns = Collector._send, itertools.count()

    def sometimes_too_late(self, worker, lease, now):
        if next(turns) % 3 == 0:
            self._idle.append(worker)
            worker = Gone()
        send(self, worker, lease, now)

    monkeypatch.setattr(Collector, "_send", sometimes_too_late)
    result = Evaluate(devset=examples(30), metric=exact, num_workers=4)(Waits())
    assert [(scored.index, scored.attempts) for scored in result.scored] == [(n, 1) for n in range(30)]


def test_what_is_no_example_and_what_cannot_be_read_fails_alone(system):
    class Rows(list):
        def __getitem__(self, index):
            if index == 3:
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    class WordlessError(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    class Picky(Module):
        async def aforward(self, question):
            if question == "q4":
                raise WordlessError
            return Prediction(answer="a" + question[1:])

    rows = Rows([*examples(5), Example(question="no inputs"), 7])
    result = Evaluate(devset=rows, metric=exact, num_workers=2)(Picky())
    assert [scored.index for scored in result.scored] == [0, 1, 2]
    assert [failure.index for failure in result.failures] == [3, 4, 5, 6]
    assert result.counts == {FailureKind.PROGRAM_ERROR: 4}
    assert result.failures[1].message == "WordlessError"


@pytest.mark.parametrize("where", ["program", "spawned", "metric"])
def test_with_a_timeout_code_that_never_comes_back_costs_its_example_alone_however_well_it_went_before(
    system, where, release
):
    hangs = None if where == "metric" else "q30"

    class Hangs(Module):
        def forward(self, question):
            if question == hangs:
                release.wait()
            return Prediction(answer="a" + question[1:])

    def metric(example, prediction):
        if where == "metric" and example.question == "q30":
            release.wait()
        return exact(example, prediction)

    program = system.spawn(Hangs()) if where == "spawned" else Hangs()
    result = Evaluate(devset=examples(60), metric=metric, num_workers=4, timeout=0.2, max_retries=1)(program)
    assert [(failure.index, failure.kind) for failure in result.failures] == [(30, FailureKind.TIMEOUT)]
    assert len(result.scored) == 59


def test_no_failure_keeps_what_its_code_had_in_hand(system):
    import gc
    import weakref

    class Large:
        pass

    seen = []

    class Fails(Module):
        async def aforward(self, question):
            large = Large()
            seen.append(weakref.ref(large))
            try:
                raise errors.LMAuthError("no key")
            except errors.LMAuthError as error:
                raise ValueError("wrong") from error

    result = Evaluate(devset=examples(10), metric=exact)(Fails())
    assert len(result.failures) == 10
    gc.collect()
    assert [each for each in seen if each() is not None] == []


def test_a_wrong_key_is_told_after_a_few_examples(system):
    asked = []

    class Refused(Module):
        async def aforward(self, question):
            asked.append(question)
            raise errors.LMAuthError("no such key")

    result = Evaluate(devset=examples(1000), metric=exact, num_workers=4)(Refused())
    assert len(asked) < 30
    assert result.stopped == "refused"
    assert result.counts == {FailureKind.REFUSED: len(asked), FailureKind.CANCELLED: 1000 - len(asked)}


def test_who_was_scored_once_is_not_stopped_by_refusals(system):
    class Sometimes(Module):
        async def aforward(self, question):
            if question != "q0":
                raise errors.LMAuthError("no such key")
            return Prediction(answer="a0")

    result = Evaluate(devset=examples(50), metric=exact, num_workers=1)(Sometimes())
    assert (result.stopped, result.counts) == (None, {FailureKind.REFUSED: 49})


def test_a_retry_that_waits_for_a_place_keeps_nobody_busy(system, monkeypatch):
    pumped, pump = [], Collector._pump

    def counted(self):
        pumped.append(self._ledger.due)
        pump(self)

    class Once(Module):
        """The first fails at once, and all others hold their places until then."""

        def __init__(self):
            super().__init__()
            self.failed = False

        async def aforward(self, question):
            if question == "q0" and not self.failed:
                self.failed = True
                raise errors.LMServerError("try again")
            await asyncio.sleep(0.4)  # the retry is due after 0.1
            return Prediction(answer="a" + question[1:])

    monkeypatch.setattr(Collector, "_pump", counted)
    result = Evaluate(devset=examples(6), metric=exact, num_workers=2)(Once())
    assert len(result.scored) == 6
    assert len(pumped) < 60
