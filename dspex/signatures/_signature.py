"""`Signature`: the inputs and outputs of a language-model call, declared as a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from dspex._errors import SignatureError
from dspex.signatures._field import direction_of, extra_of, updated
from dspex.signatures._meta import SignatureMeta


class Signature(BaseModel, metaclass=SignatureMeta):
    """What a language-model call is given, what it must produce, and how it is told to.

        class Grade(Signature):
            \"\"\"Grade the answer.\"\"\"

            question: str = InputField()
            answer: str = InputField(desc="the student's")
            score: int = OutputField(ge=0, le=10)

    or ``Signature("question, answer -> score: int", "Grade the answer.")``. A signature never changes: every
    method here returns a new one.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=(), defer_build=True)

    @classmethod
    def with_instructions(cls, instructions: str) -> type[Signature]:
        """The same fields, other instructions."""
        return build(cls.__name__, cls.fields, instructions, cls.__module__)

    @classmethod
    def append_instructions(cls, text: str) -> type[Signature]:
        """The same fields, with `text` as a further paragraph of the instructions."""
        return cls.with_instructions(f"{cls.instructions}\n\n{text}" if cls.instructions else text)

    @classmethod
    def with_updated_fields(cls, name: str, type_: Any = None, **options: Any) -> type[Signature]:
        """One field with another type, description, label or constraint."""
        fields = cls.fields
        if name not in fields:
            raise SignatureError(f"`{cls.__name__}` has no field `{name}`; it has: {', '.join(fields)}.", field=name)
        fields[name] = updated(fields[name], options)
        if type_ is not None:
            fields[name].annotation = type_
        return build(cls.__name__, fields, cls._kept(), cls.__module__)

    @classmethod
    def prepend(cls, name: str, field: Any, type_: Any = None) -> type[Signature]:
        """With one more field, the first among the inputs or the outputs."""
        return cls.insert(0, name, field, type_)

    @classmethod
    def append(cls, name: str, field: Any, type_: Any = None) -> type[Signature]:
        """With one more field, the last among the inputs or the outputs."""
        return cls.insert(-1, name, field, type_)

    @classmethod
    def insert(cls, index: int, name: str, field: Any, type_: Any = None) -> type[Signature]:
        """With one more field at `index` among the inputs or the outputs (-1 is the end).

        Of a name that is there already, the field is replaced and moved. Without `type_` it is a str.
        """
        if not isinstance(field, FieldInfo):
            raise SignatureError(f"`{name}` must be an InputField() or an OutputField(), not {field!r}.", field=name)
        sides = {
            "input": [item for item in cls.input_fields.items() if item[0] != name],
            "output": [item for item in cls.output_fields.items() if item[0] != name],
        }
        side = sides[direction_of(field, name, cls.__name__)]
        place = index + len(side) + 1 if index < 0 else index
        if not 0 <= place <= len(side):
            raise ValueError(f"There is no place {index} for `{name}` among {len(side)} fields of its direction.")
        new = updated(field, {})
        new.annotation = type_ if type_ is not None else (field.annotation or str)
        side.insert(place, (name, new))
        return build(cls.__name__, dict(sides["input"] + sides["output"]), cls._kept(), cls.__module__)

    @classmethod
    def delete(cls, name: str) -> type[Signature]:
        """Without the field; the same when there is no such field."""
        fields = {key: field for key, field in cls.fields.items() if key != name}
        return build(cls.__name__, fields, cls._kept(), cls.__module__)

    @classmethod
    def _kept(cls) -> str | None:
        """Instructions that somebody wrote stay; the generated ones are generated anew for the new fields."""
        return None if cls.__dspex_default__ else cls.instructions

    @classmethod
    def equals(cls, other: Any) -> bool:
        """Equal instructions and fields, with their types, labels, descriptions and constraints."""
        return bool(cls == other)

    @classmethod
    def dump_state(cls) -> dict[str, Any]:
        """What optimizers change, as JSON: the instructions, and each field's label and description."""
        return {
            "instructions": cls.instructions,
            "fields": [
                {"prefix": extra_of(field)["prefix"], "description": extra_of(field)["desc"]}
                for field in cls.__dspex_fields__.values()
            ],
        }

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> type[Signature]:
        """This signature with the instructions, labels and descriptions of a dumped one. The fields must match."""
        fields = cls.fields
        saved = state["fields"]
        if len(saved) != len(fields):
            raise SignatureError(
                f"The saved signature has {len(saved)} fields and `{cls.__name__}` has {len(fields)} "
                f"({', '.join(fields)}): it was saved from another signature."
            )
        for (name, field), values in zip(cls.fields.items(), saved, strict=True):
            fields[name] = updated(field, {"prefix": values["prefix"], "desc": values["description"]})
        return build(cls.__name__, fields, state["instructions"], cls.__module__)


def build(
    name: str, fields: Mapping[str, FieldInfo], instructions: str | None, module: str = __name__
) -> type[Signature]:
    """A signature class of these fields. `instructions` None: the default ones."""
    namespace: dict[str, Any] = {
        "__module__": module,
        "__qualname__": f"<made>.{name}",
        "__doc__": instructions,
        "__annotations__": {key: field.annotation for key, field in fields.items()},
        **fields,
    }
    return cast("type[Signature]", cast(Any, SignatureMeta)(name, (Signature,), namespace))
