"""What a program takes and gives, as pydantic models: from signatures, else from `forward`'s parameters.  Pure."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from dspex.serve._problems import Problem

__all__ = ["Interface", "jsonable"]

_MODEL = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())


@dataclass(frozen=True, slots=True)
class Interface:
    """The fields of one program: what a request must have, and what an answer has."""

    name: str
    description: str
    inputs: type[BaseModel]
    outputs: type[BaseModel]

    @classmethod
    def of(cls, name: str, program: Any) -> Interface:
        """That of a program: the fields of its signature; or, for one made of several predictors, the parameters of its
        `forward`, and the outputs of its predictors, which it may give or not."""
        signature = _signature_of(program)
        title = "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
        if signature is not None:
            description = signature.instructions
            inputs = {key: (info.annotation, _described(info)) for key, info in signature.input_fields.items()}
            outputs = {key: (info.annotation, _described(info)) for key, info in signature.output_fields.items()}
            extra: Any = "forbid"
        else:
            description = inspect.getdoc(type(program)) or ""
            inputs, outputs, extra = _parameters(program), _possible_outputs(program), "allow"
        out = ConfigDict(**{**_MODEL, "extra": extra})
        return cls(
            name,
            description,
            create_model(f"{title}Inputs", __config__=_MODEL, **inputs),  # type: ignore[call-overload]
            create_model(f"{title}Outputs", __config__=out, **outputs),  # type: ignore[call-overload]
        )

    def read(self, body: bytes) -> dict[str, Any] | Problem:
        """The inputs of a call, of the types that the signature says; or what is wrong, by field."""
        try:
            given = self.inputs.model_validate_json(body)
        except ValidationError as error:
            return _invalid(error)
        return {name: getattr(given, name) for name in type(given).model_fields if name in given.model_fields_set}


def _invalid(error: ValidationError) -> Problem:
    fields: dict[str, str] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        if each["type"] == "json_invalid" or not each["loc"]:
            return Problem(400, "bad_json", f"The body must be a JSON object: {each['msg']}")
        fields.setdefault(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, "))
    return Problem(422, "invalid", f"These fields cannot be used: {', '.join(fields)}", fields)


def _signature_of(program: Any) -> Any:
    """The program's own signature, or that of its only predictor if it takes what `forward` does."""
    own = getattr(program, "signature", None)
    if own is not None and hasattr(own, "input_fields"):
        return own
    predictors = program.predictors()
    if len(predictors) != 1:
        return None
    signature = predictors[0].signature
    names = _named_parameters(program)
    return signature if not names or set(names) == set(signature.input_fields) else None


def _named_parameters(program: Any) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(_forward(program)).parameters
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: each for name, each in parameters.items() if each.kind in kinds and name != "timeout"}


def _forward(program: Any) -> Any:
    return getattr(program, "forward", None) or program.aforward


def _parameters(program: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(_forward(program))
    except (NameError, TypeError):
        hints = {}  # annotations of names that exist for type checkers only: taken as they come
    known = {key: info for each in reversed(program.predictors()) for key, info in each.signature.input_fields.items()}
    found: dict[str, Any] = {}
    for name, parameter in _named_parameters(program).items():
        kind = hints.get(name, known[name].annotation if name in known else Any)
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        found[name] = (kind, Field(default=default, description=_words(known.get(name))))
    return found


def _possible_outputs(program: Any) -> dict[str, Any]:
    return {
        key: (
            info.annotation | None if isinstance(info.annotation, type) else Any,
            Field(None, description=_words(info)),
        )
        for each in program.predictors()
        for key, info in each.signature.output_fields.items()
    }


def _words(info: FieldInfo | None) -> str | None:
    extra = getattr(info, "json_schema_extra", None)
    desc = extra.get("desc") if isinstance(extra, dict) else None
    # A description that only repeats the name, as fields without one have it, says nothing.
    return str(desc) if desc and not str(desc).startswith("${") else None


def _described(info: FieldInfo) -> FieldInfo:
    """The field without what only prompts need."""
    made = FieldInfo.merge_field_infos(info, description=_words(info))
    made.json_schema_extra = None
    return made


def jsonable(value: Any) -> Any:
    """A prediction as JSON values."""
    if hasattr(value, "toDict"):
        value = value.toDict()
    return to_jsonable_python(value, serialize_unknown=True)
