"""Evaluate, on a running system."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from actors import sleep
from dspex import _errors as errors
from dspex._settings import context, settings
from dspex.evaluate import (
    Evaluate,
    EvaluationFinished,
    EvaluationStopped,
    ExampleRetried,
    Failed,
    FailureKind,
    Scored,
)
from dspex.evaluate._metric_process import _Request
from dspex.evaluate._metric_spawn import MetricProcess
from dspex.predict import Module
from dspex.primitives import Example, Prediction
from dspex.system import System

from . import metrics
from .metrics import exact


@pytest.fixture
def system():
    with System(stall_after=1.0) as running:
        yield running


def examples(count, **more):
    return [Example(question=f"q{n}", answer=f"a{n}", **more).with_inputs("question") for n in range(count)]


class Echo(Module):
    """Right on every question."""

    def forward(self, question):
        return Prediction(answer="a" + question[1:])


class Sometimes(Module):
    """Does to each question what its plan says, attempt by attempt; the last entry stays."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        self.seen = {}

    def forward(self, question):
        attempt = self.seen[question] = self.seen.get(question, 0) + 1
        acts = self.plan.get(question, [None])
        act = acts[min(attempt, len(acts)) - 1]
        if callable(act):
            act()
        elif act is not None:
            raise act
        return Prediction(answer="a" + question[1:])


def hang():
    sleep(1000)


def test_every_example_is_scored_in_order(system):
    result = Evaluate(devset=examples(50), metric=exact, num_workers=7)(Echo())
    assert result.score == 100.0
    assert [row[0].question for row in result.results] == [f"q{n}" for n in range(50)]
    assert [outcome.index for outcome in result.outcomes] == list(range(50))
    assert result.is_complete


def test_an_empty_devset_has_no_score(system):
    assert Evaluate(devset=[], metric=exact)(Echo()).score is None


@pytest.mark.parametrize("width", [1, 3, 10])
def test_no_more_examples_are_in_flight_than_there_are_workers(system, width):
    now, most = 0, 0

    class Counting(Module):
        async def aforward(self, question):
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1
            return Prediction(answer="a" + question[1:])

    Evaluate(devset=examples(25), metric=exact, num_threads=width)(Counting())
    assert most == width


def test_the_actors_of_an_evaluation_are_gone_when_it_has_ended(system):
    Evaluate(devset=examples(20), metric=exact, num_workers=5)(Echo())
    from supervision import which_children

    deadline = time.monotonic() + 5
    while which_children(system.evaluations).get() and time.monotonic() < deadline:
        pass
    assert which_children(system.evaluations).get() == []


def test_the_tree_shows_how_far_an_evaluation_is(system):
    from supervision import tree

    def look(event):
        if isinstance(event, Scored):
            (evaluation,) = tree(system.evaluations)["children"]
            seen.append(next(node["metrics"] for node in evaluation["children"] if "metrics" in node))

    seen = []
    Evaluate(devset=examples(3), metric=exact, num_workers=1, on_event=look)(Echo())
    assert [shown["done"] for shown in seen] == [1, 2, 3]
    assert seen[-1]["progress"] == "3 of 3, score 100.0"


def test_failures_have_their_kinds_and_are_never_scores(system):
    plan = {
        "q0": [errors.LMServerError("500")],
        "q1": [errors.LMRateLimitError("429")],
        "q2": [errors.AdapterParseError("Chat", None, "?")],
        "q3": [ZeroDivisionError("oops")],
        "q4": [errors.BudgetExceededError("spent")],
        "q5": [errors.LMAuthError("401")],
    }
    kinds = {}
    for question in plan:
        program = Sometimes({question: plan[question]})
        devset = [Example(question=question, answer="x").with_inputs("question")]
        evaluate = Evaluate(devset=devset, metric=exact, max_retries=0)
        (failure,) = evaluate(program).failures
        kinds[question] = failure.kind
        assert failure.error is plan[question][0]
        assert "Sometimes" not in failure.message
        assert "forward" in failure.traceback
    assert list(kinds.values()) == [
        FailureKind.OUTAGE,
        FailureKind.RATE_LIMIT,
        FailureKind.MALFORMED_OUTPUT,
        FailureKind.PROGRAM_ERROR,
        FailureKind.BUDGET,
        FailureKind.REFUSED,
    ]


