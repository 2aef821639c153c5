"""`InputField` and `OutputField`: pydantic fields that know their direction, description and label."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dspex._errors import SignatureError

Direction = Literal["input", "output"]

DIRECTION = "__dspy_field_type"
"""Where `json_schema_extra` keeps the direction; DSPy's key, because programs look for it."""

_OURS = ("desc", "prefix", "format", "parser")

_LIMITS = (
    ("gt", "more than {}"),
    ("ge", "at least {}"),
    ("lt", "less than {}"),
    ("le", "at most {}"),
    ("multiple_of", "a multiple of {}"),
    ("min_length", "a length of at least {}"),
    ("max_length", "a length of at most {}"),
    ("pattern", "matching the pattern {}"),
    ("max_digits", "at most {} digits"),
    ("decimal_places", "at most {} decimal places"),
)


def _field(direction: Direction, default: Any, options: dict[str, Any]) -> Any:
    extra: dict[str, Any] = {DIRECTION: direction}
    given = options.pop("json_schema_extra", None)
    if given:
        extra.update(given)
    for name in _OURS:
        if options.get(name) is not None:
            extra[name] = options[name]
        options.pop(name, None)
    if "desc" not in extra and options.get("description"):
        extra["desc"] = options["description"]
    if default is not PydanticUndefined:
        options["default"] = default
    return Field(json_schema_extra=extra, **options)


def InputField(default: Any = PydanticUndefined, **options: Any) -> Any:
    """A field that the program is given.

    `desc` says what it holds, `prefix` is its label in plain prompts; everything else is pydantic's: constraints
    (`gt`, `le`, `max_length`...) become prompt text.
    """
    return _field("input", default, options)


def OutputField(default: Any = PydanticUndefined, **options: Any) -> Any:
    """A field that the model produces. Options as for `InputField`; constraints are also checked on its replies."""
    return _field("output", default, options)


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """What `InputField` or `OutputField` noted on the field."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def direction_of(field: FieldInfo, name: str, owner: str) -> Direction:
    """ "input" or "output"; a `SignatureError` when the field was not made by InputField or OutputField."""
    direction = extra_of(field).get(DIRECTION)
    if direction == "input":
        return "input"
    if direction == "output":
        return "output"
    raise SignatureError(
        f"Field `{name}` of `{owner}` says neither input nor output: "
        f"write `{name}: ... = InputField()` or `{name}: ... = OutputField()`.",
        field=name,
    )


def constraints_of(field: FieldInfo) -> dict[str, Any]:
    """The field's limits by pydantic's names, from its arguments and from `Annotated` metadata alike."""
    limits: dict[str, Any] = {}
    for item in field.metadata:
        for name, _ in _LIMITS:
            value = getattr(item, name, None)
            if value is not None and not callable(value):
                limits[name] = value
    return limits


def constraint_text(field: FieldInfo) -> str:
    """The limits in words for the prompt: "at least 0, at most 10"; empty when there are none."""
    limits = constraints_of(field)
    return ", ".join(text.format(limits[name]) for name, text in _LIMITS if name in limits)


def updated(field: FieldInfo, options: dict[str, Any]) -> FieldInfo:
    """A copy of `field` with these options (desc, prefix, or any of pydantic's) changed."""
    extra = {**extra_of(field), **(options.get("json_schema_extra") or {})}
    for name in _OURS:
        if name in options:
            extra[name] = options[name]
    rest = {k: v for k, v in options.items() if k not in _OURS and k != "json_schema_extra"}
    change: FieldInfo = Field(**rest)
    replaced = {type(item) for item in change.metadata}
    return made(
        field.annotation,
        extra,
        [*(item for item in field.metadata if type(item) not in replaced), *change.metadata],
        default=rest.get("default", field.default),
        default_factory=None if "default" in rest else field.default_factory,
        description=rest.get("description", field.description),
    )


def made(
    annotation: Any,
    extra: dict[str, Any],
    metadata: list[Any],
    default: Any = PydanticUndefined,
    default_factory: Any = None,
    description: str | None = None,
) -> FieldInfo:
    """A field of its parts. Given to the constructor, because pydantic forgets attributes that are set later."""
    given: dict[str, Any] = {"json_schema_extra": extra}
    if annotation is not None:
        given["annotation"] = annotation
    if default is not PydanticUndefined:
        given["default"] = default
    if default_factory is not None:
        given["default_factory"] = default_factory
    if description is not None:
        given["description"] = description
    field = FieldInfo(**given)
    field.metadata = list(metadata)
    return field


def parts_of(field: FieldInfo) -> tuple[Any, ...]:
    """What `made` makes an equal field of."""
    return (
        field.annotation,
        extra_of(field),
        field.metadata,
        field.default,
        field.default_factory,
        field.description,
    )
