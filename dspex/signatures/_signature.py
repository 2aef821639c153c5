"""`Signature`: the inputs and outputs of a language-model call, declared as a class."""

from __future__ import annotations

import copyreg
import inspect
import sys
import types
import typing
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from dspex._errors import SignatureError
from dspex.signatures._field import (
    InputField,
    OutputField,
    constraints_of,
    direction_of,
    extra_of,
    made,
    parts_of,
    updated,
)
from dspex.signatures._names import infer_prefix
from dspex.signatures._parser import parse_signature
from dspex.signatures._scope import Scope

if TYPE_CHECKING:  # for type checkers of programs with signature classes; at run time without pydantic's private module
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

Fields = dict[str, FieldInfo]

_PROPERTIES = frozenset({"fields", "input_fields", "instructions", "output_fields", "signature"})


def default_instructions(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """What a signature says that says nothing: which fields are given, and which are wanted."""

    def names(fields: Mapping[str, Any]) -> str:
        return ", ".join(f"`{name}`" for name in fields)

    if not inputs:
        return f"Produce the fields {names(outputs)}."
    return f"Given the fields {names(inputs)}, produce the fields {names(outputs)}."


class SignatureMeta(ModelMetaclass):
    """Reads the declaration once, when the class is made; afterwards a signature does not change.

    Two signatures are equal when instructions, fields, types, labels, descriptions and constraints are.
    """

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> SignatureMeta:
        if namespace.get("__qualname__") == "Signature" and namespace.get("__module__") == __name__:
            first: Any = super().__new__(mcs, name, bases, namespace, **kwargs)
            first._declare({}, {}, "", True)
            return cast(SignatureMeta, first)
        cls: Any
        annotations = _annotations(namespace, sys._getframe(1))
        doc = namespace.get("__doc__")
        namespace = {**namespace, "__annotations__": annotations}
        known = {field for base in bases for field in getattr(base, "fields", ())}
        _check_names(name, annotations, namespace, known)
        if any(hasattr(base, field) for base in bases for field in annotations if field not in known):
            # pydantic warns of a field named like a method of the class; as fields here are declarations and
            # not attributes, nothing is hidden by it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        else:
            cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        inputs: Fields = {}
        outputs: Fields = {}
        for field_name, field in cls.__pydantic_fields__.items():
            if field_name in _PROPERTIES and field_name in namespace:
                # pydantic read the declaration by getattr, and got the property of the metaclass.
                field = FieldInfo.from_annotated_attribute(annotations[field_name], namespace[field_name])
            field = _labelled(field_name, field)
            cls.__pydantic_fields__[field_name] = field
            side = inputs if direction_of(field, field_name, name) == "input" else outputs
            side[field_name] = field
        inherited = next((base for base in bases if isinstance(base, SignatureMeta) and base.fields), None)
        if doc is not None:
            cls._declare(inputs, outputs, inspect.cleandoc(doc), False)
        elif inherited is not None and not inherited.__dspex_default__:
            cls._declare(inputs, outputs, inherited.instructions, False)
        else:
            cls._declare(inputs, outputs, default_instructions(inputs, outputs), True)
        return cast(SignatureMeta, cls)

    def _declare(cls, inputs: Fields, outputs: Fields, instructions: str, default: bool) -> None:
        set_ = type.__setattr__
        set_(cls, "__dspex_inputs__", inputs)
        set_(cls, "__dspex_outputs__", outputs)
        set_(cls, "__dspex_fields__", {**inputs, **outputs})
        set_(cls, "__dspex_instructions__", instructions)
        set_(cls, "__dspex_default__", default)
        set_(cls, "__dspex_plans__", {})
        set_(cls, "__doc__", instructions)
        set_(cls, "__dspex_hash__", hash((instructions, tuple(inputs), tuple(outputs))))

    # -- what it declares

    @property
    def instructions(cls) -> str:
        return cls.__dspex_instructions__

    @property
    def input_fields(cls) -> Fields:
        return dict(cls.__dspex_inputs__)

    @property
    def output_fields(cls) -> Fields:
        return dict(cls.__dspex_outputs__)

    @property
    def fields(cls) -> Fields:
        """Inputs first, then outputs."""
        return dict(cls.__dspex_fields__)

    @property
    def signature(cls) -> str:
        """The names: ``"context, question -> answer"``."""
        return f"{', '.join(cls.__dspex_inputs__)} -> {', '.join(cls.__dspex_outputs__)}"

    __dspex_inputs__: Fields
    __dspex_outputs__: Fields
    __dspex_fields__: Fields
    __dspex_instructions__: str
    __dspex_default__: bool
    __dspex_plans__: dict[Any, Any]
    __dspex_hash__: int

    # -- making

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Signature:
            return make_signature(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    # -- identity

    def _facts(cls) -> tuple[Any, ...]:
        return cls.__dspex_instructions__, [
            (name, field.annotation, extra_of(field), constraints_of(field))
            for name, field in cls.__dspex_fields__.items()
        ]

    def __eq__(cls, other: object) -> bool:
        if cls is other:
            return True
        if not isinstance(other, SignatureMeta) or cls is Signature or other is Signature:
            return False
        # The hash is a cheap first look: ABC caches compare signatures often.
        return cls.__dspex_hash__ == other.__dspex_hash__ and cls._facts() == other._facts()

    def __hash__(cls) -> int:
        # While pydantic makes the class there is no hash of its content yet, and nobody to compare it with.
        own = cls.__dict__.get("__dspex_hash__")
        return own if own is not None else id(cls)

    def __repr__(cls) -> str:
        if cls is Signature:
            return "<class 'dspex.Signature'>"
        lines = [f"    instructions={cls.instructions!r}"]
        for name, field in cls.__dspex_fields__.items():
            extra = extra_of(field)
            kind = "InputField" if name in cls.__dspex_inputs__ else "OutputField"
            options = {"desc": extra["desc"], "prefix": extra["prefix"], **constraints_of(field)}
            shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
            lines.append(f"    {name}: {type_name(field.annotation)} = {kind}({shown})")
        return f"{cls.__name__}({cls.signature}\n" + "\n".join(lines) + "\n)"


def type_name(annotation: Any) -> str:
    """A type as one writes it: ``list[str]``, ``int | None``."""
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        return " | ".join(type_name(argument) for argument in typing.get_args(annotation))
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(value) for value in typing.get_args(annotation))}]"
    if origin is typing.Annotated:
        return type_name(typing.get_args(annotation)[0])
    if origin is not None:
        name = getattr(origin, "__name__", str(origin))
        parts = ["..." if a is Ellipsis else type_name(a) for a in typing.get_args(annotation)]
        return f"{name}[{', '.join(parts)}]" if parts else name
    return str(annotation).replace("typing.", "")


