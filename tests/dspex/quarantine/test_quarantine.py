from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import BaseModel

from dspex.quarantine import NotFoundError, NotReplayableError, Quarantine, QuarantinedError, input_key, portable
from dspex.quarantine._payload import replayable
from dspex.store import Store

POISON = {"question": "what kills you?"}


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(":memory:") as store:
        yield store


def blocked(quarantine: Quarantine, program: str, inputs: object) -> bool:
    try:
        quarantine.check(program, inputs)
    except QuarantinedError:
        return True
    return False


def test_an_input_is_set_aside_after_so_many_kills_for_its_program_alone(store: Store) -> None:
    quarantine = Quarantine(store, after=2)
    assert quarantine.strike("rag", POISON, reason="SIGSEGV").state == "watched"
    quarantine.check("rag", POISON)
    assert quarantine.strike("rag", POISON, reason="SIGSEGV", fingerprint="f").state == "quarantined"
    with pytest.raises(QuarantinedError, match="killed 2 workers") as caught:
        quarantine.check("rag", POISON)
    error = caught.value
    assert (error.program, error.key, error.kills, error.reason) == ("rag", input_key(POISON), 2, "SIGSEGV")
    quarantine.check("qa", POISON)
    quarantine.check("rag", {"question": "harmless"})
    assert [found.payload for found in quarantine.list()] == [POISON]
    assert quarantine.list("qa") == []


def test_an_input_that_is_set_aside_while_another_thread_reads_is_told_as_added(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    quarantine = Quarantine(store, after=1, on_change=lambda what, found: told.append(what))
    strike = store.quarantine.strike
    reader = threading.Thread(target=quarantine.refresh)

    def read_at_once(*args: Any, **fields: Any) -> Any:
        found = strike(*args, **fields)
        reader.start()
        reader.join(0.1)  # it has come to its end, or waits until this is over
        return found

    monkeypatch.setattr(store.quarantine, "strike", read_at_once)
    quarantine.strike("rag", POISON, reason="SIGSEGV")
    reader.join()
    assert told == ["added"]
    assert blocked(quarantine, "rag", POISON)


def test_kills_are_remembered_beyond_the_process_that_died(tmp_path: Path) -> None:
    url = str(tmp_path / "store.db")
    code = (
        "import os, signal, sys; from dspex.quarantine import Quarantine; from dspex.store import Store\n"
        "store = Store.open(sys.argv[1]); quarantine = Quarantine(store, after=2); quarantine.refresh()\n"
        "inputs = {'question': 'what kills you?'}\n"
        "quarantine.check('rag', inputs)\n"
        "quarantine.strike('rag', inputs, reason='about to die')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code, url]
    for _ in range(2):
        done = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True)
        assert done.returncode == -9
    with Store.open(url) as store:
        quarantine = Quarantine(store)
        assert quarantine.refresh() == 1
        assert blocked(quarantine, "rag", POISON)


def test_a_released_input_runs_again_and_counts_from_zero(store: Store) -> None:
    quarantine = Quarantine(store, after=1)
    key = quarantine.strike("rag", POISON, reason="r").key
    assert quarantine.release(key[:6]).state == "released"
    quarantine.check("rag", POISON)
    quarantine.after = 2
    assert quarantine.strike("rag", POISON, reason="r").state == "watched"


def test_a_replay_that_succeeds_forgets_the_input_and_one_that_fails_keeps_it(store: Store) -> None:
    quarantine = Quarantine(store, after=1)
    key = quarantine.strike("rag", POISON, reason="r").key

    def fail(found: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        quarantine.replay(key, fail)
    assert blocked(quarantine, "rag", POISON)
    assert quarantine.replay(key, lambda found: found.payload["question"]) == "what kills you?"
    assert not blocked(quarantine, "rag", POISON)
    with pytest.raises(NotFoundError):
        quarantine.show(key)


def test_an_input_without_a_json_form_is_counted_but_not_replayed(store: Store) -> None:
    quarantine = Quarantine(store, after=2)
    for _ in range(2):
        found = quarantine.strike("rag", {"thing": object()}, reason="r")
    assert found.state == "quarantined"  # though each time it was another object
    with pytest.raises(NotReplayableError):
        quarantine.replay(found.key, pytest.fail)
    assert quarantine.drop(found.key).payload == {"thing": {"$unportable": "<object object>"}}
    assert quarantine.list() == []


def test_unknown_and_ambiguous_keys_are_errors(store: Store) -> None:
    quarantine = Quarantine(store, after=1)
    for number in range(17):
        quarantine.strike("rag", number, reason="r")
    keys = [found.key for found in quarantine.list()]
    first = next(letter for letter in "0123456789abcdef" if sum(key.startswith(letter) for key in keys) > 1)
    with pytest.raises(NotFoundError, match="several"):
        quarantine.drop(first)
    for wrong in ("", "zz"):
        with pytest.raises(NotFoundError, match="no quarantined"):
            quarantine.release(wrong)
    with pytest.raises(ValueError, match="1 or more"):
        Quarantine(store, after=0)


# -- payloads ------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    colour: Colour


@dataclass
class Point:
    x: int
    inner: object


class Bad:
    def __repr__(self) -> str:
        raise RuntimeError


class Dictable:
    def toDict(self) -> dict[str, int]:
        return {"a": 1}


@pytest.mark.parametrize(
    ("value", "converted", "whole"),
    [
        (Colour.RED, "red", True),
        (Model(colour=Colour.RED), {"colour": "red"}, True),
        (Point(1, (2, Dictable())), {"x": 1, "inner": [2, {"a": 1}]}, True),
        ({1: 2}, {"$unportable": "{1: 2}"}, False),
        ([b"x"], [{"$unportable": "b'x'"}], False),
        (Bad(), {"$unportable": "<Bad whose repr raised RuntimeError>"}, False),
    ],
)
def test_values_become_json_or_text(value: object, converted: object, whole: bool) -> None:
    assert portable(value) == converted
    assert replayable(portable(value)) == whole


def test_what_contains_itself_ends() -> None:
    value: list[object] = []
    value.append(value)
    assert not replayable(portable(value))
    assert input_key(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "$unportable"), inner),
    max_leaves=8,
)


