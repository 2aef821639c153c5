"""What an optimizer cannot work with is refused as itself, before anything is kept of the run or paid for it."""

import sys

import pytest

from dspex.predict import Module, Predict
from dspex.primitives import Example, Prediction
from dspex.signatures import Signature
from dspex.system import System
from dspex.teleprompt import (
    COPRO,
    BootstrapError,
    BootstrapFewShot,
    BootstrapRS,
    Ensemble,
    Found,
    KNNFewShot,
    LabeledFewShot,
    MIPROv2,
    RunPausedError,
    Teleprompter,
    decide,
    evaluate,
    list_runs,
    load_run,
)
from dspex.testing import DummyLM


@pytest.fixture
def lm():
    return DummyLM([{"answer": "a"}] * 1000)


@pytest.fixture
def system(tmp_path, lm):
    with System(lm=lm, stall_after=1.0, store=str(tmp_path / "store.db")) as running:
        yield running


def examples(count):
    return [Example(question=f"q{n}", answer="a").with_inputs("question") for n in range(count)]


def metric(example, prediction, trace=None):
    return example.answer == prediction.answer


def mipro(**more):
    return MIPROv2(metric, auto=None, num_candidates=2, **more)


def program():
    return Predict("question -> answer")


UNMARKED = [Example(question="q", answer="a")] * 3

REFUSED = {
    "no num_trials": (mipro, {}, "num_trials is needed"),
    "auto and num_trials": (lambda: MIPROv2(metric), {"num_trials": 3}, "auto chooses num_trials"),
    "full_eval_steps": (mipro, {"num_trials": 2, "minibatch_full_eval_steps": 0}, "minibatch_full_eval_steps"),
    "minibatch_size": (mipro, {"num_trials": 2, "minibatch_size": -1}, "minibatch_size must be 1"),
    "view_data_batch_size": (mipro, {"num_trials": 2, "view_data_batch_size": 0}, "view_data_batch_size"),
    "demos": (mipro, {"num_trials": 2, "max_labeled_demos": -1}, "max_labeled_demos must be 0"),
    "no seeds": (lambda: BootstrapRS(metric), {"restrict": []}, "leaves no seed"),
    "other seeds": (lambda: BootstrapRS(metric), {"restrict": [99]}, "leaves no seed"),
    "no trainset, RS": (lambda: BootstrapRS(metric), {"trainset": []}, "trainset is empty"),
    "no trainset, COPRO": (lambda: COPRO(metric=metric), {"trainset": []}, "trainset is empty"),
    "no trainset, BFS": (lambda: BootstrapFewShot(metric), {"trainset": []}, "trainset is empty"),
    "no valset, RS": (lambda: BootstrapRS(metric), {"valset": []}, "valset is empty"),
    "no valset, MIPRO": (mipro, {"num_trials": 2, "valset": []}, "training and validation examples"),
    "no metric, RS": (lambda: BootstrapRS(None), {}, "needs a metric"),
    "no metric, COPRO": (COPRO, {}, "needs a metric"),
    "no metric, MIPRO": (lambda: MIPROv2(None, auto="light"), {}, "needs a metric"),
    "unmarked, RS": (lambda: BootstrapRS(metric), {"trainset": UNMARKED}, "with_inputs"),
    "unmarked, BFS": (lambda: BootstrapFewShot(metric), {"trainset": UNMARKED}, "with_inputs"),
    "unmarked, COPRO": (lambda: COPRO(metric=metric), {"trainset": UNMARKED}, "with_inputs"),
    "unmarked, MIPRO": (lambda: MIPROv2(metric), {"trainset": UNMARKED}, "with_inputs"),
    "workers": (lambda: BootstrapRS(metric), {"num_workers": -1}, "num_workers must be 1"),
    "retries": (lambda: BootstrapRS(metric), {"max_retries": -1}, "max_retries must be 0"),
    "seconds": (lambda: BootstrapRS(metric), {"max_seconds": -1}, "max_seconds must be 0"),
    "timeout": (lambda: BootstrapRS(metric), {"timeout": 0}, "timeout must be more"),
    "name": (lambda: LabeledFewShot(), {"run_id": ""}, "run_id is empty"),
}