def _annotations(namespace: dict[str, Any], frame: types.FrameType) -> dict[str, Any]:
    """The annotations in the order of the declarations; `str` for a field without one; names resolved.

    Resolved here because pydantic would look for them in the frame that called it, which is the metaclass's.
    """
    written: dict[str, Any] = namespace.get("__annotations__", {})
    order = [name for name in namespace if name in written or isinstance(namespace[name], FieldInfo)]
    order += [name for name in written if name not in namespace]
    if order != list(written) and all(name in namespace for name in written):
        written = {name: written.get(name, str) for name in order}
    else:
        missing = {name: str for name in order if name not in written}
        written = {**written, **missing}
    if not any(isinstance(value, str) for value in written.values()):
        return dict(written)
    holder = types.SimpleNamespace(__annotations__=written)
    try:
        return typing.get_type_hints(
            holder, globalns=frame.f_globals, localns=dict(frame.f_locals), include_extras=True
        )
    except NameError as error:
        name = namespace.get("__qualname__", "signature")
        raise SignatureError(f"A type in `{name}` is not defined where the class is: {error}.") from error


def _check_names(owner: str, annotations: dict[str, Any], namespace: dict[str, Any], known: set[str]) -> None:
    for name, annotation in annotations.items():
        if typing.get_origin(annotation) is ClassVar:
            continue
        if name.startswith("_"):
            raise SignatureError(f"`{owner}.{name}`: the name of a field cannot start with an underscore.", field=name)
        if name not in known and not isinstance(namespace.get(name), FieldInfo):
            raise SignatureError(
                f"Field `{name}` of `{owner}` says neither input nor output: "
                f"write `{name}: ... = InputField()` or `{name}: ... = OutputField()`.",
                field=name,
            )
        if name == "model_config" or (name.startswith("model_") and hasattr(BaseModel, name)):
            raise SignatureError(f"`{owner}.{name}`: pydantic keeps this name for itself.", field=name)


