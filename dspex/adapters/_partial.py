"""The value of one field while its reply is still coming: pure readers, fed with pieces of text.

`feed` gives what became certain of the value: all that it gave, joined, is the value as text. What may turn out to be
its end (the beginning of a marker, trailing blanks) is held back until that is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Protocol


class FieldReader(Protocol):
    """`done` is True when the value is complete; a value that ends with its reply never is."""

    done: bool

    def feed(self, text: str) -> str: ...


class SpanField:
    """What stands between `start` and `end`, without the blanks around it.

    `held(text)` says from where on a text that ends somewhere may be the beginning of `end`.
    """

    def __init__(self, start: re.Pattern[str], end: re.Pattern[str], held: Callable[[str], int]) -> None:
        self.done = False
        self._start = start
        self._end = end
        self._held = held
        self._text = ""
        self._begin: int | None = None
        self._looked = 0
        self._given = 0

    def feed(self, text: str) -> str:
        if self.done:
            return ""
        self._text += text
        if self._begin is None:
            match = self._start.search(self._text)
            if match is None:
                return ""
            self._begin = self._looked = match.end()
        end = self._end.search(self._text, self._looked)
        self.done = end is not None
        certain = end.start() if end is not None else max(self._begin, self._held(self._text))
        self._looked = max(self._looked, certain)
        value = self._text[self._begin : certain].strip()
        new = value[self._given :]
        self._given = len(value)
        return new


def before_line(may_begin: Callable[[str], bool]) -> Callable[[str], int]:
    """Holds back the last line of a text while it may begin an end that is a line of its own."""

    def held(text: str) -> int:
        line = text.rfind("\n") + 1
        return line if may_begin(text[line:]) else len(text)

    return held


def before_word(word: str) -> Callable[[str], int]:
    """Holds back what may be the beginning of `word` at the end of a text."""

    def held(text: str) -> int:
        for size in range(min(len(word) - 1, len(text)), 0, -1):
            if text.endswith(word[:size]):
                return len(text) - size
        return len(text)

    return held


class ObjectField:
    """The value of one key of the first JSON object in a reply: a string's characters, or the JSON of anything else."""

    def __init__(self, name: str) -> None:
        self.done = False
        self._name = name
        self._depth = 0
        self._string: list[str] | None = None  # the raw characters of the string that is being read
        self._escaped = False
        self._key: str | None = None  # of the outer object, whose value is being read
        self._value: list[str] = []  # what was read of the value and not given yet
        self._is_text = False
        self._begun = False

    def feed(self, text: str) -> str:
        for char in text:
            if self.done:
                break
            if self._string is not None:
                self._in_string(char)
            else:
                self._outside(char)
        return self._give()

    def _mine(self) -> bool:
        return self._key == self._name

    def _in_string(self, char: str) -> None:
        assert self._string is not None
        if char == '"' and not self._escaped:
            words, self._string = "".join(self._string), None
            if self._depth == 1 and self._key is None:
                self._key = _decoded(words)
                self._begun = self._is_text = False
            elif self._mine() and self._is_text:
                self.done = True
            elif self._mine():
                self._value.append(char)
            return
        self._escaped = char == "\\" and not self._escaped
        self._string.append(char)
        if self._mine():
            self._value.append(char)

    def _outside(self, char: str) -> None:
        mine = self._mine() and self._depth >= 1
        if char == '"':
            self._string, self._escaped = [], False
            if mine and not self._begun:
                self._begun = self._is_text = True
            elif mine:
                self._value.append(char)
            return
        if self._depth == 1 and char in ",}":
            self.done = mine
            self._key = None
            self._depth -= char == "}"
            return
        if char in "{[":
            self._depth += 1
            if self._depth == 1:
                return
        elif char in "}]":
            self._depth -= 1
        if mine and (self._begun or not (char.isspace() or char == ":")):
            self._begun = True
            self._value.append(char)

    def _give(self) -> str:
        raw = "".join(self._value)
        if not self._is_text:
            kept = len(raw.rstrip())
            self._value = [] if self.done else [raw[kept:]]
            return raw[:kept]
        whole = raw if self.done else raw[: _whole_escapes(raw)]
        self._value = [raw[len(whole) :]]
        return _decoded(whole)


# The end of a JSON string that is not whole: an escape that goes on, the first half of a surrogate pair.
_UNFINISHED = re.compile(r"(\\u[dD][89abAB][0-9a-fA-F]{2}(\\(u[0-9a-fA-F]{0,3})?)?|\\(u[0-9a-fA-F]{0,3})?)$")


def _whole_escapes(raw: str) -> int:
    """How much of a string's raw characters can be decoded by itself."""
    match = _UNFINISHED.search(raw)
    if match is None:
        return len(raw)
    begin = match.start()
    backslashes = len(raw[:begin]) - len(raw[:begin].rstrip("\\"))
    return len(raw) if backslashes % 2 else begin  # an escaped backslash is no escape's begin


def _decoded(raw: str) -> str:
    try:
        return str(json.loads(f'"{raw}"', strict=False))
    except ValueError:
        return raw  # no JSON: what is shown is what the model wrote
