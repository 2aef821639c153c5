"""Optimization runs, on a running system with a store."""

import asyncio
import json
import threading

import pytest

from actors import sleep
from dspex import _errors as errors
from dspex._settings import settings
from dspex.predict import ChainOfThought, Module, Predict
from dspex.primitives import Example, Prediction
from dspex.store import Store
from dspex.system import System
from dspex.teleprompt import (
    COPRO,
    BootstrapFewShot,
    BootstrapFewShotWithRandomSearch,
    Ensemble,
    JournalMismatchError,
    KNNFewShot,
    LabeledFewShot,
    MIPROv2,
    RunPausedError,
    TeleprompterError,
    compare_runs,
    list_runs,
    load_run,
)
from dspex.testing import DummyLM


@pytest.fixture
def system(tmp_path):
    with System(stall_after=1.0, store=str(tmp_path / "store.db")) as running:
        yield running


def examples(count, start=0):
    return [Example(question=f"q{n}", answer=f"a{n}").with_inputs("question") for n in range(start, start + count)]


def exact(example, prediction, trace=None):
    return example.answer == prediction.answer


class Pupil(Module):
    """Learns from what it is shown: right if any of its demonstrations has a question of the same parity.

    ``fate(question)`` may raise or wait. Asks no model, but leaves a trace as a predictor would.
    """

    def __init__(self, fate=None):
        super().__init__()
        self.answering = Predict("question -> answer")
        self.calls = Calls()
        self.fate = fate

    def forward(self, question):
        self.calls.add(question)
        if self.fate is not None:
            self.fate(question)
        number = int(question[1:])
        demos = self.answering.demos
        right = any(int(demo.question[1:]) % 3 == number % 3 for demo in demos) or number % 2 == 0
        prediction = Prediction(answer=f"a{number}" if right else "?")
        if settings.trace is not None:
            settings.trace.append((self.answering, {"question": question}, prediction))
        return prediction


class Calls:
    """Counts, shared by all copies of a program."""

    def __init__(self):
        self.seen = []
        self.lock = threading.Lock()

    def add(self, question):
        with self.lock:
            self.seen.append(question)

    def __deepcopy__(self, memo):
        return self


class Fate:
    """A function that all copies of a program share."""

    def __init__(self, function):
        self.function = function

    def __call__(self, question):
        return self.function(question)

    def __deepcopy__(self, memo):
        return self


def search(**more):
    return BootstrapFewShotWithRandomSearch(exact, num_candidate_programs=4, num_threads=6, **more)


def test_random_search_gives_a_better_program_and_leaves_the_student_alone(system):
    student = Pupil()
    better = search().compile(student, trainset=examples(12), valset=examples(30, 100))
    assert student.answering.demos == []
    assert better.answering.demos
    assert better._compiled
    assert better.optimization.score == better.candidate_programs[0]["score"] > 50.0
    assert len(better.candidate_programs) == 7
    assert better.candidate_programs[-1]["program"].answering.demos == []


def test_an_optimized_program_can_be_saved_and_loaded(system, tmp_path):
    better = LabeledFewShot(k=3).compile(Pupil(), trainset=examples(9))
    better.save(tmp_path / "better.json")
    again = Pupil()
    again.load(tmp_path / "better.json")
    assert [dict(d.items()) for d in again.answering.demos] == [dict(d.items()) for d in better.answering.demos]


def test_every_judged_program_is_kept_where_it_was_asked_for(system, tmp_path):
    teleprompter = search()
    teleprompter.log_dir = tmp_path / "log"
    better = teleprompter.compile(Pupil(), trainset=examples(12), valset=examples(12, 100))
    kept = json.loads((tmp_path / "log" / "candidates.json").read_text())
    assert [row["score"] for row in kept] == [entry["score"] for entry in better.candidate_programs]
    best = Pupil()
    best.load(tmp_path / "log" / kept[0]["file"])
    assert best.dump_state() == better.dump_state()


def test_a_finished_run_is_answered_from_its_journal(system):
    student = Pupil()
    first = search().compile(student, trainset=examples(9), run_id="r1")
    calls = len(student.calls.seen)
    again = search().compile(student, trainset=examples(9), run_id="r1")
    assert len(student.calls.seen) == calls
    assert again.dump_state() == first.dump_state()
    assert again.optimization.score == first.optimization.score


def test_a_run_is_not_continued_with_other_data_or_settings(system):
    search().compile(Pupil(), trainset=examples(9), run_id="r1")
    with pytest.raises(JournalMismatchError, match="r1"):
        search().compile(Pupil(), trainset=examples(8), run_id="r1")
    with pytest.raises(JournalMismatchError, match="r1"):
        search(max_labeled_demos=3).compile(Pupil(), trainset=examples(9), run_id="r1")


def test_an_outage_pauses_the_run_and_it_goes_on_where_it_was(system):
    out = threading.Event()
    calls = []

    def fate(question):
        calls.append(question)
        if out.is_set() or len(calls) > 40:
            out.set()
            raise errors.LMServerError("503")

    undisturbed = search().compile(Pupil(), trainset=examples(12), run_id="calm")
    student = Pupil(Fate(fate))
    with pytest.raises(RunPausedError, match="outage") as caught:
        search().compile(student, trainset=examples(12), run_id="r1", max_retries=0, patience=0.0)
    said = "run 'r1' was stopped by an outage: "
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(". Nothing is lost: compile with run_id='r1' goes on.")
    assert caught.value.run_id == "r1"
    assert isinstance(caught.value.__cause__, errors.LMServerError)
    assert load_run("r1").state == "paused"
    student.fate = None
    before = len(student.calls.seen)
    better = search().compile(student, trainset=examples(12), run_id="r1")
    assert load_run("r1").state == "done"
    assert better.dump_state() == undisturbed.dump_state()
    assert len(student.calls.seen) - before == load_run("r1").scores + traces("r1", system.store) - 40


def traces(run_id, store):
    return sum(step.kind == "trace" for step in store.journal.read(run_id))


def test_a_short_outage_is_waited_out(system):
    down = {"left": 5}

    def fate(question):
        if down["left"]:
            down["left"] -= 1
            raise errors.LMServerError("503")

    undisturbed = search().compile(Pupil(), trainset=examples(9), store=False)
    better = search().compile(Pupil(Fate(fate)), trainset=examples(9), store=False, max_retries=0)
    assert better.dump_state() == undisturbed.dump_state()


def test_a_failing_example_counts_against_the_candidate_not_for_it(system):
    def fate(question):
        if question == "q1":
            raise ValueError("no")

    better = search().compile(Pupil(Fate(fate)), trainset=examples(12))
    record = load_run(better.optimization.run_id)
    assert record.failures["program_error"] > 0
    assert all(ranked.score <= 100 * 11 / 12 for ranked in record.candidates)


def test_a_metric_that_never_works_fails_the_run_and_says_so(system):
    def broken(example, prediction, trace=None):
        raise KeyError("label")

    with pytest.raises(Exception, match="KeyError"):
        BootstrapFewShotWithRandomSearch(broken).compile(Pupil(), trainset=examples(12), run_id="r1")
    assert load_run("r1").state == "failed"


def test_a_run_can_be_paused_resumed_and_looked_at(system):
    gate = threading.Event()
    held = []

    def fate(question):
        held.append(question)
        while not gate.is_set():
            sleep(0.001)

    run = search().start(Pupil(Fate(fate)), trainset=examples(9), run_id="r1")
    while len(held) < 6:
        pass
    run.pause()
    assert run.status().state == "paused"
    assert run.status().in_flight == 6
    gate.set()
    while (status := run.status()).in_flight:
        pass
    assert status.done == 6
    assert len(held) == 6
    while load_run("r1").state != "paused":  # written on a thread of its own
        pass
    run.resume()
    assert run.result().optimization.stopped is None


def test_a_run_is_listed_by_its_system_while_it_lives_and_its_id_is_its_own(system):
    gate = threading.Event()
    run = search().start(Pupil(Fate(lambda q: gate_wait(gate))), trainset=examples(9), run_id="r1")
    assert system.live_runs() == {"r1": run}
    with pytest.raises(TeleprompterError, match="under way"):
        search().compile(Pupil(), trainset=examples(9), run_id="r1")
    while run.status() is None:
        pass
    shown = json.loads(json.dumps(run.to_json()))
    assert (shown["run_id"], shown["state"]) == ("r1", "running")
    gate.set()
    run.result()
    assert system.live_runs() == {}
    assert run.to_json()["state"] == "ended"


def test_what_a_run_was_asked_for_stays_with_it_through_all_its_sittings(system):
    search().compile(Pupil(), trainset=examples(9), run_id="r1", command={"program": "m:P"})
    search().compile(Pupil(), trainset=examples(9), run_id="r1")
    assert load_run("r1").summary["command"] == {"program": "m:P"}


def gate_wait(gate):
    while not gate.is_set():
        sleep(0.001)


def test_a_cancelled_run_ends_with_the_best_so_far(system):
    release = threading.Event()
    calls = Calls()

    def fate(question):
        calls.add(question)
        if len(calls.seen) > 60:
            sleep(1000)

    run = search().start(Pupil(Fate(fate)), trainset=examples(9), run_id="r1")
    while len(calls.seen) < 61:
        release.wait(0.001)
    best = run.cancel()
    assert best.optimization.stopped == "cancelled"
    assert load_run("r1").state == "cancelled"
    assert best.optimization.candidates >= 1


def test_limits_end_a_run_with_the_best_so_far(system):
    reached = search(stop_at_score=1.0).compile(Pupil(), trainset=examples(9))
    assert reached.optimization.stopped == "stop_at_score"
    assert reached.optimization.candidates == 1

    slow = Pupil(Fate(lambda question: sleep(0.05)))
    timed = search().compile(slow, trainset=examples(30), max_seconds=0.3)
    assert timed.optimization.stopped == "time"


def test_a_score_to_stop_at_means_the_same_to_compile_as_to_the_constructor(system):
    own = search(stop_at_score=1.0).compile(Pupil(), trainset=examples(9))
    students = Pupil(), Pupil()
    given = search().compile(students[0], trainset=examples(9), stop_at_score=1.0)
    assert given.optimization.candidates == 1
    assert given.dump_state() == own.dump_state()
    assert len(students[0].calls.seen) == 9, "nothing was begun that comes after it"
    over = search(stop_at_score=101.0).compile(students[1], trainset=examples(9), stop_at_score=1.0)
    assert over.optimization.candidates == 1


def test_the_tree_shows_a_run_under_its_id(system):
    from supervision import tree, which_children

    gate = threading.Event()
    run = search().start(
        Pupil(Fate(lambda q: [sleep(0.001) for _ in iter(gate.is_set, True)])), trainset=examples(9), run_id="r1"
    )
    while run.status() is None or run.status().in_flight < 6:
        pass
    (child,) = which_children(system.teleprompters).get()
    assert child.id == "r1"
    kinds = [c.ref.actor_class.__name__ for c in which_children(child.ref).get()]
    assert sorted(kinds) == ["EvaluationWorker"] * 6 + ["Optimizer"]
    run.pause()
    run.status()
    (shown,) = [node["metrics"] for node in tree(child.ref)["children"] if "metrics" in node]
    assert json.loads(json.dumps(shown)) == shown
    assert shown["progress"].startswith("paused, ")
    assert (shown["in_flight"], shown["done"], shown["needed"]) == (6, 0, run.status().needed)
    run.resume()
    gate.set()
    run.result()


def test_a_worker_that_dies_is_data_for_the_run(system):
    def fate(question):
        if question == "q5":
            raise SystemExit(1)

    better = search().compile(Pupil(Fate(fate)), trainset=examples(9), quarantine_after=2)
    assert load_run(better.optimization.run_id).failures["quarantined"] > 0


def test_runs_are_listed_shown_and_compared(system):
    search().compile(Pupil(), trainset=examples(9), run_id="one")
    search(max_labeled_demos=3).compile(Pupil(), trainset=examples(9), run_id="two")
    assert [run.id for run in list_runs()] == ["two", "one"]
    assert [run.id for run in list_runs(state="done", limit=1)] == ["two"]
    record = load_run("one")
    assert record.kind == "BootstrapFewShotWithRandomSearch"
    assert record.best.score == record.best_score
    assert len(record.candidates) == 7
    assert record.program_of(Pupil()).answering.demos
    rows = compare_runs("one", "two")
    assert [row["run_id"] for row in rows] == ["one", "two"]
    assert [row["optimizer.max_labeled_demos"] for row in rows] == [16, 3]
    assert rows[1]["same_data"]
    json.dumps(rows)


def test_without_a_store_a_run_works_and_leaves_nothing(system):
    search().compile(Pupil(), trainset=examples(9), store=False)
    assert list_runs() == []


def test_a_store_of_one_s_own_may_be_given(system, tmp_path):
    with Store.open(tmp_path / "other.db") as store:
        search().compile(Pupil(), trainset=examples(9), run_id="r1", store=store)
        assert load_run("r1", store).state == "done"
    assert list_runs() == []


def test_compiling_is_possible_on_any_loop_and_inside_a_program(system):
    async def main():
        return await search().acompile(Pupil(), trainset=examples(9))

    outside = asyncio.run(main())

    class Outer(Module):
        def forward(self):
            return search().compile(Pupil(), trainset=examples(9)).dump_state()

    assert Outer()() == outside.dump_state()


def test_a_program_without_predictors_cannot_be_optimized(system):
    class Nothing(Module):
        def forward(self, question):
            return Prediction(answer="")

    with pytest.raises(TeleprompterError, match="no predictors"):
        search().compile(Nothing(), trainset=examples(9))
    with pytest.raises(TypeError, match="num_wokers"):
        search().compile(Pupil(), trainset=examples(9), num_wokers=3)


def test_bootstrapped_demonstrations_come_from_the_teacher_s_trace():
    lm = DummyLM([{"reasoning": f"because {n}", "answer": f"a{n}"} for n in range(100)])
    with System(lm=lm, store=False):
        student = ChainOfThought("question -> answer")
        teacher = BootstrapFewShot(exact, max_bootstrapped_demos=2, max_labeled_demos=0, num_threads=1)
        better = teacher.compile(student, trainset=examples(5))
    (_, predictor), *_ = better.named_predictors()
    assert [(d.question, d.reasoning, d.augmented) for d in predictor.demos] == [
        ("q0", "because 0", True),
        ("q1", "because 1", True),
    ]


class Obedient(DummyLM):
    """Writes numbered instructions, and answers right once its instruction is a numbered one."""

    def __init__(self):
        super().__init__({})

    def _answer(self, messages):
        system, last = str(messages[0]["content"]), str(messages[-1]["content"])
        if "[[ ## instruction ## ]]" in system:
            return {"instruction": f"Improved {len(last) % 7}"}
        for field in ("observations", "summary", "program_description", "step_description"):
            if f"[[ ## {field} ## ]]" in system.split("All interactions")[-1] and "question" not in last:
                return {field: "COMPLETE"}
        number = last.split("q")[-1].split()[0]
        question = last.split("[[ ## question ## ]]")[-1].split()[0]
        return {"answer": "a" + question[1:] if "Improved" in system + last else "?" + number}


@pytest.mark.parametrize(
    "teleprompter",
    [
        COPRO(metric=exact, breadth=3, depth=2, num_threads=4),
        MIPROv2(exact, auto="light", max_bootstrapped_demos=0, max_labeled_demos=0, num_threads=4),
    ],
    ids=["copro", "mipro"],
)
def test_instructions_are_improved_through_a_model(teleprompter):
    with System(lm=Obedient(), store=False):
        student = Predict("question -> answer")
        better = teleprompter.compile(student, trainset=examples(10))
    assert better.optimization.score == 100.0
    assert better.signature.instructions.startswith("Improved")


def test_an_ensemble_asks_all_or_some_and_reduces(system):
    programs = [Pupil() for _ in range(5)]
    everyone = Ensemble(reduce_fn=len).compile(programs)
    assert everyone(question="q1") == 5
    some = Ensemble(size=2, deterministic=True).compile(programs)
    for _ in range(3):
        some(question="q7")
    assert sorted(p.calls.seen.count("q7") for p in programs) == [0, 0, 0, 3, 3]
    with pytest.raises(ValueError, match="only 5"):
        Ensemble(size=6).compile(programs)


def test_knn_bootstraps_from_the_nearest_examples(system):
    seen = []

    def vectorizer(texts):
        return [[-abs(int(text.split("q")[-1]) - 7), 1.0] for text in texts]

    def metric(example, prediction, trace=None):
        seen.append(example.question)
        return exact(example, prediction)

    program = KNNFewShot(2, examples(20), vectorizer, metric=metric, max_labeled_demos=0).compile(Pupil())
    program(question="q0")
    assert set(seen) <= {"q0", "q19"} | {f"q{n}" for n in range(20)}
    assert len(set(seen)) == 2


def refused(question):
    raise errors.LMAuthError("no API key for openai: set OPENAI_API_KEY.")


def test_a_run_without_a_store_does_not_say_that_nothing_is_lost(system):
    with pytest.raises(RunPausedError) as caught:
        search().compile(Pupil(Fate(refused)), trainset=examples(12), run_id="r", store=False)
    why = "was refused by the provider: no API key for openai: set OPENAI_API_KEY"
    assert str(caught.value) == f"run 'r' {why}. Without a store nothing of it is kept."


@pytest.mark.parametrize(
    ("run_id", "words"),
    [
        ("r", "the same command, or `dspex runs resume r`, goes on."),
        (None, "`dspex runs resume bootstrapfewshotwithrandomsearch-"),
    ],
)
def test_a_run_of_the_command_line_is_taken_up_again_by_a_command(system, run_id, words):
    with pytest.raises(RunPausedError) as caught:
        search().compile(Pupil(Fate(refused)), trainset=examples(12), run_id=run_id, command={"program": "x:y"})
    assert f"Nothing is lost: {words}" in str(caught.value)


def test_the_best_score_is_in_the_store_while_the_run_goes_on(system, monkeypatch):
    from dspex.teleprompt._stored_run import StoredRun

    told = threading.Event()
    beat = StoredRun.beat

    def seen(self, paused, best, tokens, cost):
        alive = beat(self, paused, best, tokens, cost)
        if best is not None and system.store.runs.get("live").best_score == best:
            told.set()
        return alive

    monkeypatch.setattr(StoredRun, "beat", seen)
    search().compile(Pupil(), trainset=examples(12), run_id="live")
    assert told.wait(10.0)
