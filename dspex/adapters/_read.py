"""A field's value out of what a model wrote: a reader per type, made once per signature.

Readers are lenient about form (quotes, code fences, Python's spelling of JSON, broken JSON) and strict about
content: what does not fit the type is a ValueError that says why, never a default.
"""

from __future__ import annotations

import ast
import enum
import json
import re
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from dspex.types import Type

Reader = Callable[[str], Any]

_FENCE = re.compile(r"^```[\w+-]*[ \t]*\n?(.*?)\n?```$", re.DOTALL)
_THOUSANDS = re.compile(r"^[+-]?\d{1,3}(?:[,_]\d{3})+(?=\.|$)")
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_NONE = frozenset({"none", "null"})


def unfenced(text: str) -> str:
    """The text without the code fence around it, if there is one."""
    text = text.strip()
    match = _FENCE.match(text)
    return match.group(1).strip() if match else text


def split_annotated(annotation: Any) -> tuple[Any, list[Any]]:
    """(type, metadata) of a type that may be Annotated."""
    if typing.get_origin(annotation) is Annotated:
        inner, *metadata = typing.get_args(annotation)
        return inner, metadata
    return annotation, []


def is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def without_none(annotation: Any) -> tuple[Any, bool]:
    """(the type without None, whether None was among its alternatives)."""
    if not is_union(annotation):
        return annotation, False
    rest = [item for item in typing.get_args(annotation) if item is not type(None)]
    if len(rest) == len(typing.get_args(annotation)):
        return annotation, False
    return (rest[0] if len(rest) == 1 else typing.Union[tuple(rest)]), True  # noqa: UP007


def validator(annotation: Any, metadata: Sequence[Any] = ()) -> TypeAdapter[Any]:
    """pydantic's check of a type with its constraints."""
    target: Any = Annotated[(annotation, *metadata)] if metadata else annotation
    try:
        return TypeAdapter(target)
    except PydanticUserError:
        return TypeAdapter(target, config=ConfigDict(arbitrary_types_allowed=True))