def test_what_may_pass_is_tried_again_and_what_cannot_is_not(system):
    program = Sometimes(
        {
            "q1": [errors.LMServerError("500"), errors.LMTransportError("reset"), None],
            "q2": [ZeroDivisionError()],
            "q3": [errors.LMServerError("500")],
        }
    )
    events = []
    result = Evaluate(devset=examples(5), metric=exact, max_retries=2, on_event=events.append)(program)
    assert program.seen == {"q0": 1, "q1": 3, "q2": 1, "q3": 3, "q4": 1}
    assert result.counts == {FailureKind.PROGRAM_ERROR: 1, FailureKind.OUTAGE: 1}
    assert [type(o) for o in result.outcomes] == [Scored, Scored, Failed, Failed, Scored]
    assert result.outcomes[1].attempts == 3
    assert result.retries == len([e for e in events if isinstance(e, ExampleRetried)]) == 4
    assert isinstance(events[-1], EvaluationFinished)
    assert len([e for e in events if isinstance(e, Scored | Failed)]) == 5


def test_an_example_that_hangs_costs_its_own_timeout_only(system):
    program = Sometimes({"q3": [hang]})
    result = Evaluate(devset=examples(8), metric=exact, num_workers=4, timeout=0.2, max_retries=1)(program)
    assert result.counts == {FailureKind.TIMEOUT: 1}
    assert result.failures[0].index == 3
    assert result.failures[0].attempts == 2
    assert result.score == 100.0
    system.close(timeout=0.5)  # the thread in which the first attempt hangs is nobody's


def test_a_program_that_will_not_be_cancelled_loses_its_worker_and_nothing_else(system):
    class Stubborn(Module):
        async def aforward(self, question):
            while question == "q2":
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    pass
            return Prediction(answer="a" + question[1:])

    result = Evaluate(devset=examples(5), metric=exact, num_workers=2, timeout=0.05, max_retries=0)(Stubborn())
    assert result.counts == {FailureKind.TIMEOUT: 1}
    assert len(result.scored) == 4


def test_an_example_that_kills_its_worker_is_quarantined_and_the_others_are_scored(system):
    def die():
        raise SystemExit("bye")

    program = Sometimes({"q2": [die]})
    result = Evaluate(devset=examples(6), metric=exact, num_workers=2, max_retries=9, quarantine_after=3)(program)
    (failure,) = result.failures
    assert failure.kind is FailureKind.QUARANTINED
    assert failure.last_kind is FailureKind.WORKER_CRASH
    assert program.seen["q2"] == 3
    assert len(result.scored) == 5


def test_too_many_errors_end_it_early_with_what_is_finished(system):
    program = Sometimes({f"q{n}": [ValueError(n)] for n in range(10, 100)})
    events = []
    result = Evaluate(devset=examples(100), metric=exact, num_workers=1, max_errors=3, on_event=events.append)(program)
    assert result.stopped == "max_errors"
    assert len(result.outcomes) == 100
    assert len(result.scored) == 10
    assert result.counts == {FailureKind.PROGRAM_ERROR: 3, FailureKind.CANCELLED: 87}
    assert result.score == 100.0
    assert [e for e in events if isinstance(e, EvaluationStopped)] == [EvaluationStopped("max_errors", 13, 100)]


def test_without_max_errors_the_setting_holds_only_if_it_was_set(system):
    program = Sometimes({f"q{n}": [ValueError(n)] for n in range(40)})
    assert len(Evaluate(devset=examples(60), metric=exact)(program).scored) == 20
    with context(max_errors=5):
        assert Evaluate(devset=examples(60), metric=exact, num_workers=1)(program).stopped == "max_errors"


def test_a_failure_score_counts_failures_in(system):
    program = Sometimes({"q0": [ValueError()]})
    result = Evaluate(devset=examples(4), metric=exact, failure_score=0.0)(program)
    assert result.score == 75.0
    assert result.results[0][2] == 0.0


def test_metrics_may_be_functions_coroutines_modules_and_return_predictions(system):
    async def later(example, prediction):
        await asyncio.sleep(0)
        return 0.5

    class Judge(Module):
        def forward(self, example, prediction, trace=None):
            return Prediction(score=0.25)

    for metric, score in ((exact, 100.0), (later, 50.0), (Judge(), 25.0), (lambda e, p: Prediction(score=1), 100.0)):
        assert Evaluate(devset=examples(3), metric=metric)(Echo()).score == score


@pytest.mark.parametrize("verdict", [None, "yes", float("nan"), ZeroDivisionError()])
def test_a_metric_without_a_number_is_a_metric_error_with_the_prediction_kept(system, verdict):
    def metric(example, prediction):
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    result = Evaluate(devset=examples(2), metric=metric)(Echo())
    assert result.counts == {FailureKind.METRIC_ERROR: 2}
    assert result.results[1][1].answer == "a1"
    assert result.score is None


@pytest.mark.parametrize(
    "error", [json.JSONDecodeError("bad", "x", 0), TimeoutError("mine"), ConnectionError()], ids=repr
)
def test_what_a_metric_raises_itself_does_not_ask_the_program_again(system, error):
    def metric(example, prediction):
        raise error

    program = Sometimes({})
    result = Evaluate(devset=examples(1), metric=metric)(program)
    assert result.counts == {FailureKind.METRIC_ERROR: 1}
    assert (program.seen, result.retries) == ({"q0": 1}, 0)


