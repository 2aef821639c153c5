"""The OpenAPI description of the programs of a service.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from dspex.serve._interface import Interface

__all__ = ["describe"]

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "fields": {"type": "object", "additionalProperties": {"type": "string"}},
                "retry_after": {"type": "number"},
            },
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
}
_ANSWERS = {
    "400": "The body is no JSON object.",
    "413": "The body, or the prompt, is too long.",
    "422": "Fields are missing, unknown, or of the wrong type.",
    "500": "The program failed.",
    "502": "The language model failed, or its answer could not be read.",
    "503": "The program, or its language model, takes no calls now.",
    "504": "It took too long.",
}
_STREAM = "With `Accept: text/event-stream`: events `chunk`, then one `prediction` or `error`."


def describe(interfaces: Iterable[Interface], title: str, version: str) -> dict[str, Any]:
    """The document that /openapi.json has."""
    known = list(interfaces)
    wanted = [pair for each in known for pair in ((each.inputs, "validation"), (each.outputs, "serialization"))]
    schemas, definitions = models_json_schema(wanted, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    components = {"Error": _ERROR, **definitions.get("$defs", {})}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    problems = {status: {"description": words, "content": error} for status, words in _ANSWERS.items()}
    paths: dict[str, Any] = {}
    for each in known:
        taken = schemas[each.inputs, "validation"]
        given = schemas[each.outputs, "serialization"]
        content = {"application/json": {"schema": given}, "text/event-stream": {"schema": {"type": "string"}}}
        paths[f"/{each.name}"] = {
            "post": {
                "operationId": each.name,
                "summary": each.description.strip().split("\n")[0],
                "description": f"{each.description}\n\n{_STREAM}".strip(),
                "requestBody": {"required": True, "content": {"application/json": {"schema": taken}}},
                "responses": {"200": {"description": "The outputs.", "content": content}, **problems},
            }
        }
    for path, words in (("/livez", "Restarting would not help."), ("/readyz", "It can do its work now.")):
        answers = {"200": {"description": words}, "503": {"description": "It is not so; the body says why."}}
        paths[path] = {"get": {"summary": words, "responses": answers}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }
