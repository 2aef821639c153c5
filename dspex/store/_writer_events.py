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


@dataclass(frozen=True, slots=True)
class StoreRecovered:
    """The disk is back: `written` records that had waited are on it. `dropped` cache entries and events are not."""

    written: int
    dropped: int


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """A record was refused for good."""

    error: Exception
