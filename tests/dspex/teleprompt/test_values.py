"""Rows of any values are the same rows in every process, or are refused."""

import datetime
import enum
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pydantic
import pytest

from dspex.primitives import Example
from dspex.teleprompt import TeleprompterError
from dspex.teleprompt._task import Record
from dspex.teleprompt._values import to_json_value

ROOT = Path(__file__).parents[3]


class Thing:
    def __init__(self, size, colours=("red", "green", "blue")):
        self.size = size
        self.colours = set(colours)


class Slotted:
    __slots__ = ("size",)

    def __init__(self, size):
        self.size = size


class Named:
    def __str__(self):
        return "the named one"


class Colour(enum.Enum):
    RED = "red"


class Model(pydantic.BaseModel):
    tags: set[str]


@dataclass
class Row:
    tags: frozenset = field(default_factory=lambda: frozenset({"alpha", "beta", "gamma"}))
    when: datetime.date = datetime.date(2026, 1, 2)


def record(value):
    return Record.of(Example(question="q", value=value).with_inputs("question"))


def rows():
    tags = {"alpha", "beta", "gamma", "delta"}
    values = [
        tags,
        {"of": {1, 2, "x"}},
        Thing(3),
        Slotted(4),
        Model(tags=tags),
        Row(),
        [Named()],
        Colour.RED,
        b"\xff\x00",
    ]
    return [record(value) for value in values]


def test_a_row_has_the_same_key_and_the_same_values_in_every_process():
    script = "from tests.dspex.teleprompt.test_values import rows\nprint([(row.key, row.fields) for row in rows()])"
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1
    assert " at 0x" not in told.pop()


def test_objects_are_known_by_their_type_and_fields():
    assert record(Thing(3)).key == record(Thing(3)).key != record(Thing(4)).key
    assert record(Thing(3)).key != record({"size": 3, "colours": ["blue", "green", "red"]}).key
    assert record(Slotted(1)).key != record(Slotted(2)).key
    assert record(b"\xff").key != record(b"\xfe").key


def test_a_value_that_no_other_process_would_know_is_refused():
    loop = Thing(1)
    loop.size = loop
    own = [1]
    own.append(own)
    for value in (threading.Lock(), [Thing(threading.Lock())], loop, own):
        with pytest.raises(TeleprompterError, match="same in every process"):
            record(value)
    assert to_json_value(loop)["size"] == "Thing"
    assert to_json_value(own) == [1, "list"]


def test_what_a_model_is_shown_of_a_value_is_its_text_or_its_fields():
    shown = to_json_value(
        {"named": Named(), "thing": Thing(3), "when": datetime.date(2026, 1, 2), 1: b"text", "no": b"\xff", "n": None}
    )
    assert shown == {
        "named": "the named one",
        "thing": {"size": 3, "colours": ["blue", "green", "red"]},
        "when": "2026-01-02",
        "1": "text",
        "no": "/w==",
        "n": None,
    }
