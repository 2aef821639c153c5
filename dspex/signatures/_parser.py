"""The string form of a signature: ``question, context: list[str] -> answer: Literal["yes", "no"]``.

    signature := fields "->" fields
    fields    := [field ("," field)*]
    field     := NAME [":" type]                        a field without a type is a str
    type      := term ("|" term)*
    term      := NAME ("." NAME)* ["[" item ("," item)* "]"] | "None" | "(" type ")"
    item      := type | "..." | STRING | NUMBER         the last two in Literal[...] and in types of ours

Nothing is evaluated: names are looked up. Every error points at the character where reading stopped.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import keyword
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from dspex._errors import SignatureError

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<arrow>->)
    | (?P<ellipsis>\.\.\.)
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<string>[bB]?(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))
    | (?P<name>[^\W\d]\w*)
    | (?P<mark>[:,\[\]|.()])
    )""",
    re.VERBOSE,
)

Lookup = Callable[[str], Any]
"""A name to what it stands for; raises LookupError when nothing does."""

ParsedField = tuple[str, Any]

_ARITY = {list: 1, set: 1, frozenset: 1, dict: 2}
_ARITY_TYPING = {typing.List: 1, typing.Set: 1, typing.FrozenSet: 1, typing.Dict: 2}  # noqa: UP006


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            while text[position].isspace():
                position += 1
            character = text[position]
            what = "this string is not closed" if character in "\"'" else f"unexpected character {character!r}"
            raise SignatureError(f"Cannot read the signature: {what}.", text=text, position=position)
        kind = match.lastgroup or ""
        tokens.append(_Token(kind, match.group(kind), match.start(kind)))
        position = match.end()
    tokens.append(_Token("end", "", end))
    return tokens