def test_an_outage_of_the_judge_is_an_outage_and_is_tried_again(system):
    seen = []

    def judge(example, prediction):
        seen.append(example.question)
        if len(seen) == 1:
            raise errors.LMServerError("500")
        return True

    result = Evaluate(devset=examples(1), metric=judge)(Echo())
    assert result.score == 100.0
    assert len(seen) == 2


def test_with_patience_an_outage_does_not_use_up_the_attempts(system):
    seen = []

    def judge(example, prediction):
        seen.append(example.question)
        if len(seen) < 3:
            raise errors.LMServerError("500")
        return True

    hasty = Evaluate(devset=examples(1), metric=judge, max_retries=0)(Echo())
    assert hasty.score is None
    seen.clear()
    patient = Evaluate(devset=examples(1), metric=judge, max_retries=0, patience=60.0)(Echo())
    assert patient.score == 100.0


def test_a_program_that_blocks_its_thread_is_evaluated_side_by_side(system):
    together = threading.Barrier(3, timeout=20)

    class Blocking(Module):
        blocking = True

        def forward(self, question):
            together.wait()
            return Prediction(answer="a" + question[1:])

    assert Evaluate(devset=examples(6), metric=exact, num_workers=3)(Blocking()).score == 100.0


def test_a_spawned_program_and_a_function_can_be_evaluated(system):
    ref = system.spawn(Echo(), name="echo")
    assert Evaluate(devset=examples(5), metric=exact)(ref).score == 100.0
    assert (
        Evaluate(devset=examples(5), metric=exact)(lambda question: Prediction(answer="a" + question[1:])).score == 100
    )
    with pytest.raises(TypeError, match="no program"):
        Evaluate(devset=examples(5), metric=exact)(42)


def test_settings_of_the_caller_hold_in_the_workers(system):
    class Asking(Module):
        def forward(self, question):
            return Prediction(answer=settings.branch_idx)

    with context(branch_idx=17):
        result = Evaluate(devset=examples(3), metric=lambda e, p: p.answer == 17)(Asking())
    assert result.score == 100.0


def test_a_cancelled_evaluation_gives_what_is_finished_at_once(system):
    program = Sometimes({"q5": [hang]})
    evaluation = Evaluate(devset=examples(8), metric=exact, num_workers=1).start(program)
    while evaluation.progress.done < 5:
        evaluation.wait(0.01)
    result = evaluation.cancel()
    assert result.stopped == "cancelled"
    assert len(result.scored) == 5
    assert result.counts == {FailureKind.CANCELLED: 3}
    assert evaluation.result() is result


def test_an_interrupt_while_waiting_gives_what_is_finished(system, monkeypatch):
    evaluation = Evaluate(devset=examples(4), metric=exact, num_workers=1).start(Sometimes({"q2": [hang]}))
    while evaluation.progress.done < 2:
        evaluation.wait(0.01)
    real = evaluation._finished

    class Interrupted:
        """A reply whose first reader is interrupted from the keyboard."""

        interrupted = False

        def __getattr__(self, name):
            return getattr(real, name)

        def get(self, timeout=None):
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return real.get(timeout=timeout)

    monkeypatch.setattr(evaluation, "_finished", Interrupted())
    assert len(evaluation.result().scored) == 2


def test_ctrl_c_in_a_process_gives_what_is_finished():
    command = [sys.executable, "-m", "tests.dspex.evaluate.interrupted"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGINT)
        try:
            told, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert json.loads(told.splitlines()[-1]) == [100.0, 5, "cancelled", {"cancelled": 4}]
    assert process.returncode == 0
    assert "Evaluate" not in errors  # no progress is shown where there is no terminal


def test_it_can_be_awaited_on_any_loop_and_its_cancellation_ends_it(system):
    async def main():
        assert (await Evaluate(devset=examples(5), metric=exact).acall(Echo())).score == 100.0
        program = Sometimes({"q0": [hang]})
        task = asyncio.create_task(Evaluate(devset=examples(5), metric=exact, num_workers=1).acall(program))
        while not program.seen:  # noqa: ASYNC110  the other side is no coroutine of this loop
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert program.seen == {"q0": 1}

    asyncio.run(main())


def test_an_evaluation_may_run_inside_a_program(system):
    class Outer(Module):
        def forward(self, question):
            inner = Evaluate(devset=examples(4), metric=exact)(Echo())
            return Prediction(answer="a" + question[1:], inner=inner.score)

    result = Evaluate(devset=examples(3), metric=lambda e, p: p.inner == 100.0, num_workers=3)(Outer())
    assert result.score == 100.0