@pytest.mark.parametrize(("make", "arguments", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_before_the_run_exists(make, arguments, why, system, lm):
    with pytest.raises(ValueError, match=why):
        make().compile(program(), **{"trainset": examples(5), "run_id": "r1", **arguments})
    assert list_runs() == []
    assert system.live_runs() == {}
    assert lm.history == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: LabeledFewShot(k=-1),
        lambda: BootstrapFewShot(max_bootstrapped_demos=-1),
        lambda: BootstrapFewShot(max_rounds=0),
        lambda: BootstrapFewShot(max_errors=-1),
        lambda: BootstrapRS(metric, num_threads=0),
        lambda: BootstrapRS(metric, num_candidate_programs=-1),
        lambda: mipro(search="bogus"),
        lambda: MIPROv2(metric, auto=None, num_candidates=0),
        lambda: COPRO(breadth=1),
        lambda: KNNFewShot(0, examples(2), len),
        lambda: KNNFewShot(1, UNMARKED, len),
        lambda: KNNFewShot(1, [], len),
    ],
)
def test_numbers_that_mean_nothing_are_refused_by_the_constructor(make):
    with pytest.raises(ValueError):
        make()


def test_what_is_no_program_or_no_data_is_a_type_error_that_says_so(system):
    ref = system.spawn(program(), name="spawned")
    for student in (None, ref, "program", [program()]):
        with pytest.raises(TypeError, match="student must be a program"):
            BootstrapRS(metric).compile(student, trainset=examples(2))
    with pytest.raises(TypeError, match="give the module that was spawned"):
        BootstrapRS(metric).compile(ref, trainset=examples(2))
    with pytest.raises(TypeError, match="teacher must be a program, a Module, not a list"):
        BootstrapRS(metric).compile(program(), teacher=[program()], trainset=examples(2))
    for trainset in (None, "data", {"question": "q"}, ["q1"]):
        with pytest.raises(TypeError, match="trainset must"):
            BootstrapRS(metric).compile(program(), trainset=trainset)
    with pytest.raises(TypeError, match="bogus"):
        KNNFewShot(1, examples(2), len, bogus=1)
    with pytest.raises(TypeError, match="student must be"):
        KNNFewShot(1, examples(2), len).compile(None)


def test_without_optuna_the_extra_is_named_before_anything_is_paid(system, lm, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="optuna"):
        mipro(search="optuna").compile(program(), trainset=examples(5), num_trials=2, run_id="r1")
    assert lm.history == []
    assert list_runs() == []


def test_a_data_set_may_be_a_generator(system):
    better = BootstrapRS(metric, num_candidate_programs=1).compile(program(), trainset=iter(examples(5)))
    assert better.optimization.score == 100.0


def test_examples_that_become_demonstrations_only_need_no_inputs(system):
    assert len(LabeledFewShot(k=2).compile(program(), trainset=UNMARKED).demos) == 2


class Broken(Module):
    """Raises, whatever it is asked."""

    def __init__(self):
        super().__init__()
        self.answering = program()
        self.asked = []

    def forward(self, question):
        self.asked.append(question)
        raise LookupError("a bug")

    def __deepcopy__(self, memo):
        copy = Broken()
        copy.asked = self.asked
        return copy


def test_the_error_of_a_bootstrapping_that_fails_is_the_documented_one(system):
    with pytest.raises(BootstrapError, match="a bug"):
        BootstrapFewShot(metric, max_errors=2).compile(Broken(), trainset=examples(9), run_id="r1")
    assert load_run("r1").state == "failed"
    assert load_run("r1").summary["error"].startswith("BootstrapError")


class Own(Teleprompter):
    """An algorithm that is what it is given."""

    def __init__(self, search):
        super().__init__(metric=metric)
        self.steps = search

    def search(self, task):
        return self.steps(task)


def raising(task):
    yield from decide("begun")
    raise ZeroDivisionError("the algorithm's own")


def beyond(task):
    yield from evaluate(task.student.candidate, "val", [99])


def nonsense(task):
    yield "nonsense"


@pytest.mark.parametrize(
    ("steps", "error", "why"),
    [
        (raising, ZeroDivisionError, "own"),
        (beyond, IndexError, "out of range"),
        (nonsense, TypeError, "yields requests"),
        (lambda task: Found(task.student.candidate), TypeError, "must be a generator"),
    ],
)
def test_an_error_of_the_algorithm_reaches_the_caller_as_itself(steps, error, why, system):
    with pytest.raises(error, match=why):
        Own(steps).compile(program(), trainset=examples(3))
    assert system.live_runs() == {}


