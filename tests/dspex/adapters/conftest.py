"""A language model that answers what the test says, and keeps the requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dspex._settings import settings
from dspex.lm._types import LMOutput, LMRequest, LMResponse


class ScriptedLM:
    """Answers its `replies` in order: texts, outputs, lists of them (one request, n outputs), or errors."""

    def __init__(self, *replies: Any, **capabilities: Any) -> None:
        self.replies = list(replies)
        self.requests: list[LMRequest] = []
        self.model = "scripted"
        self.model_type = capabilities.pop("model_type", "chat")
        self.kwargs: dict[str, Any] = capabilities.pop("kwargs", {})
        for name in ("response_schema", "function_calling", "grammar", "reasoning"):
            setattr(self, f"supports_{name}", capabilities.pop(name, False))
        assert not capabilities

    async def arespond(self, request: LMRequest) -> LMResponse:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        outputs = reply if isinstance(reply, list) else [reply]
        return LMResponse([LMOutput(item) if isinstance(item, str) else item for item in outputs])


@pytest.fixture
def scripted() -> Callable[..., ScriptedLM]:
    return ScriptedLM


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    settings.reset()
    yield
    settings.reset()
