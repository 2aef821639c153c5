"""`Type`: the base of field types that know how they look in a prompt."""

from __future__ import annotations

import json
import typing
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

ContentPart = dict[str, Any]
"""An OpenAI content part: ``{"type": "text", "text": ...}``, ``{"type": "image_url", ...}`` and so on."""


class Type(BaseModel):
    """A field type of your own: override `format`, and perhaps `description`.

        class Event(Type):
            at: datetime
            title: str

            def format(self) -> str:
                return f"{self.title} at {self.at:%H:%M}"

    `format` returns text, or content parts for what is not text (adapters put them between the text around).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def format(self) -> str | list[ContentPart]:
        """The value as an input in a prompt."""
        return self.model_dump_json()

    @classmethod
    def description(cls) -> str:
        """What the prompt tells the model about this type; empty for nothing."""
        return ""

    def format_reply(self) -> str:
        """The value as a model would write it: what demonstrations show, and `parse_reply` reads."""
        return self.model_dump_json()

    @classmethod
    def parse_reply(cls, text: str) -> Self:
        """The value that a model wrote. Raises ValueError (pydantic's included) when it is none."""
        return cls.model_validate(json.loads(text))

    @classmethod
    def extract_custom_type_from_annotation(cls, annotation: Any) -> list[type[Type]]:
        """The `Type`s in an annotation, however deep: those of ``list[Image] | None`` are [Image]."""
        return types_in(annotation)


def types_in(annotation: Any, seen: frozenset[Any] = frozenset()) -> list[type[Type]]:
    """The `Type` subclasses that an annotation mentions, also in the fields of pydantic models."""
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        if issubclass(annotation, Type):
            return [annotation]
        if issubclass(annotation, BaseModel) and annotation not in seen:
            found: list[type[Type]] = []
            for field in annotation.model_fields.values():
                found += types_in(field.annotation, seen | {annotation})
            return found
        return []
    if typing.get_origin(annotation) is typing.Literal:
        return []
    return [item for argument in typing.get_args(annotation) for item in types_in(argument, seen)]
