"""Signatures made at run time: of strings and dicts, and of what a pickle has of them."""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Mapping
from typing import Any, cast

from pydantic.fields import FieldInfo

from dspex._errors import SignatureError
from dspex.signatures._field import InputField, OutputField, direction_of, made, parts_of, updated
from dspex.signatures._meta import SignatureMeta
from dspex.signatures._parser import parse_signature
from dspex.signatures._scope import Scope
from dspex.signatures._signature import Signature, build


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
    return build(signature_name, dict(ordered), instructions)


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
    return build(name, {key: made(*parts) for key, parts in fields.items()}, instructions, module)


# pickle's own way for classes made at run time; without it they could not be sent to another process.
copyreg.pickle(cast(Any, SignatureMeta), cast(Any, _reduce))
