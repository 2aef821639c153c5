"""`History`, `Code` and `Reasoning`: texts with a meaning."""

from __future__ import annotations

import functools
import json
import re
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, create_model, model_validator

from dspex.types._base import Type


class History(Type):
    """Earlier turns of a conversation, as an input: adapters expand it into messages.

    Each message is a dict keyed by the signature's fields: ``{"question": ..., "answer": ...}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: list[dict[str, Any]]


_FENCE = re.compile(r"^\s*```[\w+#.-]*[ \t]*\n(.*?)\n?```\s*$", re.DOTALL)
_FENCE_INSIDE = re.compile(r"```[\w+#.-]*[ \t]*\n(.*?)\n?```", re.DOTALL)


class Code(Type):
    """Source code. ``Code["python"]`` names the language. A fence around it is taken off."""

    model_config = ConfigDict(frozen=True)
    __literal_arguments__: ClassVar[bool] = True

    language: ClassVar[str] = ""
    code: str

    def __class_getitem__(cls, language: Any) -> Any:
        return _code_in(str(language).lower())

    @model_validator(mode="before")
    @classmethod
    def _unfenced(cls, value: Any) -> Any:
        if isinstance(value, str):
            fence = _FENCE.match(value) or _FENCE_INSIDE.search(value)
            return {"code": fence.group(1) if fence else value}
        return value

    @classmethod
    def description(cls) -> str:
        return f"source code in {cls.language}" if cls.language else "source code"

    def format(self) -> str:
        return f"```{self.language}\n{self.code}\n```"

    format_reply = format

    @classmethod
    def parse_reply(cls, text: str) -> Self:
        return cls.model_validate(text)

    def __str__(self) -> str:
        return self.code


@functools.cache
def _code_in(language: str) -> type[Code]:
    name = "Code_" + language.encode().hex()
    made = create_model(name, __base__=Code, __module__=__name__)
    made.language = language
    return made


def __getattr__(name: str) -> Any:
    # pickle finds Code["python"] as the attribute of this module that it is called.
    if name.startswith("Code_"):
        try:
            return _code_in(bytes.fromhex(name[5:]).decode())
        except ValueError:
            pass
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Reasoning(Type):
    """What the model thought. Behaves as a str; filled from the model's native reasoning where it has one."""

    model_config = ConfigDict(frozen=True)

    content: str

    def __init__(self, content: Any = None, **data: Any) -> None:
        super().__init__(**({"content": content} if content is not None else {}), **data)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"content": value} if isinstance(value, str) else value

    def format(self) -> str:
        return self.content

    format_reply = format

    @classmethod
    def parse_reply(cls, text: str) -> Self:
        return cls(text)

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        return f"Reasoning({self.content!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.content == other
        return isinstance(other, Reasoning) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __len__(self) -> int:
        return len(self.content)

    def __contains__(self, part: str) -> bool:
        return part in self.content

    def __getitem__(self, key: Any) -> str:
        return self.content[key]

    def __add__(self, other: object) -> str:
        return self.content + str(other)

    def __radd__(self, other: object) -> str:
        return str(other) + self.content

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(str, name):
            return getattr(self.content, name)
        return super().__getattr__(name)  # type: ignore[misc]


def dumps(value: Any) -> str:
    """JSON as prompts show it: on one line, letters of every script as they are."""
    return json.dumps(value, ensure_ascii=False)