def test_copro_works_for_a_program_without_instructions():
    silent = DummyLM([{"answer": "a", "instruction": ""}] * 1000)
    with System(lm=silent, store=False):
        student = Predict(Signature("question -> answer").with_instructions(""))
        better = COPRO(metric=metric, breadth=2, depth=2).compile(student, trainset=examples(3))
    assert better.optimization.score == 100.0


@pytest.mark.parametrize(
    ("make", "own"),
    [
        (lambda: BootstrapRS(metric, max_errors=2, num_candidate_programs=1, num_threads=1), {}),
        (lambda: BootstrapRS(metric, num_candidate_programs=1, num_threads=1), {"max_errors": 2}),
        (lambda: COPRO(metric=metric, breadth=2, depth=1), {"eval_kwargs": {"max_errors": 2, "num_threads": 1}}),
        (
            lambda: mipro(max_errors=2, num_threads=1, max_bootstrapped_demos=0),
            {"num_trials": 1, "valset": examples(9)},
        ),
    ],
)
def test_a_candidate_with_max_errors_failing_examples_stops_the_run_which_can_be_resumed(make, own, system):
    broken = Broken()
    arguments = {"trainset": examples(9), "run_id": "r1", **own}
    with pytest.raises(RunPausedError, match=r"max_errors.*LookupError: a bug.*larger max_errors") as caught:
        make().compile(broken, **arguments)
    assert caught.value.reason == "max_errors"
    assert isinstance(caught.value.__cause__, LookupError)
    assert len(broken.asked) == 2
    assert load_run("r1").state == "paused"
    with pytest.raises(RunPausedError, match="max_errors"):
        make().compile(broken, **arguments)
    assert len(broken.asked) == 2
    more = {"eval_kwargs": {"max_errors": 4, "num_threads": 1}} if "eval_kwargs" in own else {"max_errors": 4}
    with pytest.raises(RunPausedError, match="max_errors"):
        make().compile(broken, **{**arguments, **more})
    assert len(broken.asked) == 4


def test_the_failures_of_different_candidates_are_not_added_up(system):
    class Picky(Broken):
        def forward(self, question):
            self.asked.append(question)
            if question == "q1":
                raise LookupError("a bug")
            return Prediction(answer="a")

        def __deepcopy__(self, memo):
            return self

    better = BootstrapRS(metric, max_errors=2, num_candidate_programs=3, max_bootstrapped_demos=0).compile(
        Picky(), trainset=examples(9)
    )
    assert better.optimization.failures["program_error"] > 1
    assert better.optimization.stopped is None


@pytest.mark.parametrize(
    "made",
    [
        LabeledFewShot(k=3),
        BootstrapFewShot(metric, max_rounds=2, num_threads=3),
        BootstrapRS(metric, num_candidate_programs=2, num_threads=3, stop_at_score=50.0),
        COPRO(metric=metric, breadth=3, depth=1, num_threads=3, max_errors=7),
        mipro(search="optuna", num_threads=3, concurrent_trials=2),
        KNNFewShot(2, examples(3), len, max_labeled_demos=0),
        Ensemble(size=1, deterministic=True),
    ],
    ids=lambda made: type(made).__name__,
)
def test_the_parameters_of_an_optimizer_make_an_equal_one(made):
    again = type(made)(**made.get_params())
    assert vars(again) == vars(made)
    assert again.get_params() == made.get_params()


def test_an_attribute_that_is_changed_counts(system):
    changed = BootstrapFewShot(metric, max_labeled_demos=0)
    changed.max_bootstrapped_demos = 1
    assert len(changed.compile(program(), trainset=examples(5)).demos) == 1


def test_copro_takes_the_arguments_that_dspy_takes_and_says_what_it_ignores(caplog):
    COPRO(metric=metric, verbose=True)
    assert "verbose" in caplog.text


def test_optuna_is_not_heard(system, capfd):
    mipro(search="optuna").compile(program(), trainset=examples(5), num_trials=2)
    assert "study" not in capfd.readouterr().err