@given(json_values)
def test_json_stays_as_it_is(value: object) -> None:
    assert portable(value) == value
    assert replayable(portable(value))


@given(st.dictionaries(st.text(), json_values))
def test_a_key_does_not_depend_on_the_order_of_names(inputs: dict) -> None:
    assert input_key(dict(reversed(inputs.items()))) == input_key(inputs)


# -- beside a model ------------------------------------------------------------------------------------

programs = st.sampled_from(["p", "q"])
numbers = st.integers(0, 2)


class QuarantineMachine(RuleBasedStateMachine):
    """Strikes, releases and drops in any order, with a new process (a new object on the same store) now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store.open(":memory:")
        self.quarantine = Quarantine(self.store, after=2)
        self.kills: dict[tuple[str, int], int] = {}
        self.aside: set[tuple[str, int]] = set()

    @rule(program=programs, number=numbers)
    def strike(self, program: str, number: int) -> None:
        where = (program, number)
        self.kills[where] = self.kills.get(where, 0) + 1
        if self.kills[where] >= 2:
            self.aside.add(where)
        found = self.quarantine.strike(program, [program, number], reason="r")
        assert found.kills == self.kills[where]
        assert (found.state == "quarantined") == (where in self.aside)

    @rule(program=programs, number=numbers, forget=st.booleans())
    def let_go(self, program: str, number: int, forget: bool) -> None:
        where = (program, number)
        act = self.quarantine.drop if forget else self.quarantine.release
        if where not in self.kills:
            with pytest.raises(NotFoundError):
                act(input_key([program, number]))
            return
        act(input_key([program, number]))
        self.aside.discard(where)
        self.kills[where] = 0
        if forget:
            del self.kills[where]

    @rule()
    def restart(self) -> None:
        self.quarantine = Quarantine(self.store, after=2)
        assert self.quarantine.refresh() == len(self.aside)

    @invariant()
    def what_is_set_aside_is_the_model(self) -> None:
        for program in ("p", "q"):
            for number in range(3):
                assert blocked(self.quarantine, program, [program, number]) == ((program, number) in self.aside)

    def teardown(self) -> None:
        self.store.close()


QuarantineMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestQuarantineMachine = QuarantineMachine.TestCase
