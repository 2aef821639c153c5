"""What outlives the process: runs and their journals, results, parameters, the cache on disk, usage, crashes, dead
letters. `Store.open()` is where to begin.

Errors and records are imported at once and cost nothing; whatever needs SQLAlchemy is imported when it is
first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dspex.store._errors import (
    RunExistsError,
    RunLostError,
    RunNotFoundError,
    RunOwnedError,
    StoreBufferFullError,
    StoreCorruptError,
    StoreError,
    StoreUnavailableError,
    StoreURLError,
    StoreValueError,
    StoreVersionError,
)
from dspex.store._location import project_directory, store_url
from dspex.store._owner import Owner
from dspex.store._records import (
    CachePut,
    CacheStats,
    CrashGroup,
    CrashRecord,
    DeadLetter,
    Evaluation,
    JournalAppend,
    JournalEntry,
    NewRun,
    Parameters,
    QuarantinedInput,
    Run,
    RunUpdate,
    SaveParameters,
    StoredEvent,
    UsageRecord,
    UsageTotal,
)
from dspex.store._writer_events import Held, Refused, StoreDegraded, StoreRecovered, WriteRefused, Written

if TYPE_CHECKING:
    from dspex.store._cache import CacheStore
    from dspex.store._crashes import Crashes
    from dspex.store._dead_letters import DeadLetterStore
    from dspex.store._evaluations import Evaluations
    from dspex.store._events import EventLog
    from dspex.store._journal import Journal, RunJournal
    from dspex.store._parameters import ParameterStates
    from dspex.store._quarantine import QuarantineStore
    from dspex.store._runs import Runs
    from dspex.store._store import Store
    from dspex.store._upkeep import Pruned, StoreSize
    from dspex.store._usage import UsageLedger
    from dspex.store._writer import FlushReport, Writer

__all__ = [
    "CachePut",
    "CacheStats",
    "CacheStore",
    "CrashGroup",
    "CrashRecord",
    "Crashes",
    "DeadLetter",
    "DeadLetterStore",
    "Evaluation",
    "Evaluations",
    "EventLog",
    "FlushReport",
    "Held",
    "Journal",
    "JournalAppend",
    "JournalEntry",
    "NewRun",
    "Owner",
    "ParameterStates",
    "Parameters",
    "Pruned",
    "QuarantineStore",
    "QuarantinedInput",
    "Refused",
    "Run",
    "RunExistsError",
    "RunJournal",
    "RunLostError",
    "RunNotFoundError",
    "RunOwnedError",
    "RunUpdate",
    "Runs",
    "SaveParameters",
    "Store",
    "StoreBufferFullError",
    "StoreCorruptError",
    "StoreDegraded",
    "StoreError",
    "StoreRecovered",
    "StoreSize",
    "StoreURLError",
    "StoreUnavailableError",
    "StoreValueError",
    "StoreVersionError",
    "StoredEvent",
    "UsageLedger",
    "UsageRecord",
    "UsageTotal",
    "WriteRefused",
    "Writer",
    "Written",
    "project_directory",
    "store_url",
]

_LAZY = {
    "CacheStore": "_cache",
    "Crashes": "_crashes",
    "DeadLetterStore": "_dead_letters",
    "Evaluations": "_evaluations",
    "EventLog": "_events",
    "Journal": "_journal",
    "RunJournal": "_journal",
    "ParameterStates": "_parameters",
    "QuarantineStore": "_quarantine",
    "Runs": "_runs",
    "Store": "_store",
    "Pruned": "_upkeep",
    "StoreSize": "_upkeep",
    "UsageLedger": "_usage",
    "FlushReport": "_writer",
    "Writer": "_writer",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
