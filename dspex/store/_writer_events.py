"""What a writer tells: to the one who put a record (Written, Held, Refused), and to the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Written:
    """The record has been committed; `result` is what the table's own method would have returned."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class Held:
    """The disk does not take the record now. It is in memory, and is written when the disk is back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The record can never be written, because of `error`."""

    error: Exception


@dataclass(frozen=True, slots=True)
class StoreDegraded:
    """The disk is full, read-only, locked or gone (`reason`): `pending` records are in memory only."""

    reason: str
    message: str
    pending: int

    def __str__(self) -> str:
        waiting = f"; {self.pending} records wait in memory" if self.pending else ""
        return f"{self.message}{waiting}"


@dataclass(frozen=True, slots=True)
class StoreRecovered:
    """The disk is back: `written` records that had waited are on it. `dropped` cache entries and events are not."""

    written: int
    dropped: int

    def __str__(self) -> str:
        dropped = f", {self.dropped} cache entries and events were given up" if self.dropped else ""
        return f"the store is back; {self.written} records that had waited are written{dropped}"


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """A record was refused for good."""

    error: Exception

    def __str__(self) -> str:
        return f"a record was refused for good: {self.error}"
