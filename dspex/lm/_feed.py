"""A stream on its way from a worker to whoever reads it, on any loop: a chain of replies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from actors import Reply


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers of a streamed reply."""

    status: int
    headers: Mapping[str, str]


class Feed:
    """One writer, one reader, in any two threads. What is put in is not bounded here but by the transport's limit."""

    def __init__(self) -> None:
        self._write: Reply[tuple[Any, Reply[Any]] | None] = Reply()
        self._read = self._write

    def put(self, item: Head | bytes) -> None:
        """Add to the end."""
        following: Reply[Any] = Reply()
        self._write.set((item, following))
        self._write = following

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; with an error, reading on raises it."""
        if error is None:
            self._write.set(None)
        else:
            self._write.set_exception(error)

    async def head(self) -> Head:
        """The first item."""
        entry = await self._read
        assert entry is not None, "a feed begins with its head"
        head: Head = entry[0]
        self._read = entry[1]
        return head

    async def pieces(self) -> AsyncIterator[bytes]:
        """The rest."""
        while (entry := await self._read) is not None:
            item, self._read = entry
            yield item
