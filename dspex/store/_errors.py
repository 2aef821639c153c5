"""The store's error tree. Every error says what to do next."""

from __future__ import annotations

from typing import Any

from dspex._errors import DspexError


class StoreError(DspexError):
    """Root of all that the store raises on purpose."""


class StoreURLError(StoreError):
    """The given URL or path names no store that dspex can open."""

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class StoreUnavailableError(StoreError):
    """The store cannot be read or written *now*; the same call may succeed later.

    `reason` is one of full, read_only, locked, io, cannot_open, disconnected.
    """

    def __init__(self, message: str, *, reason: str, url: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.url = url


class StoreCorruptError(StoreError):
    """The database file is damaged, or is no SQLite database at all."""

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url


class StoreVersionError(StoreError):
    """The store was written by a newer dspex than this one."""

    def __init__(self, *, url: str, found: int, known: int) -> None:
        super().__init__(
            f"the store {url} has schema version {found}, this dspex knows versions up to {known}: "
            "upgrade dspex, or point DSPEX_STORE at another file"
        )
        self.url = url
        self.found = found
        self.known = known


class StoreValueError(StoreError, ValueError):
    """A value that cannot be stored; nothing was written."""


class StoreBufferFullError(StoreError):
    """The writer's memory is full of results that the disk would not take. Nothing was dropped: stop
    producing, make room on the disk, flush, and go on."""

    def __init__(self, message: str, *, pending: int, capacity: int) -> None:
        super().__init__(message)
        self.pending = pending
        self.capacity = capacity


class RunNotFoundError(StoreError):
    """No run of that id is in the store."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no run {run_id!r} in the store; `dspex runs` lists those that are")
        self.run_id = run_id


class RunExistsError(StoreError):
    """A run of that id is there already, with another kind, program, configuration, seed or data."""

    def __init__(self, run_id: str, differs: tuple[str, ...] = ()) -> None:
        what = f" with a different {', '.join(differs)}" if differs else ""
        super().__init__(f"run {run_id!r} exists already{what}: resume it as it was, or choose another run_id")
        self.run_id = run_id
        self.differs = differs


class RunOwnedError(StoreError):
    """Another living process works on that run."""

    def __init__(self, run_id: str, owner: Any) -> None:
        super().__init__(
            f"run {run_id!r} is being worked on by {owner}; wait for it, stop it, or choose another run_id"
        )
        self.run_id = run_id
        self.owner = owner


class RunLostError(StoreError):
    """The caller no longer owns the run: its lease ran out and another process took it over.

    The write was refused, so two owners can never both continue one journal.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} was taken over by another process; stop working on it here")
        self.run_id = run_id
