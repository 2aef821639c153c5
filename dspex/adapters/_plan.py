"""What an adapter works out once per signature, so that a call only joins and splits text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic.fields import FieldInfo

from dspex.adapters._read import Reader, json_reader, split_annotated, text_reader, validator, without_none
from dspex.signatures import Signature
from dspex.types import History, Type, types_in


@dataclass(frozen=True, slots=True)
class InputSlot:
    """An input field. `before` and `after` stand around its value in the prompt."""

    name: str
    before: str
    after: str
    numbered: bool
    coerce: Callable[[Any], Any] | None


@dataclass(slots=True)
class Plan:
    """The fixed parts of the prompts for one signature, and the readers of its outputs."""

    signature: type[Signature]
    system: str
    inputs: tuple[InputSlot, ...]
    tail: str
    outputs: dict[str, Reader | None]
    history: str | None
    nullable: frozenset[str]
    extra: Any = None
    _json: dict[str, Callable[[Any], Any]] = field(default_factory=dict)

    def given(self, record: Any, names: Iterable[str]) -> dict[str, Any]:
        """The values that a demonstration or an earlier turn has for these fields."""
        return {
            name: record[name]
            for name in names
            if name in record and (record[name] is not None or name in self.nullable)
        }

    def json_reader(self, name: str) -> Callable[[Any], Any]:
        reader = self._json.get(name)
        if reader is None:
            own = self.signature.__dspex_outputs__[name]
            reader = self._json[name] = json_reader(own.annotation, own.metadata)
        return reader


def output_readers(signature: type[Signature]) -> dict[str, Reader | None]:
    return {name: text_reader(own.annotation, own.metadata) for name, own in signature.__dspex_outputs__.items()}


def nullable_fields(signature: type[Signature]) -> frozenset[str]:
    """The fields for which None is a value, and does not mean that there is none."""
    return frozenset(
        name
        for name, own in signature.__dspex_fields__.items()
        if own.annotation is type(None) or without_none(split_annotated(own.annotation)[0])[1]
    )


def history_field(signature: type[Signature]) -> str | None:
    """The name of the input that holds the conversation so far, if there is one."""
    for name, own in signature.__dspex_inputs__.items():
        if without_none(split_annotated(own.annotation)[0])[0] is History:
            return name
    return None


def input_slot(name: str, own: FieldInfo, before: str, after: str) -> InputSlot:
    coerce = None
    annotation, _ = without_none(split_annotated(own.annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, Type) and types_in(annotation):
        check = validator(annotation)

        def coerce(value: Any) -> Any:
            # An image given as its URL, or a value of a saved demo, which is plain JSON.
            return value if isinstance(value, Type) or value is None else check.validate_python(value)

    return InputSlot(name, before, after, own.annotation is str, coerce)
