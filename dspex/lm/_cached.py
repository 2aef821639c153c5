"""How the cache knows requests and keeps responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dspex._errors import BudgetExceededError, LMConfigurationError, LMTimeoutError
from dspex.cache import hash_of

from ._types import LMRequest, LMResponse
from .wire import dumps, loads, schema_of

VERSION = 1  # part of every key: a change of what responses hold must not meet old entries


def request_key(request: LMRequest, **endpoint: Any) -> str | None:
    """The key of the whole request and of what tells its endpoint apart. None when a parameter has no JSON form.

    `rollout_id` counts only with a temperature above 0: at temperature 0 another rollout is the same question.
    """
    params = {name: _plain(value) for name, value in request.params.items() if value is not None}
    described: dict[str, Any] = {
        "v": VERSION,
        "endpoint": endpoint,
        "model": request.model,
        "messages": request.messages,
        "prompt": request.prompt,
        "params": params,
    }
    temperature = params.get("temperature")
    if request.rollout_id is not None and isinstance(temperature, (int, float)) and temperature > 0:
        described["rollout_id"] = request.rollout_id
    return hash_of(described)


def _plain(value: Any) -> Any:
    if isinstance(value, type):
        schema = schema_of(value)
        return value if schema is None else {"schema": schema}
    return dict(value) if isinstance(value, Mapping) else value


class ResponseCodec:
    """Responses as JSON."""

    def encode(self, value: LMResponse) -> bytes:
        return dumps(value.to_json())

    def decode(self, payload: bytes) -> LMResponse:
        return LMResponse.from_json(loads(payload)).as_cached()

    def shared(self, value: LMResponse) -> LMResponse:
        return value.as_cached()

    def personal(self, error: BaseException) -> bool:
        if isinstance(error, LMTimeoutError):
            return error.code == "deadline"
        return isinstance(error, (BudgetExceededError, LMConfigurationError))


class VectorCodec:
    """Embeddings as JSON."""

    def encode(self, value: list[float]) -> bytes:
        return dumps(value)

    def decode(self, payload: bytes) -> list[float]:
        value = loads(payload)
        if not isinstance(value, list):
            raise ValueError("an embedding is a list of numbers")
        return [float(number) for number in value]

    def shared(self, value: list[float]) -> list[float]:
        return value

    def personal(self, error: BaseException) -> bool:
        return ResponseCodec().personal(error)
