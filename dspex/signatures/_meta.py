"""`SignatureMeta`: what makes a class body into a signature, and what a signature class can tell of itself."""

from __future__ import annotations

import inspect
import sys
import warnings
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dspex.signatures._declaration import annotations_of, check_names, default_instructions, labelled
from dspex.signatures._field import constraints_of, direction_of, extra_of
from dspex.signatures._names import type_name

if TYPE_CHECKING:  # for type checkers of programs with signature classes; at run time without pydantic's private module
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

Fields = dict[str, FieldInfo]

_PROPERTIES = frozenset({"fields", "input_fields", "instructions", "output_fields", "signature"})


class SignatureMeta(ModelMetaclass):
    """Reads the declaration once, when the class is made; afterwards a signature does not change.

    Two signatures are equal when instructions, fields, types, labels, descriptions and constraints are.
    """

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> SignatureMeta:
        if bases == (BaseModel,):  # `Signature` itself
            first: Any = super().__new__(mcs, name, bases, namespace, **kwargs)
            first._declare({}, {}, "", True)
            return cast(SignatureMeta, first)
        cls: Any
        annotations = annotations_of(namespace, sys._getframe(1))
        doc = namespace.get("__doc__")
        namespace = {**namespace, "__annotations__": annotations}
        known = {field for base in bases for field in getattr(base, "fields", ())}
        check_names(name, annotations, namespace, known)
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
            field = labelled(field_name, field)
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

    def _is_root(cls) -> bool:
        """True for `Signature`, which declares nothing."""
        return cls.__bases__ == (BaseModel,)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls._is_root():
            from dspex.signatures._make import make_signature

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
        if not isinstance(other, SignatureMeta) or cls._is_root() or other._is_root():
            return False
        # The hash is a cheap first look: ABC caches compare signatures often.
        return cls.__dspex_hash__ == other.__dspex_hash__ and cls._facts() == other._facts()

    def __hash__(cls) -> int:
        # While pydantic makes the class there is no hash of its content yet, and nobody to compare it with.
        own = cls.__dict__.get("__dspex_hash__")
        return own if own is not None else id(cls)

    def __repr__(cls) -> str:
        if cls._is_root():
            return "<class 'dspex.Signature'>"
        lines = [f"    instructions={cls.instructions!r}"]
        for name, field in cls.__dspex_fields__.items():
            extra = extra_of(field)
            kind = "InputField" if name in cls.__dspex_inputs__ else "OutputField"
            options = {"desc": extra["desc"], "prefix": extra["prefix"], **constraints_of(field)}
            shown = ", ".join(f"{key}={value!r}" for key, value in options.items())
            lines.append(f"    {name}: {type_name(field.annotation)} = {kind}({shown})")
        return f"{cls.__name__}({cls.signature}\n" + "\n".join(lines) + "\n)"
