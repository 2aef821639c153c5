"""A call has the same result from everywhere, and its failure is its own."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

import dspex
from actors import BlockingOnLoopError
from tests.dspex.programs.models import Answering, AnsweringAsync, Failing, Model

EXPECTED = {"answer": "answer of q", "verdict": "verdict of answer of q"}


def runnable(system: dspex.System, program: Any, spawned: bool) -> Any:
    return system.spawn(program) if spawned else program


@pytest.fixture(params=[Answering, AnsweringAsync], ids=["forward", "aforward"])
def written(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[True, False], ids=["spawned", "request"])
def program(request: pytest.FixtureRequest, system: dspex.System, written: Any) -> Any:
    return runnable(system, written(), request.param)


def test_the_main_thread_gets_the_result(program: Any) -> None:
    assert program(question="q").toDict() == EXPECTED


def test_other_threads_get_the_result_though_they_have_not_seen_the_with_block(program: Any) -> None:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(program(question="q"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [result.toDict() for result in results] == [EXPECTED] * 5


def test_an_event_loop_of_the_users_awaits_the_result(program: Any) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*(program.acall(question="q") for _ in range(5)))

    assert [result.toDict() for result in asyncio.run(main())] == [EXPECTED] * 5


def test_a_plain_call_works_where_a_loop_is_running_as_in_a_notebook(program: Any) -> None:
    async def cell() -> Any:
        return program(question="q")

    assert asyncio.run(cell()).toDict() == EXPECTED


def test_other_programs_call_it(system: dspex.System, program: Any) -> None:
    class Outer(dspex.Module):
        def forward(self, question: str) -> Any:
            return program(question=question)

    class OuterAsync(dspex.Module):
        async def aforward(self, question: str) -> Any:
            return await program.acall(question=question)

    for outer in (Outer(), OuterAsync(), system.spawn(Outer()), system.spawn(OuterAsync())):
        assert outer(question="q").toDict() == EXPECTED


def test_a_reply_is_read_in_a_thread_and_awaited_on_a_loop(system: dspex.System, written: Any) -> None:
    ref = system.spawn(written())
    assert ref.call(question="q").get(timeout=10).toDict() == EXPECTED

    async def main() -> Any:
        return await ref.call(question="q")

    assert asyncio.run(main()).toDict() == EXPECTED


def test_a_plain_call_on_the_systems_own_loop_is_refused_at_once(program: Any, system: dspex.System) -> None:
    async def on_the_loop() -> Any:
        return program(question="q")

    with pytest.raises(BlockingOnLoopError):
        system.scheduler.submit(on_the_loop()).get(timeout=10)


def test_many_calls_are_at_work_at_the_same_time(program: Any, model: Model) -> None:
    gate = model.hold()
    results: list[Any] = []

    async def main() -> None:
        results.extend(await asyncio.gather(*(program.acall(question=f"q{n}") for n in range(200))))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    model.wait_for(200)
    assert results == []
    model.gate = None
    gate.set(None)
    thread.join(20)
    assert [result.answer for result in results] == [f"answer of q{n}" for n in range(200)]


@pytest.mark.parametrize("spawned", [True, False], ids=["spawned", "request"])
def test_an_exception_in_forward_fails_its_own_call_with_its_traceback(
    system: dspex.System, model: Model, spawned: bool
) -> None:
    program = runnable(system, Failing(), spawned)
    gate = model.hold()
    good: list[Any] = []
    thread = threading.Thread(target=lambda: good.append(program(question="good")))
    thread.start()
    model.wait_for(1)
    with pytest.raises(ZeroDivisionError) as raised:
        program(question="bad")
    assert "in forward" in "".join(traceback.format_exception(raised.value))
    gate.set(None)
    thread.join(10)
    assert good[0].answer == "answer of good"


def test_system_exit_in_a_request_reaches_its_caller_and_nobody_else(system: dspex.System) -> None:
    with pytest.raises(SystemExit):
        Failing()(question="exit")
    assert Failing()(question="q").answer == "answer of q"


def test_a_module_with_both_methods_is_called_by_the_callers_kind(system: dspex.System) -> None:
    class Both(dspex.Module):
        def forward(self) -> str:
            return "forward"

        async def aforward(self) -> str:
            return "aforward"

    assert Both()() == "forward"
    assert asyncio.run(Both().acall()) == "forward"  # a request is a fiber: synchronous code may run in it

    class Outer(dspex.Module):
        def __init__(self) -> None:
            self.inner = Both()

        async def aforward(self) -> str:
            return await self.inner.acall()  # type: ignore[no-any-return]

    assert Outer()() == "aforward"


def test_forward_overridden_below_an_inherited_aforward_is_what_counts(system: dspex.System) -> None:
    class Mine(dspex.ChainOfThought):
        def forward(self, **inputs: Any) -> Any:
            return "mine"

    for mine in (Mine("question -> answer"), system.spawn(Mine("question -> answer"))):
        assert mine(question="q") == "mine"
        assert asyncio.run(mine.acall(question="q")) == "mine"


def test_a_module_without_either_method_says_what_it_needs(system: dspex.System) -> None:
    class Empty(dspex.Module):
        pass

    with pytest.raises(TypeError, match="forward"):
        Empty()()


def test_settings_traces_and_usage_follow_a_call_into_its_actors(system: dspex.System, model: Model) -> None:
    ref = system.spawn(Answering())
    other = Model()
    trace: list[Any] = []
    with dspex.track_usage() as tracker, dspex.context(lm=other, trace=trace):
        ref(question="q")
    names = {id(predictor): name for name, predictor in ref.program.named_predictors()}
    assert [names[id(predictor)] for predictor, _, _ in trace] == ["first", "second.predict"]
    assert trace[0][1] == {"question": "q"}
    assert trace[0][2].answer == "answer of q"
    assert (len(other.requests), len(model.requests)) == (2, 0)
    assert tracker.total.total_tokens == 30
    assert tracker.cost == 0.5


@pytest.mark.parametrize("spawned", [False, True])
def test_usage_counts_what_runs_beneath_it_however_it_is_run(system: dspex.System, spawned: bool) -> None:
    program: Any = system.spawn(Answering()) if spawned else Answering()
    examples = [dspex.Example(question=f"q{n}").with_inputs("question") for n in range(4)]

    def good(example: Any, prediction: Any, trace: Any = None) -> bool:
        return bool(prediction.verdict)

    async def on_a_loop_of_its_own() -> None:
        await asyncio.gather(*(program.acall(question=example.question) for example in examples))

    evaluate = dspex.Evaluate(devset=examples, metric=good, num_workers=2, display_progress=False)
    parallel = dspex.Parallel(num_threads=2, disable_progress_bar=True)
    ways: list[Callable[[], Any]] = [
        lambda: parallel([(program, example) for example in examples]),
        lambda: evaluate(program),
        lambda: asyncio.run(on_a_loop_of_its_own()),
        lambda: [copy_context().run(program, question=example.question) for example in examples],
    ]
    for way in ways:
        with dspex.track_usage() as tracker:
            way()
        assert (tracker.calls, tracker.total.total_tokens, tracker.cost) == (8, 8 * 15, 8 * 0.25)


def test_usage_is_on_the_prediction_when_that_is_configured(system: dspex.System) -> None:
    with dspex.context(track_usage=True):
        for program in (Answering(), system.spawn(Answering())):
            usage = program(question="q").get_lm_usage()
            assert usage["test/model"]["total_tokens"] == 30


def test_history_is_kept_by_every_module_around_a_call(system: dspex.System, model: Model) -> None:
    ref = system.spawn(Answering())
    ref(question="q")
    program = ref.program
    assert [len(m.history) for m in (program, program.first, program.second, program.second.predict)] == [2, 1, 1, 1]
    assert len(model.history) == 2


def test_callbacks_see_modules_as_they_nest(system: dspex.System) -> None:
    seen: list[tuple[str, str, str | None]] = []

    class Watching(dspex.BaseCallback):
        def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            from dspex.callbacks import ACTIVE_CALL_ID

            seen.append((type(instance).__name__, call_id, ACTIVE_CALL_ID.get()))

    for spawned in (True, False):
        seen.clear()
        with dspex.context(callbacks=[Watching()]):
            runnable(system, Answering(), spawned)(question="q")
        assert [name for name, _, _ in seen] == ["Answering", "Predict", "ChainOfThought", "Predict"]
        ids = [call_id for _, call_id, _ in seen]
        assert [parent for _, _, parent in seen] == [None, ids[0], ids[0], ids[2]]


def test_two_systems_at_once_run_their_own_programs() -> None:
    one, two = Model(), Model()
    with dspex.System("one", lm=one, store=False, control_socket=False) as first:
        ref = first.spawn(Answering())
        with dspex.System("two", lm=two, store=False, control_socket=False):
            Answering()(question="q")
            assert (len(one.requests), len(two.requests)) == (0, 2)
            ref(question="q")
            assert (len(one.requests), len(two.requests)) == (2, 2)
            third = Model()
            with dspex.context(lm=third):
                ref(question="q")
            assert (len(one.requests), len(two.requests), len(third.requests)) == (2, 2, 2)
        Answering()(question="q")
    assert (len(one.requests), len(two.requests)) == (4, 2)
