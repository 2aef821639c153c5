"""What each algorithm promises, on programs that are functions."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from dspex.teleprompt._bootstrap_few_shot import BootstrapFewShot
from dspex.teleprompt._copro import COPRO
from dspex.teleprompt._errors import BootstrapError
from dspex.teleprompt._labeled_few_shot import LabeledFewShot
from dspex.teleprompt._mipro import MIPROv2
from dspex.teleprompt._random_search import BootstrapFewShotWithRandomSearch, BootstrapRS
from dspex.teleprompt._tpe import OptunaSearch, TreeParzen

from .programs import World, records, spec, task


def metric(example, prediction, trace=None):
    return True


def augmented(state):
    return [demo for demo in state.demos if demo.get("augmented")]


def test_labelled_demonstrations_are_a_fixed_draw_without_repetition():
    t = task("first", "second")
    one = World(t).run(LabeledFewShot(k=5).search(t)).result.best
    two = World(t).run(LabeledFewShot(k=5).search(t)).result.best
    assert one == two
    for state in one.predictors:
        assert len({demo["question"] for demo in state.demos}) == 5
    assert one["first"].demos != one["second"].demos


def test_without_sampling_the_first_k_examples_are_taken():
    t = task()
    best = World(t).run(LabeledFewShot(k=3).search(t, sample=False)).result.best
    assert [demo["question"] for demo in best["first"].demos] == ["q0", "q1", "q2"]


def test_k_beyond_the_data_takes_all_of_it():
    t = task(train=2)
    assert len(World(t).run(LabeledFewShot(k=16).search(t)).result.best["first"].demos) == 2


class Picky(World):
    """A teacher that passes on the questions it is told to, from the rollout it is told to."""

    passes: dict = {}

    def trace(self, candidate, record, rollout):
        steps = [[name, {"question": record.fields["question"], "answer": f"{name}!"}] for name in candidate.names]
        passed = rollout >= self.passes.get(record.fields["question"], 99)
        return {"score": float(passed), "steps": steps}


def test_bootstrapped_demonstrations_are_the_first_successes_in_the_order_of_the_data():
    t = task("first", "second")
    world = Picky(t, order=random.Random(3))
    world.passes = {"q9": 0, "q2": 0, "q5": 0}
    best = world.run(BootstrapFewShot(metric, max_bootstrapped_demos=2, max_labeled_demos=0).search(t)).result.best
    for state in best.predictors:
        assert [demo["question"] for demo in state.demos] == ["q2", "q5"]
        assert state.demos[0]["answer"] == f"{state.name}!"
        assert all(demo["augmented"] for demo in state.demos)


def test_no_example_is_tried_that_a_search_one_by_one_would_not_have_tried():
    t = task()
    world = Picky(t)
    world.passes = {"q1": 0, "q4": 0}
    world.run(BootstrapFewShot(metric, max_bootstrapped_demos=2, max_labeled_demos=0).search(t))
    assert len(world.asked) == 5


def test_labelled_demonstrations_fill_up_and_never_repeat_a_bootstrapped_one():
    t = task()
    world = Picky(t)
    world.passes = {"q1": 0, "q4": 0}
    best = world.run(BootstrapFewShot(metric, max_bootstrapped_demos=2, max_labeled_demos=6).search(t)).result.best
    questions = [demo["question"] for demo in best["first"].demos]
    assert questions[:2] == ["q1", "q4"]
    assert len(questions) == len(set(questions)) == 6
    assert len(augmented(best["first"])) == 2


def test_a_further_round_asks_only_those_that_failed_and_only_if_more_are_wanted():
    t = task(train=4)
    world = Picky(t)
    world.passes = {"q0": 0, "q1": 1, "q2": 1, "q3": 0}
    policy = {"max_bootstrapped_demos": 3, "max_labeled_demos": 0, "max_rounds": 3}
    best = world.run(BootstrapFewShot(metric, **policy).search(t)).result.best
    assert [demo["question"] for demo in best["first"].demos] == ["q0", "q3", "q1"]
    rollouts = Counter(key.rsplit(":", 1)[1] for key in world.asked)
    assert rollouts == {"0": 4, "1": 1}


def test_the_teacher_is_never_shown_the_example_that_it_is_asked():
    t = task(train=6)
    shown = []

    class Watching(World):
        def trace(self, candidate, record, rollout):
            shown.append(record.fields in candidate["first"].demos)
            assert len(candidate["first"].demos) >= 5 - 1
            return super().trace(candidate, record, rollout)

    Watching(t).run(BootstrapFewShot(metric, max_labeled_demos=6).search(t))
    assert shown
    assert not any(shown)


def test_a_compiled_teacher_keeps_its_own_demonstrations():
    teacher = spec("first", compiled=True)
    t = task(teacher=teacher)
    seen = []

    class Watching(World):
        def trace(self, candidate, record, rollout):
            seen.append(candidate)
            return super().trace(candidate, record, rollout)

    Watching(t).run(BootstrapFewShot(metric).search(t))
    assert set(seen) == {teacher.candidate}


def test_of_a_predictor_that_ran_twice_one_run_becomes_a_demonstration():
    t = task()

    class Twice(World):
        def trace(self, candidate, record, rollout):
            steps = [["first", {"question": record.fields["question"], "answer": n}] for n in ("one", "two")]
            return {"score": 1.0, "steps": steps}

    search = BootstrapFewShot(metric, max_bootstrapped_demos=8, max_labeled_demos=0).search(t)
    demos = Twice(t).run(search).result.best["first"].demos
    assert len({demo["question"] for demo in demos}) == 8
    assert {demo["answer"] for demo in demos} == {"one", "two"}


def test_a_threshold_decides_what_a_success_is():
    t = task()

    class Half(World):
        def trace(self, candidate, record, rollout):
            return {"score": 0.5, "steps": [["first", {"question": record.fields["question"], "answer": "x"}]]}

    strict = Half(t).run(BootstrapFewShot(metric, metric_threshold=0.6).search(t)).result.best
    lenient = Half(t).run(BootstrapFewShot(metric, metric_threshold=0.5).search(t)).result.best
    assert len(augmented(strict["first"])) == 0
    assert len(augmented(lenient["first"])) == 4


def test_a_teacher_that_fails_too_often_ends_the_run_and_says_why():
    t = replace(task(), max_errors=3)

    class Broken(World):
        def trace(self, candidate, record, rollout):
            return {"failed": "program_error", "error": "ValueError: no"}

    with pytest.raises(BootstrapError, match="ValueError: no") as caught:
        Broken(t).run(BootstrapFewShot(metric).search(t))
    assert caught.value.failures >= 3


def test_random_search_returns_the_best_of_all_its_sets_and_lists_them():
    t = task("first", "second", val=40)
    world = World(t)
    found = world.run(BootstrapFewShotWithRandomSearch(metric, num_candidate_programs=5).search(t)).result
    assert len(found.ranked) == 8
    assert [r.score for r in found.ranked] == sorted((r.score for r in found.ranked), reverse=True)
    assert found.best == found.ranked[0].candidate
    expected = 100 * sum(world.score(found.best, record) for record in t.valset) / len(t.valset)
    assert found.score == pytest.approx(expected)
    by_label = {r.label: r.candidate for r in found.ranked}
    assert not by_label["seed -3"]["first"].demos
    assert not augmented(by_label["seed -2"]["first"])
    assert augmented(by_label["seed -1"]["first"])


def test_random_search_with_a_score_to_stop_at_tries_sets_one_by_one():
    t = replace(task(val=40), stop_at_score=1.0)
    search = BootstrapRS(metric, num_candidate_programs=16)
    world = World(t)
    driver = world.run(search.search(t))
    assert driver.stopped == "stop_at_score"
    assert len(driver.ranked) < 4


def test_random_search_may_be_restricted_to_some_sets():
    t = task()
    found = World(t).run(BootstrapRS(metric).search(t, restrict=[-3, 2])).result
    assert {r.label for r in found.ranked} == {"seed -3", "seed 2"}


def test_copro_climbs_to_the_best_instruction_and_keeps_it():
    t = task("first", "second", train=40)

    class Longer(World):
        def propose(self, request):
            return {"outputs": {"instruction": "very " * (request.rollout + 1)}}

        def score(self, candidate, record):
            words = sum(len(s.instructions.split()) for s in candidate.predictors)
            return min(1.0, words / 100)

    found = Longer(t).run(COPRO(metric=metric, breadth=4, depth=3).search(t)).result
    # The longest instruction of the last round, for both predictors.
    assert found.best["first"].instructions == found.best["second"].instructions == ("very " * 12).strip()
    assert found.ranked[0].score > found.ranked[-1].score


def test_copro_lives_with_a_prompt_model_that_does_not_answer_in_form():
    t = task()

    class Mute(World):
        def propose(self, request):
            return {"failed": "malformed_output", "error": "no fields"}

    found = Mute(t).run(COPRO(metric=metric, breadth=3, depth=2).search(t)).result
    assert found.best == t.student.candidate


def test_mipro_finds_the_better_instruction_and_never_ends_below_its_start():
    t = task("first", "second", val=60)

    class Taste(World):
        def score(self, candidate, record):
            good = sum("instruction" in s.instructions for s in candidate.predictors)
            return float(int(record.key, 16) % 3 < good)

    search = MIPROv2(metric, auto=None, num_candidates=4, seed=3).search(t, num_trials=25, minibatch_size=10)
    found = Taste(t).run(search).result
    assert found.score > next(r.score for r in found.ranked if r.label == "as it was")
    assert all("instruction" in state.instructions for state in found.best.predictors)


def test_mipro_judges_on_the_whole_valset_what_its_minibatches_found_best():
    t = task(val=60)
    world = World(t)
    search = MIPROv2(metric, auto=None, num_candidates=5).search(t, num_trials=20, minibatch_size=10, full_eval_steps=5)
    found = world.run(search).result
    assert 2 <= len(found.ranked) <= 5
    for ranked in found.ranked:
        scored = [key for key in world.asked if key.startswith(f"score:{ranked.candidate.key}:")]
        assert len(scored) == 60


def test_mipro_without_demonstrations_searches_instructions_only():
    t = task()
    tuned = MIPROv2(metric, auto=None, num_candidates=4, max_bootstrapped_demos=0, max_labeled_demos=0)
    found = World(t).run(tuned.search(t, num_trials=8, minibatch=False)).result
    assert all(not state.demos for ranked in found.ranked for state in ranked.candidate.predictors)


@pytest.mark.parametrize("words", [lambda digest: "", lambda digest: f"answer {digest}"], ids=["none", "some"])
def test_mipro_says_so_if_no_instruction_can_be_used(words, caplog):
    class Proposing(World):
        def propose(self, request):
            answer = super().propose(request)["outputs"]
            return {"outputs": {name: words(text) for name, text in answer.items()}}

    t = task()
    Proposing(t).run(MIPROv2(metric, auto=None, num_candidates=3).search(t, num_trials=3, minibatch=False))
    said = [record for record in caplog.records if "none of the instructions" in record.message]
    assert len(said) == (0 if words("x") else 1)


def test_mipro_shows_the_proposer_data_program_demonstrations_and_tips_only_as_asked():
    seen = {}

    class Watching(World):
        def propose(self, request):
            seen.setdefault(request.prompt.name, set()).update(request.values)
            return super().propose(request)

    t = task()
    tuned = MIPROv2(metric, auto=None, num_candidates=6)
    Watching(t).run(tuned.search(t, num_trials=2, minibatch=False))
    assert {"ObserveData", "SummarizeData", "DescribeProgram", "DescribeStep", "WriteInstruction"} == set(seen)
    assert {"data_summary", "program_description", "demonstrations", "tip"} <= seen["WriteInstruction"]
    seen.clear()
    bare = {"program_aware": False, "data_aware": False, "tip_aware": False, "fewshot_aware": False}
    Watching(t).run(tuned.search(t, num_trials=2, minibatch=False, grounding=bare))
    assert set(seen) == {"WriteInstruction"}
    assert seen["WriteInstruction"] == {"step", "present_instruction"}


def test_automatic_sizes_are_those_of_the_published_settings():
    tuned = MIPROv2(metric, auto="light")
    train, val = tuned.divide(list(range(1000)), None)
    assert (len(train), len(val)) == (200, 100)
    assert tuned.divide(list(range(1000)), None)[1] == val
    t = task("first", "second", val=100)
    plan = tuned._plan(t, False, None, True, 35)
    assert (plan.fewshot_sets, plan.instructions, plan.trials, plan.minibatch) == (6, 3, 20, 35)
    assert MIPROv2(metric, auto="heavy")._plan(t, True, None, True, 35).instructions == 18


@pytest.mark.parametrize(
    "wrong",
    [{"auto": "huge"}, {"auto": "light", "num_candidates": 3}, {"auto": None}, {"concurrent_trials": 0}],
)
def test_mipro_refuses_settings_that_contradict_each_other(wrong):
    with pytest.raises(ValueError):
        MIPROv2(metric, **wrong)


@pytest.mark.parametrize("make", [TreeParzen, OptunaSearch])
def test_a_search_finds_the_good_corner_of_a_grid_more_often_than_chance(make):
    sizes = {"a": 8, "b": 8}
    hits = 0
    for seed in range(4):
        search = make(sizes, seed)
        for _ in range(60):
            point = search.ask()
            search.tell(point, -abs(point["a"] - 5) - abs(point["b"] - 2))
            hits += point == {"a": 5, "b": 2}
    assert hits > 3 * 240 / 64


@pytest.mark.parametrize("make", [TreeParzen, OptunaSearch])
def test_a_search_is_the_same_for_the_same_seed_and_scores(make):
    def points(seed):
        search = make({"a": 6, "b": 3}, seed)
        search.tell({"a": 0, "b": 0}, 1.0)
        found = []
        for _ in range(20):
            found.append(search.ask())
            search.tell(found[-1], float(found[-1]["a"]))
        return found

    assert points(4) == points(4)
    assert points(4) != points(5)


def test_records_are_told_apart_by_content_only():
    assert records(1)[0].key == records(1)[0].key
    assert records(2)[0].key != records(2)[1].key