class _Parser:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self.text = text
        self.lookup = lookup
        self.tokens = _tokens(text)
        self.index = 0

    # -- reading tokens

    @property
    def now(self) -> _Token:
        return self.tokens[self.index]

    def next(self) -> _Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def at(self, text: str) -> bool:
        token = self.now
        return token.text == text and token.kind in ("mark", "arrow", "ellipsis")

    def take(self, text: str) -> bool:
        if self.at(text):
            self.index += 1
            return True
        return False

    def fail(self, message: str, token: _Token | None = None) -> NoReturn:
        token = token or self.now
        raise SignatureError(f"Cannot read the signature: {message}.", text=self.text, position=token.position)

    def found(self) -> str:
        return f"found {self.now.text!r}" if self.now.kind != "end" else "found the end"

    # -- the grammar

    def signature(self) -> tuple[list[ParsedField], list[ParsedField]]:
        seen: set[str] = set()
        inputs = self.fields(seen)
        if not self.take("->"):
            if self.now.kind == "end":
                self.fail("expected `->` between the inputs and the outputs")
            self.fail(f"expected `,` or `->`, {self.found()}")
        if self.now.kind == "end":
            self.fail("expected at least one output field after `->`")
        outputs = self.fields(seen)
        if self.at("->"):
            self.fail("there is a second `->`")
        if self.now.kind != "end":
            self.fail(f"expected `,` or the end, {self.found()}")
        return inputs, outputs

    def fields(self, seen: set[str]) -> list[ParsedField]:
        fields: list[ParsedField] = []
        if self.at("->"):
            return fields
        while True:
            token = self.now
            if token.kind != "name":
                self.fail(f"expected the name of a field, {self.found()}")
            if keyword.iskeyword(token.text):
                self.fail(f"`{token.text}` is a word of Python and cannot name a field")
            if token.text.startswith("_"):
                self.fail("the name of a field cannot start with an underscore")
            if token.text in seen:
                self.fail(f"there is already a field `{token.text}`")
            self.next()
            seen.add(token.text)
            fields.append((token.text, self.type() if self.take(":") else str))
            if not self.take(","):
                return fields

    def type(self) -> Any:
        start = self.now
        result = self.term()
        while self.at("|"):
            self.next()
            other = self.term()
            try:
                result = typing.Union[result, other]  # noqa: UP007 (`|` fails for some constructs of typing)
            except TypeError as error:
                self.fail(f"no union can be made of these ({error})", start)
        return result

    def term(self) -> Any:
        token = self.now
        if self.take("("):
            result = self.type()
            if not self.take(")"):
                self.fail(f"expected `)`, {self.found()}")
            return result
        if token.kind != "name":
            if token.kind == "string":
                self.fail("a text stands only in Literal[...]")
            self.fail(f"expected a type, {self.found()}")
        self.next()
        result = type(None) if token.text == "None" else self.resolve(token)
        while self.take("."):
            part = self.now
            if part.kind != "name":
                self.fail(f"expected a name after `.`, {self.found()}")
            self.next()
            try:
                result = getattr(result, part.text)
            except AttributeError:
                self.fail(f"`{token.text}` has no `{part.text}`", part)
        if self.at("["):
            return self.subscript(result)
        if not _is_type(result):
            self.fail(f"`{token.text}` is not a type", token)
        if result is Literal:
            self.fail("Literal needs its values: Literal['a', 'b']")
        if result in (typing.Optional, typing.Union):
            self.fail(f"`{token.text}` needs a type in brackets")
        return result

    def subscript(self, origin: Any) -> Any:
        bracket = self.next()
        literal = origin is Literal
        items: list[Any] = []
        while True:
            if self.at("]") and items:
                break
            items.append(self.item(literal, origin))
            if not self.take(","):
                break
        if not self.take("]"):
            self.fail(f"expected `,` or `]`, {self.found()}")
        arity = _ARITY.get(origin) or _ARITY_TYPING.get(origin) if _hashable(origin) else None
        if arity is not None and len(items) != arity:
            self.fail(f"`{_name(origin)}` takes {arity} type{'s' * (arity > 1)}, found {len(items)}", bracket)
        try:
            return origin[tuple(items) if len(items) > 1 else items[0]]
        except TypeError as error:
            self.fail(f"`{_name(origin)}` cannot take this in brackets ({error})", bracket)

    def item(self, literal: bool, origin: Any) -> Any:
        token = self.now
        if token.kind == "string" or token.kind == "number":
            if not literal and not getattr(origin, "__literal_arguments__", False):
                self.fail("a value stands only in Literal[...]")
            self.next()
            return ast.literal_eval(token.text)
        if literal:
            if token.text in ("True", "False", "None"):
                self.next()
                return ast.literal_eval(token.text)
            return self.member()
        if self.take("..."):
            return ...
        return self.type()

    def member(self) -> Any:
        """An enum member in Literal[...]: ``Color.RED``."""
        token = self.now
        if token.kind != "name" or self.tokens[self.index + 1].text != ".":
            self.fail(f"Literal takes texts, numbers, True, False, None and enum members, {self.found()}")
        self.next()
        value = self.resolve(token)
        while self.take("."):
            part = self.next()
            if not hasattr(value, part.text):
                self.fail(f"`{token.text}` has no `{part.text}`", part)
            value = getattr(value, part.text)
        return value

    def resolve(self, token: _Token) -> Any:
        try:
            return self.lookup(token.text)
        except LookupError:
            known = [*dir(builtins), *typing.__all__]
            near = difflib.get_close_matches(token.text, known, n=1, cutoff=0.75)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            self.fail(
                f"there is no type `{token.text}` here{hint} "
                f"(types of your own: custom_types={{{token.text!r}: {token.text}}})",
                token,
            )


def _is_type(value: Any) -> bool:
    """A class, or a construct of `typing`."""
    if isinstance(value, type) or value is Any:
        return True
    if isinstance(value, (typing.TypeVar, typing.NewType)) or typing.get_origin(value) is not None:
        return True
    return type(value).__module__ in ("typing", "typing_extensions")


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _name(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value)


def parse_signature(text: str, lookup: Lookup) -> tuple[list[ParsedField], list[ParsedField]]:
    """(input fields, output fields) as (name, type) pairs. Raises `SignatureError`, with a caret."""
    return _Parser(text, lookup).signature()


def could_be_type(value: Any) -> bool:
    """Whether a name bound to `value` may stand in a signature: a type, or a module to find one in."""
    return _is_type(value) or isinstance(value, type(typing))
