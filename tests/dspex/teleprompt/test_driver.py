"""The laws of driving a search, whatever the search is."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.teleprompt._bootstrap_few_shot import BootstrapFewShot
from dspex.teleprompt._copro import COPRO
from dspex.teleprompt._driver import Driver
from dspex.teleprompt._errors import JournalMismatchError
from dspex.teleprompt._journal import Entry, MemoryJournal
from dspex.teleprompt._mipro import MIPROv2
from dspex.teleprompt._random_search import BootstrapFewShotWithRandomSearch
from dspex.teleprompt._requests import decide, evaluate, fork, rank

from .programs import Kill, World, task


def metric(example, prediction, trace=None):
    return True


SEARCHES = {
    "bootstrap": lambda t: BootstrapFewShot(metric, max_rounds=2).search(t),
    "random search": lambda t: BootstrapFewShotWithRandomSearch(metric, num_candidate_programs=4).search(t),
    "copro": lambda t: COPRO(metric=metric, breadth=3, depth=2).search(t),
    "mipro": lambda t: MIPROv2(metric, auto=None, num_candidates=4).search(t, num_trials=12, minibatch_size=5),
    "mipro, optuna, three at a time": lambda t: MIPROv2(
        metric, auto=None, num_candidates=4, search="optuna", concurrent_trials=3
    ).search(t, num_trials=12, minibatch_size=5),
}


class JsonJournal(MemoryJournal):
    """Keeps what survives being written down."""

    def append(self, kind, key, payload):
        super().append(kind, key, json.loads(json.dumps(payload)))


@pytest.mark.parametrize("name", SEARCHES)
def test_the_result_does_not_depend_on_the_order_in_which_work_ends(name):
    results = []
    for seed, width in ((0, 1), (1, 4), (2, 100)):
        t = task("first", "second")
        results.append(World(t, width, random.Random(seed)).run(SEARCHES[name](t)).result)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", SEARCHES)
def test_no_unit_of_work_is_handed_out_twice(name):
    t = task("first", "second")
    world = World(t, 5)
    driver = world.run(SEARCHES[name](t))
    assert set(world.asked.values()) == {1}
    assert driver.done == len(world.asked)
    assert driver.waiting == 0


@pytest.mark.parametrize("name", SEARCHES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_killed_run_resumes_to_the_same_end_and_pays_again_only_for_what_was_in_flight(name, data):
    t = task("first", "second")
    calm = World(t, 5)
    undisturbed_journal = JsonJournal()
    undisturbed = calm.run(SEARCHES[name](t), undisturbed_journal)
    journal, asked, width = JsonJournal(), {}, data.draw(st.integers(1, 8), label="width")
    for _ in range(3):
        seed = data.draw(st.integers(0, 99), label="order")
        world = World(t, width, random.Random(seed), kill_after=data.draw(st.integers(0, 60), label="kill"))
        try:
            driver = world.run(SEARCHES[name](t), journal)
            break
        except Kill:
            for key in world.asked:
                asked[key] = asked.get(key, 0) + 1
    else:
        world = World(t, width)
        driver = world.run(SEARCHES[name](t), journal)
    for key in world.asked:
        asked[key] = asked.get(key, 0) + 1
    assert driver.result == undisturbed.result
    assert {e.key: e.payload for e in journal.replay()} == {e.key: e.payload for e in undisturbed_journal.replay()}
    assert sum(asked.values()) - len(asked) <= 3 * width
    assert set(asked) == set(calm.asked)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_finished_run_is_replayed_without_any_work(name):
    t = task("first", "second")
    journal = JsonJournal()
    first = World(t).run(SEARCHES[name](t), journal)
    again = Driver(SEARCHES[name](t), t, journal)
    again.start()
    assert again.is_done
    assert again.result == first.result
    assert again.done == 0
    assert again.reused > 0


def test_a_step_that_comes_out_differently_on_replay_is_an_error():
    t = task()

    def search(word):
        yield from decide("chose", word=word)
        return word

    journal = MemoryJournal()
    Driver(search("one"), t, journal).start()
    driver = Driver(search("two"), t, journal)
    driver.start()
    assert driver.stopped == "failed"
    with pytest.raises(JournalMismatchError, match="step 0"):
        raise driver.error


def test_a_value_is_journaled_before_the_search_learns_of_it():
    t = task()
    log = []

    class Watching(MemoryJournal):
        def append(self, kind, key, payload):
            log.append(kind)
            super().append(kind, key, payload)

    def search():
        yield from evaluate(t.student.candidate, "train", [0])
        log.append("learned")

    World(t).run(search(), Watching())
    assert log == ["score", "learned"]


def test_equal_work_that_two_searches_want_is_done_once_and_answers_both():
    t = task()

    def search():
        both = [evaluate(t.student.candidate, "train", [0, 1]), evaluate(t.student.candidate, "train", [1, 0])]
        return (yield from fork(both))

    world = World(t)
    one, other = world.run(search()).result
    assert one.scores == other.scores[::-1]
    assert sorted(world.asked.values()) == [1, 1]


def test_a_fork_of_nothing_is_answered_with_nothing():
    t = task()

    def search():
        return (yield from fork([]))

    driver = Driver(search(), t, MemoryJournal())
    driver.start()
    assert driver.result == ()


def test_failures_are_counted_for_each_evaluation_and_those_of_the_journal_too():
    t = replace(task(val=4), max_errors=2)
    first, second = t.student.candidate, t.student.candidate.with_instructions({"first": "Otherwise."})

    def search():
        yield from evaluate(first, "val", [0, 1, 1, 2])
        yield from evaluate(second, "val", [0, 1])
        return (yield from evaluate(first, "val", [0, 3]))

    def driven(journal, failing):
        driver = Driver(search(), t, journal)
        driver.start()
        while (unit := driver.take()) is not None:
            driver.settle(unit, {"failed": "program_error", "error": "no"} if unit.index in failing else {"score": 1.0})
        return driver

    assert driven(MemoryJournal(), {1}).stopped is None
    journal = JsonJournal()
    ended = driven(journal, {0, 3})
    assert (ended.stopped, ended.failure, ended.is_done) == ("max_errors", "program_error: no", True)
    assert driven(journal, set()).stopped == "max_errors"


def test_a_run_ends_at_the_first_candidate_that_reaches_the_score():
    t = replace(task(), stop_at_score=80.0)

    def search():
        for score in (10.0, 90.0, 95.0):
            yield from rank(t.student.candidate, score, f"{score}")

    driver = Driver(search(), t, MemoryJournal())
    driver.start()
    assert driver.stopped == "stop_at_score"
    assert driver.best.score == 90.0
    assert driver.result is None


def test_after_a_stop_no_work_is_handed_out_and_late_values_are_dropped():
    t = task()
    journal = MemoryJournal()

    def search():
        yield from rank(t.student.candidate, 50.0)
        yield from evaluate(t.student.candidate, "train", [0, 1])

    driver = Driver(search(), t, journal)
    driver.start()
    unit = driver.take()
    driver.stop("cancelled")
    driver.settle(unit, {"score": 1.0})
    assert driver.take() is None
    assert driver.best.score == 50.0
    assert [e.kind for e in journal.replay()] == ["candidate"]


def test_work_that_is_given_back_is_handed_out_again_first():
    t = task()

    def search():
        yield from evaluate(t.student.candidate, "train", [0, 1])

    driver = Driver(search(), t, MemoryJournal())
    driver.start()
    unit = driver.take()
    driver.give_back(unit)
    assert driver.take() is unit


def test_an_entry_of_the_journal_counts_once():
    journal = MemoryJournal((Entry("score", "k", {"score": 1.0}),))
    journal.append("score", "k", {"score": 0.0})
    assert [e.payload for e in journal.replay()] == [{"score": 1.0}]
