"""A stream as server-sent events, for a web server to pass on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, is_dataclass
from typing import Any

from dspex.primitives import Prediction


async def streaming_response(streamer: AsyncIterator[Any]) -> AsyncIterator[str]:
    """Each item of a `streamify`d call as a `data:` event: a prediction under "prediction",
    everything else as the JSON object that it is. The last event is `[DONE]`.
    """
    async for item in streamer:
        yield f"data: {json.dumps(_event(item), default=str, ensure_ascii=False)}\n\n"
    yield "data: [DONE]\n\n"


def _event(item: Any) -> Any:
    if isinstance(item, Prediction):
        return {"prediction": dict(item.items())}
    if is_dataclass(item) and not isinstance(item, type):
        return asdict(item)
    return item
