from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dspex.quarantine import DeadLetters, NotFoundError, NotReplayableError
from dspex.store import Store, Writer


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(":memory:") as store:
        yield store


@pytest.fixture
def letters(store: Store) -> DeadLetters:
    return DeadLetters(store)


def test_a_letter_is_kept_listed_and_shown(letters: DeadLetters) -> None:
    letter = letters.add("request", "rag/worker", {"question": "?"}, "no such actor")
    (listed,) = letters.list()
    assert (listed.id, listed.kind, listed.target) == (letter.id, "request", "rag/worker")
    assert (listed.payload, listed.reason, listed.state) == ({"question": "?"}, "no such actor", "waiting")
    assert letters.show(letter.id) == letters.show(letter.id[:8]) == listed
    assert letters.list(kind="message") == []
    assert letters.count() == 1


@pytest.mark.parametrize("wrong", ["", "zzz", "%"])
def test_an_id_that_names_no_letter_is_an_error(letters: DeadLetters, wrong: str) -> None:
    letters.add("k", "t", 1, "r")
    with pytest.raises(NotFoundError, match="no dead letter"):
        letters.show(wrong)


def test_an_id_that_could_mean_several_is_an_error(letters: DeadLetters) -> None:
    ids = [letters.add("k", "t", number, "r").id for number in range(17)]  # of 17, two begin alike
    first = next(letter for letter in "0123456789abcdef" if sum(each.startswith(letter) for each in ids) > 1)
    with pytest.raises(NotFoundError, match="several"):
        letters.show(first)


def test_a_replayed_letter_has_been_delivered_and_is_not_delivered_again(letters: DeadLetters) -> None:
    letter = letters.add("k", "t", {"x": 1}, "r")
    assert letters.replay(letter.id, lambda found: found.payload) == {"x": 1}
    shown = letters.show(letter.id)
    assert (shown.state, shown.attempts) == ("replayed", 1)
    with pytest.raises(NotReplayableError, match="replayed already"):
        letters.replay(letter.id, pytest.fail)
    with pytest.raises(NotReplayableError):
        letters.drop(letter.id)


def test_a_delivery_that_fails_leaves_the_letter_waiting_with_the_error(letters: DeadLetters) -> None:
    letter = letters.add("k", "t", 1, "r")

    def deliver(found: object) -> None:
        raise LookupError("still nobody")

    for attempts in (1, 2):
        with pytest.raises(LookupError):
            letters.replay(letter.id, deliver)
        shown = letters.show(letter.id)
        assert (shown.state, shown.attempts, shown.reason) == ("waiting", attempts, "LookupError: still nobody")


def test_a_delivery_that_is_interrupted_leaves_the_letter_waiting(letters: DeadLetters) -> None:
    letter = letters.add("k", "t", 1, "r")

    def deliver(found: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        letters.replay(letter.id, deliver)
    assert letters.show(letter.id).state == "waiting"


def test_threads_that_replay_one_letter_deliver_it_once(letters: DeadLetters) -> None:
    letter = letters.add("k", "t", 1, "r")
    delivered: list[object] = []
    refused: list[Exception] = []

    def work() -> None:
        try:
            letters.replay(letter.id, delivered.append)
        except NotReplayableError as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(delivered), len(refused)) == (1, 5)


def test_all_letters_are_replayed_and_one_that_fails_stops_no_other(letters: DeadLetters) -> None:
    for number in range(4):
        letters.add("ab"[number % 2], "t", number, "r")
    letters.add("a", "t", object(), "r")

    def deliver(letter) -> None:
        if letter.payload == 2:
            raise ValueError("no")

    report = letters.replay_all(deliver, kind="a")
    assert [letter.payload for letter in report.replayed] == [0]
    assert [type(error) for _, error in report.failed] == [ValueError, NotReplayableError]
    assert [letter.payload for letter in letters.list(kind="b")] == [1, 3]


def test_a_letter_that_has_no_json_form_is_shown_but_not_replayed(letters: DeadLetters) -> None:
    letter = letters.add("k", "t", {"socket": object()}, "r")
    assert letters.show(letter.id).payload == {"socket": {"$unportable": "<object object>"}}
    with pytest.raises(NotReplayableError, match="kept as text"):
        letters.replay(letter.id, pytest.fail)
    letters.drop(letter.id)
    assert letters.count() == 0
    assert letters.show(letter.id).state == "dropped"


def test_a_letter_may_go_through_a_writer(store: Store) -> None:
    writer = Writer(store)
    letters = DeadLetters(store, keep=writer.put)
    letter = letters.add("k", "t", 1, "r")
    assert letters.count() == 0
    writer.flush()
    assert letters.show(letter.id).payload == 1