def _labelled(name: str, field: FieldInfo) -> FieldInfo:
    """The field with its label and description in place: "Some Name:" and "${some_name}" unless given."""
    extra = extra_of(field)
    if "prefix" in extra and "desc" in extra:
        return field
    return updated(
        field,
        {
            "prefix": extra.get("prefix", infer_prefix(name) + ":"),
            "desc": extra.get("desc", f"${{{name}}}"),
        },
    )


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
        return _build(cls.__name__, cls.fields, instructions, cls.__module__)

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
        return _build(cls.__name__, fields, cls._kept(), cls.__module__)

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
        return _build(cls.__name__, dict(sides["input"] + sides["output"]), cls._kept(), cls.__module__)

    @classmethod
    def delete(cls, name: str) -> type[Signature]:
        """Without the field; the same when there is no such field."""
        fields = {key: field for key, field in cls.fields.items() if key != name}
        return _build(cls.__name__, fields, cls._kept(), cls.__module__)

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
        return _build(cls.__name__, fields, state["instructions"], cls.__module__)


def _build(
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


def make_signature(
    signature: str | Mapping[str, Any],
    instructions: str | None = None,
    signature_name: str = "StringSignature",
    custom_types: Mapping[str, Any] | None = None,
) -> type[Signature]:
    """A signature class from its string form, or from ``{name: field}`` or ``{name: (type, field)}``.

    Names of types are looked up in `custom_types`, among the builtins, in the caller's frames, in `typing`, in
    pydantic and among dspex's field types. Raises `SignatureError` pointing at what cannot be read.
    """
    fields: dict[str, FieldInfo] = {}
    if isinstance(signature, str):
        inputs, outputs = parse_signature(signature, Scope(custom_types))
        for pairs, make in ((inputs, InputField), (outputs, OutputField)):
            for name, annotation in pairs:
                fields[name] = make()
                fields[name].annotation = annotation
    elif isinstance(signature, Mapping):
        for name, value in signature.items():
            annotation, field = value if isinstance(value, tuple) else (None, value)
            if not isinstance(field, FieldInfo):
                raise SignatureError(
                    f"Field `{name}` must be an InputField() or an OutputField(), not {field!r}.", field=name
                )
            fields[name] = updated(field, {})
            fields[name].annotation = annotation or field.annotation or str
    else:
        raise SignatureError(
            f"A signature is a string, a dict of fields or a Signature class, not {type(signature).__name__}."
        )
    ordered = sorted(fields.items(), key=lambda item: direction_of(item[1], item[0], signature_name))
    return _build(signature_name, dict(ordered), instructions)


def ensure_signature(
    signature: str | type[Signature] | Mapping[str, Any] | None,
    instructions: str | None = None,
    custom_types: Mapping[str, Any] | None = None,
) -> type[Signature]:
    """A signature class of whatever describes one. `instructions` go with a string or a dict only."""
    if isinstance(signature, (str, Mapping)):
        return make_signature(signature, instructions, custom_types=custom_types)
    if not isinstance(signature, SignatureMeta):
        raise SignatureError(f"A signature is a string, a dict of fields or a Signature class, not {signature!r}.")
    if instructions is not None:
        raise ValueError("Instructions go with the string form; use `signature.with_instructions(...)`.")
    return signature


def _reduce(cls: SignatureMeta) -> Any:
    """By name when the class can be imported by it; otherwise by its fields."""
    target: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        target = getattr(target, part, None)
    if target is cls:
        return cls.__qualname__
    fields = {name: parts_of(field) for name, field in cls.__dspex_fields__.items()}
    instructions = None if cls.__dspex_default__ else cls.__dspex_instructions__
    return _restore, (cls.__name__, cls.__module__, instructions, fields)


def _restore(name: str, module: str, instructions: str | None, fields: dict[str, tuple[Any, ...]]) -> type[Signature]:
    return _build(name, {key: made(*parts) for key, parts in fields.items()}, instructions, module)


# pickle's own way for classes made at run time; without it they could not be sent to another process.
copyreg.pickle(cast(Any, SignatureMeta), cast(Any, _reduce))
