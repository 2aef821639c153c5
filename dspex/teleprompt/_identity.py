"""What a run is made of, beside its data and the optimizer's arguments, in a form that is the same in every process.

A journal answers only for the program, metric, models and adapter that wrote it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pydantic

from ._candidate import content_key
from ._code import callable_key, lm_text, object_text, program_key, value_text

if TYPE_CHECKING:
    from dspex.predict import Module

    from ._teleprompter import Teleprompter

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def identity(
    teleprompter: Teleprompter, student: Module, teacher: Module | None, lm: Any, adapter: Any
) -> dict[str, Any]:
    """What is not to change between two sittings of a run, in JSON's values. ``lm`` is the one for predictors without
    one of their own, ``adapter`` the one in force."""
    metric = teleprompter.metric
    return {
        "program": program_key(student),
        "predictors": _signatures(student),
        "teacher": None if teacher is None else program_key(teacher),
        "teacher_predictors": {} if teacher is None else _signatures(teacher),
        "models": {role: lm_text(model) for role, model in models_of(teleprompter, student, teacher, lm).items()},
        "adapter": object_text(adapter),
        "metric": None if metric is None else callable_key(metric),
    }


def models_of(teleprompter: Teleprompter, student: Module, teacher: Module | None, lm: Any) -> dict[str, Any]:
    """The models that a run asks, by what they are asked for."""
    task = teleprompter.task_model if teleprompter.task_model is not None else lm
    taught_by = teleprompter.teacher_settings.get("lm")
    found = _models_in(student, "student", task)
    if teacher is not None:
        found |= _models_in(teacher, "teacher", task if taught_by is None else taught_by)
    elif taught_by is not None:
        found["teacher"] = taught_by
    if "prompt_model" in teleprompter.get_params():
        found["proposals"] = teleprompter.prompt_model if teleprompter.prompt_model is not None else lm
    return found


def _models_in(program: Module, role: str, default: Any) -> dict[str, Any]:
    found = {}
    for name, predictor in program.named_predictors():
        own = getattr(predictor, "lm", None)
        found[role if own is None else f"{role}.{name}"] = default if own is None else own
    return found


def _signatures(program: Module) -> dict[str, Any]:
    return {name: _signature(predictor) for name, predictor in program.named_predictors()}


def _signature(predictor: Any) -> dict[str, Any]:
    signature = predictor.signature
    sides = (signature.input_fields, signature.output_fields)
    return {
        "fields": " -> ".join(", ".join(_field_text(name, field) for name, field in side.items()) for side in sides),
        "form": content_key([[_field_form(name, field) for name, field in side.items()] for side in sides]),
        "config": {name: value_text(value) for name, value in getattr(predictor, "config", {}).items()},
    }


def _field_text(name: str, field: Any) -> str:
    return name if field.annotation is str else f"{name}: {_type_text(field.annotation)}"


def _field_form(name: str, field: Any) -> list[Any]:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    kept = {key: str(extra[key]) for key in sorted(extra) if key in ("desc", "prefix", "format", "constraints")}
    return [name, field.description, kept, _schema(field.annotation), [repr(item) for item in field.metadata]]


def _type_text(annotation: Any) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__qualname__
    return _ADDRESS.sub("", str(annotation)).replace("typing.", "")


def _schema(annotation: Any) -> Any:
    try:
        return pydantic.TypeAdapter(annotation).json_schema()
    except Exception:  # noqa: BLE001  whatever a type of the user's raises: it then has a name and no schema
        return _type_text(annotation)