def test_a_listener_that_raises_does_not_end_the_evaluation(system, caplog):
    def broken(event):
        raise RuntimeError("listener")

    assert Evaluate(devset=examples(3), metric=exact, on_event=broken)(Echo()).score == 100.0
    assert "on_event raised" in caplog.text


def test_with_provide_traceback_one_of_each_kind_of_failure_is_logged(system, caplog):
    plan = {f"q{n}": [KeyError(f"missing {n}")] for n in range(3)}
    for wanted in (False, True):
        Evaluate(devset=examples(4), metric=exact, provide_traceback=wanted)(Sometimes(plan))
        assert [record.name for record in caplog.records] == ["dspex.evaluate"] * wanted
    assert "KeyError: 'missing 0'" in caplog.text
    assert "Traceback" in caplog.text


def test_results_are_saved_where_they_are_wanted(system, tmp_path):
    table, listing = tmp_path / "r.csv", tmp_path / "r.json"
    Evaluate(devset=examples(3), metric=exact, save_as_csv=str(table))(Echo(), save_as_json=str(listing))
    assert len(table.read_text().splitlines()) == 4
    assert listing.read_text().count('"question"') == 3


# metrics in processes


def evaluate_in_processes(fates, program=None, **options):
    devset = [
        Example(question=f"q{n}", answer=f"a{n}", fate=fate).with_inputs("question") for n, fate in enumerate(fates)
    ]
    evaluate = Evaluate(
        devset=devset, metric=metrics.treacherous, metric_executor="process", metric_processes=2, **options
    )
    return evaluate(Echo() if program is None else program)


def test_a_metric_that_kills_its_process_costs_one_example(system):
    result = evaluate_in_processes([None, "die", None, "segfault", None, "print"], max_retries=0, num_workers=3)
    assert [type(o) for o in result.outcomes] == [Scored, Failed, Scored, Failed, Scored, Scored]
    assert {f.kind for f in result.failures} == {FailureKind.WORKER_CRASH}
    assert result.failures[0].error.exitcode == 3
    assert "signal 11" in result.failures[1].message


def test_a_metric_in_an_endless_loop_costs_its_example_s_time(system):
    result = evaluate_in_processes(["hang", "spin", None, None], max_retries=0, num_workers=4, timeout=3.0)
    assert result.counts == {FailureKind.TIMEOUT: 2}
    assert len(result.scored) == 2


def test_a_metric_s_errors_come_back_from_its_process(system):
    result = evaluate_in_processes(["raise", "nonsense", None])
    assert result.counts == {FailureKind.METRIC_ERROR: 2}
    assert "no such word" in result.failures[0].message


def test_a_metric_that_cannot_be_sent_is_refused_before_anything_runs(system):
    with pytest.raises(TypeError, match="top level of a module"):
        Evaluate(devset=examples(1), metric=lambda e, p: True, metric_executor="process")(Echo())


def test_a_program_that_holds_the_loop_once_does_not_move_its_workers_to_threads():
    class Heavy(Module):
        async def aforward(self, question):
            if question == "q0":
                time.sleep(0.3)  # noqa: ASYNC251  what must not happen, and does
            return Prediction(answer="a" + question[1:])

    with System(stall_after=0.05) as system:
        evaluate = Evaluate(devset=examples(6), metric=exact, num_workers=2)
        assert evaluate(Heavy()).score == 100.0
        assert evaluate(Heavy()).score == 100.0
        assert Heavy()(question="q5").answer == "a5"
        assert not [code for code in system.scheduler.blocking if code.co_name == "on_receive"]


def test_who_waits_for_a_verdict_and_who_computes_it_agree_on_who_was_first():
    process = MetricProcess(b"")
    early, late, between = _Request(b""), _Request(b""), _Request(b"")
    assert early.give_up() is None
    assert not early.take(process), "given up before its turn: no process takes it"
    assert late.take(process)
    assert late.settle(b"verdict", None)
    assert late.give_up() is None, "answered: the process is at another one by now, and must not be ended"
    assert between.take(process)
    assert between.give_up() is process
    assert not between.settle(b"verdict", None), "the process is being ended: it takes no other"


def test_those_that_wait_behind_a_hanging_metric_are_judged_by_the_process_that_follows(system):
    devset = [Example(question=f"q{n}", answer=f"a{n}", fate="hang" if n == 0 else None) for n in range(5)]
    evaluate = Evaluate(
        devset=[example.with_inputs("question") for example in devset],
        metric=metrics.treacherous, metric_executor="process", metric_processes=1,
        num_workers=5, timeout=2.0, max_retries=0,
    )  # fmt: skip
    result = evaluate(Echo())
    assert result.counts == {FailureKind.TIMEOUT: 1}
    assert len(result.scored) == 4
