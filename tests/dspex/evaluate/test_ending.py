"""How an evaluation ends: by its caller's end, by `cancel` from anywhere, and whatever goes wrong at its end."""

import asyncio
import io
import sys
import threading
import time

import pytest

from actors import Reply
from dspex.evaluate import Evaluate, EvaluationFinished, FailureKind, Scored, _evaluation
from dspex.predict import Module
from dspex.primitives import Example, Prediction
from dspex.system import System
from supervision import which_children

from .metrics import exact


@pytest.fixture
def system():
    with System(store=False, control_socket=False) as running:
        yield running


def examples(count):
    return [Example(question=f"q{n}", answer=f"a{n}").with_inputs("question") for n in range(count)]


class Echo(Module):
    def forward(self, question):
        return Prediction(answer="a" + question[1:])


class Hangs(Module):
    """Never answers; `begun` is set when it was asked."""

    def __init__(self):
        super().__init__()
        self.begun = threading.Event()

    async def aforward(self, question):
        self.begun.set()
        await asyncio.sleep(1000)


class Nests(Module):
    """Evaluates a program that never answers."""

    def __init__(self, blocking):
        super().__init__()
        self.inner = Hangs()
        self.blocking = blocking

    def forward(self, question):
        return Evaluate(devset=examples(3), metric=exact, num_workers=1)(self.inner)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def running(system):
    """The evaluations that are there after a while."""
    deadline = time.monotonic() + 5
    while (found := which_children(system.evaluations).get()) and time.monotonic() < deadline:
        pass
    return found


@pytest.mark.parametrize("shown", [False, True])
def test_a_cancelled_acall_ends_the_evaluation_with_and_without_a_bar(system, monkeypatch, shown):
    monkeypatch.setattr(sys, "stderr", Terminal())
    program = Hangs()

    async def main():
        task = asyncio.create_task(Evaluate(devset=examples(9), metric=exact).acall(program, display_progress=shown))
        await asyncio.to_thread(program.begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert running(system) == []

    asyncio.run(main())


@pytest.mark.parametrize("blocking", [False, True], ids=["in a fiber", "in a thread"])
@pytest.mark.parametrize("end", ["timeout", "cancel"])
def test_an_evaluation_inside_a_program_ends_with_the_call_that_began_it(system, blocking, end):
    program = Nests(blocking)
    evaluate = Evaluate(
        devset=examples(1), metric=exact, timeout=0.3 if end == "timeout" else None, max_retries=0
    )  # fmt: skip
    evaluation = evaluate.start(program)
    assert program.inner.begun.wait(10)
    result = evaluation.result() if end == "timeout" else evaluation.cancel()
    assert result.counts == {FailureKind.TIMEOUT if end == "timeout" else FailureKind.CANCELLED: 1}
    assert running(system) == []


def test_an_error_while_the_result_is_built_reaches_who_waits_and_gives_back_what_was_held(system, monkeypatch):
    def broken(*args, **more):
        raise ArithmeticError("no mean")

    monkeypatch.setattr(_evaluation, "EvaluationResult", broken)

    class Processes:
        are_in_doubt = True

        def start(self):
            return Reply.of(None)

        def close(self):
            released.append(True)

    evaluate = Evaluate(devset=examples(2), metric=exact)
    evaluation = evaluate._prepared(evaluate._asked(Echo()))
    released = []
    evaluation._processes = Processes()
    evaluation.begin()
    with pytest.raises(ArithmeticError, match="no mean"):
        evaluation._finished.get(timeout=10)
    assert running(system) == []
    assert released == [True]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("at", [Scored, EvaluationFinished])
def test_a_listener_that_exits_is_not_called_again_and_ends_nothing(system, caplog, error, at):
    heard = []

    def on_event(event):
        heard.append(event)
        if isinstance(event, at):
            raise error

    assert Evaluate(devset=examples(3), metric=exact, on_event=on_event)(Echo()).score == 100.0
    assert [isinstance(event, at) for event in heard].count(True) == 1
    assert "on_event raised" in caplog.text


def test_an_async_listener_is_refused_before_anything_runs(system):
    async def on_event(event):
        pass

    class Object:
        async def __call__(self, event):
            pass

    for wrong in (on_event, Object(), 3):
        with pytest.raises(TypeError, match="on_event must be a"):
            Evaluate(devset=examples(1), metric=exact, on_event=wrong)


def test_a_listener_that_turns_out_to_be_async_is_told_so_and_not_called_again(system, caplog):
    async def later(event):
        pass

    assert Evaluate(devset=examples(3), metric=exact, on_event=lambda event: later(event))(Echo()).score == 100.0
    assert caplog.text.count("returned a coroutine") == 1


def test_a_listener_may_cancel_the_evaluation_and_gets_what_is_finished(system):
    box, results, events = [], [], []
    begun = threading.Event()

    def on_event(event):
        events.append(type(event))
        if isinstance(event, Scored) and event.index == 3:
            begun.wait(10)
            results.append(box[0].cancel())

    box.append(Evaluate(devset=examples(50), metric=exact, num_workers=1, on_event=on_event).start(Echo()))
    begun.set()
    result = box[0].result()
    assert [r.stopped for r in (result, *results)] == ["cancelled"] * 2
    assert [len(r.scored) for r in (result, *results)] == [4, 4]
    assert events.count(EvaluationFinished) == 1


def test_cancelled_while_something_holds_the_loop_it_has_one_result_and_one_last_event(system, monkeypatch):
    monkeypatch.setattr(_evaluation, "_AT_ONCE", 0.05)
    held, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    finished = []

    def on_event(event):
        if isinstance(event, Scored) and event.index == 1:
            held.set()
            go_on.wait(10)
        if isinstance(event, EvaluationFinished):
            finished.append(event)
            ended.set()

    evaluation = Evaluate(devset=examples(9), metric=exact, num_workers=1, on_event=on_event).start(Echo())
    assert held.wait(10)
    result = evaluation.cancel()
    assert (len(result.scored), result.stopped) == (2, "cancelled")
    assert evaluation.result() is result
    go_on.set()
    assert ended.wait(10)
    assert running(system) == []
    assert [event.scored for event in finished] == [2]