def labels_of(annotation: Any) -> dict[str, Any] | None:
    """What may be written for a type of a fixed set of values, and the value of each; None for other types."""
    if typing.get_origin(annotation) is typing.Literal:
        return {_label(value): value for value in typing.get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {_label(member): member for member in annotation}
    if annotation is bool:
        return {"True": True, "False": False}
    return None


def _label(value: Any) -> str:
    return str(value.value if isinstance(value, enum.Enum) else value)


def text_reader(annotation: Any, metadata: Sequence[Any] = ()) -> Reader | None:
    """How to read a type out of text; None when the (stripped) text is the value itself."""
    annotation, more = split_annotated(annotation)
    metadata = [*metadata, *more]
    if annotation is str and not metadata:
        return None
    read = _bare_reader(annotation)
    if not metadata:
        return read
    check = validator(annotation, metadata)
    return lambda text: check.validate_python(read(text))


def _bare_reader(annotation: Any) -> Reader:
    annotation, _ = split_annotated(annotation)
    inner, optional = without_none(annotation)
    if optional:
        read = _bare_reader(inner)
        return lambda text: None if text.strip().lower() in _NONE else read(text)
    if annotation is str:
        return str
    if annotation is type(None):
        return _read_none
    labels = labels_of(annotation)
    if labels is not None:
        return _label_reader(annotation, labels)
    if annotation is int or annotation is float:
        return _number_reader(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Type):
        return _type_reader(annotation)
    return _value_reader(annotation)


def _read_none(text: str) -> None:
    if text.strip().lower() not in _NONE:
        raise ValueError("expected None")


def _label_reader(annotation: Any, labels: dict[str, Any]) -> Reader:
    folded: dict[str, list[Any]] = {}
    names = list(labels.items())
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        names += [(member.name, member) for member in annotation]
    if annotation is bool:
        names += [("yes", True), ("no", False)]
    for label, value in names:
        values = folded.setdefault(label.strip().casefold(), [])
        if value not in values:
            values.append(value)

    def read(text: str) -> Any:
        for candidate in (text, unfenced(text).strip(_QUOTES), text.strip().rstrip(".!").strip(_QUOTES + "*")):
            if candidate in labels:
                return labels[candidate]
            values = folded.get(candidate.strip().casefold(), ())
            if len(values) == 1:
                return values[0]
        raise ValueError(f"{_quoted(text)} is not one of: {', '.join(labels)}")

    return read


def _number_reader(annotation: Any) -> Reader:
    check = validator(annotation)
    kind = "a whole number" if annotation is int else "a number"

    def read(text: str) -> Any:
        plain = unfenced(text).strip(_QUOTES + "* ").rstrip(".")
        if _THOUSANDS.match(plain):
            plain = plain.replace(",", "").replace("_", "")
        try:
            return check.validate_python(plain)
        except ValidationError:
            raise ValueError(f"{_quoted(text)} is not {kind}") from None

    return read


def _type_reader(annotation: type[Type]) -> Reader:
    general = _value_reader(annotation)

    def read(text: str) -> Any:
        try:
            return annotation.parse_reply(text)
        except ValueError:
            # Not as the type writes it itself: perhaps fenced, Python's spelling, or broken JSON.
            return general(text)

    return read


def _value_reader(annotation: Any) -> Reader:
    check = validator(annotation)
    takes_text = annotation is Any or _mentions(annotation, str)

    def read(text: str) -> Any:
        plain = unfenced(text)
        failure: ValidationError | None = None
        for decode in (_from_json, _from_python, _raw, _repaired):
            if takes_text and decode is _repaired:
                break
            try:
                value = decode(plain)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            try:
                return check.validate_python(value)
            except ValidationError as error:
                if failure is None or decode is _repaired:
                    failure = error
        raise ValueError(explained(failure) if failure else f"{_quoted(text)} cannot be read")

    return read


def _mentions(annotation: Any, kind: type) -> bool:
    if is_union(annotation):
        return any(_mentions(item, kind) for item in typing.get_args(annotation))
    return annotation is kind


def _from_json(text: str) -> Any:
    return json.loads(text)


def _from_python(text: str) -> Any:
    return ast.literal_eval(text)


def _raw(text: str) -> Any:
    return text


def _repaired(text: str) -> Any:
    """What json-repair makes of it, when that is an object or a list."""
    from json_repair import repair_json

    start = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=-1)
    if start < 0:
        raise ValueError("no JSON")
    value: Any = repair_json(text[start:], return_objects=True)
    if not isinstance(value, (dict, list)):
        raise ValueError("no JSON")
    return value


def json_reader(annotation: Any, metadata: Sequence[Any] = ()) -> Callable[[Any], Any]:
    """How to take a decoded JSON value for a type. A text stands for what is written in it."""
    annotation, more = split_annotated(annotation)
    metadata = [*metadata, *more]
    of_text = text_reader(annotation, metadata)
    check = validator(annotation, metadata)

    def read(value: Any) -> Any:
        if isinstance(value, str):
            if of_text is None:
                return value
            try:
                return check.validate_python(value)
            except ValidationError:
                return of_text(value)
        try:
            return check.validate_python(value)
        except ValidationError as error:
            shown = json.dumps(value, ensure_ascii=False)
            if isinstance(value, (bool, int, float)) or annotation is str:
                # A number where a label or a text belongs: read it as written.
                return of_text(shown) if of_text is not None else shown
            raise ValueError(explained(error)) from error

    return read


def decode_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a reply, also fenced, surrounded by words or broken; None when there is none."""
    plain = unfenced(text)
    start, end = plain.find("{"), plain.rfind("}")
    candidates = [plain]
    if start >= 0:
        candidates.append(plain[start : end + 1] if end > start else plain[start:])
    for candidate in candidates:
        for decode in (_from_json, _from_python):
            try:
                value = decode(candidate)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(value, dict):
                return value
    try:
        value = _repaired(plain)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def explained(error: ValidationError) -> str:
    """pydantic's findings in one line."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}" if item["loc"] else item["msg"]
        for item in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )


def _quoted(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
