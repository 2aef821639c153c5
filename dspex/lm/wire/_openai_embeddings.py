"""OpenAI embeddings, as every compatible server speaks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._types import Usage
from ._openai_chat import usage
from ._reading import read_reply
from ._wire import Source, WireRequest, unexpected

Vectors = list[list[float]]


class OpenAIEmbeddings:
    """`POST /embeddings`."""

    name = "embeddings"

    def build(self, model: str, texts: Sequence[str], params: Mapping[str, Any]) -> WireRequest:
        given = {name: value for name, value in params.items() if value is not None}
        return WireRequest("/embeddings", {"model": model, "input": list(texts), **given})

    def parse(
        self, source: Source, status: int, headers: Mapping[str, str], body: bytes, count: int
    ) -> tuple[Vectors, Usage]:
        """(one vector for each of `count` texts, usage), in the order of the texts."""
        vectors, used = read_reply(source, status, headers, body, _vectors)
        if len(vectors) != count:
            raise unexpected(source, f"{len(vectors)} embeddings for {count} texts", "malformed")
        return vectors, used


def _vectors(source: Source, headers: Mapping[str, str], data: dict[str, Any]) -> tuple[Vectors, Usage]:
    entries = sorted(data["data"], key=lambda entry: entry.get("index", 0))
    return [[float(number) for number in entry["embedding"]] for entry in entries], usage(data.get("usage"))
