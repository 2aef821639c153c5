"""What a run has done, kept so that it need not be done again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """``kind``: "score", "trace", "propose" (work that was paid for) or a decision's. ``key`` is unique in its run."""

    kind: str
    key: str
    payload: Any


class Journal(Protocol):
    """An append-only record. ``append`` of a key that is there already changes nothing; ``replay`` gives the entries
    in the order of their first appends. What ``replay`` gives after a crash is a prefix of what was appended."""

    def append(self, kind: str, key: str, payload: Any) -> None: ...

    def replay(self) -> Iterator[Entry]: ...


class MemoryJournal:
    """A journal that lives as long as the process."""

    def __init__(self, entries: tuple[Entry, ...] = ()) -> None:
        self._entries = {entry.key: entry for entry in entries}

    def append(self, kind: str, key: str, payload: Any) -> None:
        self._entries.setdefault(key, Entry(kind, key, payload))

    def replay(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))
