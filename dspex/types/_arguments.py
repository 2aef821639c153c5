"""A function's arguments as JSON schemas, and the check of what a model gives for them."""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType, SimpleNamespace
from typing import Any, NotRequired, Required

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from dspex._errors import ToolError

_JSON_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}

_SPHINX = re.compile(r"^\s*:param\s+(?:[^:]*\s)?(\w+):\s*(.+)$", re.MULTILINE)
_GOOGLE_HEAD = re.compile(r"^\s*(?:Args|Arguments|Parameters):\s*$")
_GOOGLE_LINE = re.compile(r"^\s+\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def described(docstring: str | None) -> dict[str, str]:
    """What a docstring says of each argument: Google's "Args:" block, or Sphinx's ":param x:" lines."""
    text = inspect.cleandoc(docstring or "")
    found = {name: words.strip() for name, words in _SPHINX.findall(text)}
    block = False
    last: str | None = None
    indent = 0
    for line in text.splitlines():
        if _GOOGLE_HEAD.match(line):
            block, last = True, None
            continue
        if not block:
            continue
        if line.strip() and not line[0].isspace():
            block = False
            continue
        depth = len(line) - len(line.lstrip())
        match = _GOOGLE_LINE.match(line)
        if match and (last is None or depth <= indent):
            last, indent = match.group(1), depth
            found[last] = match.group(2).strip()
        elif last is not None and line.strip():
            found[last] = f"{found[last]} {line.strip()}".strip()
    return found


def inlined(schema: Any, definitions: Mapping[str, Any], path: tuple[str, ...] = ()) -> Any:
    """The schema with its references replaced by what they refer to; one that contains itself ends as an object."""
    if isinstance(schema, list):
        return [inlined(item, definitions, path) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if name in path or name not in definitions:
            return {"type": "object", **rest}
        return {**inlined(definitions[name], definitions, (*path, name)), **rest}
    return {key: inlined(value, definitions, path) for key, value in schema.items() if key != "$defs"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """Name to JSON schema, type and whether it must be given; `open` takes others too (``**kwargs``)."""

    schemas: dict[str, Any]
    types: dict[str, Any]
    required: tuple[str, ...]
    open: bool
    _check: TypeAdapter[Any]

    def check(self, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, cast to their types. Raises `ToolError` naming each that does not fit."""
        try:
            checked: dict[str, Any] = self._check.validate_python(dict(given))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in error.errors()
            )
            takes = ", ".join(self.types) or "no arguments"
            raise ToolError(
                f"The arguments do not fit the tool `{tool}` ({problems}). It takes: {takes}.", tool=tool
            ) from error
        return checked


def of_function(
    function: Callable[..., Any],
    tool: str,
    schemas: Mapping[str, Any] | None = None,
    arg_types: Mapping[str, Any] | None = None,
    descriptions: Mapping[str, str] | None = None,
) -> Arguments:
    """The arguments of a function, by its signature, hints and docstring; what is given explicitly wins."""
    target = function if inspect.isroutine(function) else type(function).__call__
    hints = _hints(target, tool, arg_types or {})
    parameters = [parameter for name, parameter in inspect.signature(function).parameters.items() if name != "self"]
    said = {**described(getattr(target, "__doc__", None)), **(descriptions or {})}
    types: dict[str, Any] = {}
    required: list[str] = []
    defaults: dict[str, Any] = {}
    open_ = False
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            open_ = True
        elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            types[parameter.name] = hints.get(parameter.name, Any)
            if parameter.default is inspect.Parameter.empty:
                required.append(parameter.name)
            else:
                defaults[parameter.name] = parameter.default
    for name, schema in (schemas or {}).items():
        if name not in types:
            types[name] = _JSON_TYPES.get(str(schema.get("type")), Any) if isinstance(schema, dict) else Any
    types.update(arg_types or {})
    made = {**{name: _schema(name, hint, tool) for name, hint in types.items()}, **(schemas or {})}
    for name, schema in made.items():
        extra: dict[str, Any] = {}
        if name in defaults and _is_json(defaults[name]) and "default" not in schema:
            extra["default"] = defaults[name]
        if name in said and "description" not in schema:
            extra["description"] = said[name]
        made[name] = {**schema, **extra}
    if schemas is not None:
        made = {name: made[name] for name in (*schemas, *(n for n in made if n not in schemas)) if name in made}
    return Arguments(made, types, tuple(required), open_, _checker(tool, types, required, open_))


def _hints(target: Any, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The hints of the arguments as types. Names are also looked up where the tool is made: a hint may be local."""
    try:
        return typing.get_type_hints(target, include_extras=True)
    except NameError:
        pass
    hints: dict[str, Any] = {}
    for name, hint in target.__annotations__.items():
        if name in given or name == "return":
            continue
        holder = SimpleNamespace(__annotations__={name: hint})
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and name not in hints:
            try:
                hints |= typing.get_type_hints(
                    holder, getattr(target, "__globals__", {}), dict(frame.f_locals), include_extras=True
                )
            except NameError:
                frame = frame.f_back
        if name not in hints:
            raise ToolError(
                f"The hint of the argument `{name}` of the tool `{tool}`, {hint!r}, names something that is not "
                f"defined here: give the type with arg_types={{{name!r}: ...}}.",
                tool=tool,
            )
    return hints


def _checker(tool: str, types: Mapping[str, Any], required: list[str], open_: bool) -> TypeAdapter[Any]:
    # A TypedDict and not a model: its keys may have any name.
    fields = {name: (Required[hint] if name in required else NotRequired[hint]) for name, hint in types.items()}
    made = TypedDict("Arguments", fields)  # type: ignore[misc]
    made.__pydantic_config__ = ConfigDict(  # type: ignore[attr-defined]
        extra="allow" if open_ else "forbid", arbitrary_types_allowed=True
    )
    try:
        return TypeAdapter(made)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ToolError(f"The arguments of the tool `{tool}` cannot be checked: {error}", tool=tool) from error


def _schema(name: str, hint: Any, tool: str) -> dict[str, Any]:
    if hint is Any:
        return {}
    try:
        schema = TypeAdapter(hint, config=_config_for(hint)).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ToolError(
            f"The argument `{name}` of the tool `{tool}` has a type that JSON cannot express ({hint!r}): "
            "give its schema with args={...}, or wrap the function.",
            tool=tool,
        ) from error
    found = inlined(schema, schema.get("$defs", {}))
    found.pop("title", None)
    return dict(found)


def _config_for(hint: Any) -> ConfigDict | None:
    # Types with a configuration of their own refuse another one.
    plain = isinstance(hint, type) and (hasattr(hint, "model_config") or hasattr(hint, "__pydantic_config__"))
    return None if plain else ConfigDict(arbitrary_types_allowed=False)


def _is_json(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))
