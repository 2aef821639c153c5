"""What a class body declares: the annotations of its fields, their names, labels and descriptions."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dspex._errors import SignatureError
from dspex.signatures._field import extra_of, updated
from dspex.signatures._names import infer_prefix


def default_instructions(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """What a signature says that says nothing: which fields are given, and which are wanted."""

    def names(fields: Mapping[str, Any]) -> str:
        return ", ".join(f"`{name}`" for name in fields)

    if not inputs:
        return f"Produce the fields {names(outputs)}."
    return f"Given the fields {names(inputs)}, produce the fields {names(outputs)}."


def annotations_of(namespace: dict[str, Any], frame: types.FrameType) -> dict[str, Any]:
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


def check_names(owner: str, annotations: dict[str, Any], namespace: dict[str, Any], known: set[str]) -> None:
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


def labelled(name: str, field: FieldInfo) -> FieldInfo:
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
