"""What a database error means: come back later, the file is broken, or a defect of ours.

Codes: https://www.sqlite.org/rescode.html and PostgreSQL's appendix A, "Error Codes".
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, TimeoutError

from dspex.store._errors import StoreCorruptError, StoreError, StoreUnavailableError

_SQLITE = {5: "locked", 6: "locked", 8: "read_only", 10: "io", 13: "full", 14: "cannot_open", 23: "read_only"}
_SQLITE_CORRUPT = (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB

_POSTGRES = {
    "25006": "read_only",
    "53100": "full",
    "53200": "full",
    "53300": "disconnected",
    "55P03": "locked",
    "58030": "io",
    "57P01": "disconnected",
    "57P02": "disconnected",
    "57P03": "disconnected",
}
_POSTGRES_CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock: the same transaction again

_ADVICE = {
    "full": "the disk is full: make room (`dspex store prune`, `dspex store vacuum`)",
    "read_only": "it cannot be written: check the permissions and the mount, or set DSPEX_STORE to another place",
    "locked": "another process holds its write lock: find it (`fuser FILE`), or wait",
    "io": "the disk reports an error: check the disk and the free space",
    "cannot_open": "it cannot be opened: check the path and the permissions, or set DSPEX_STORE to another place",
    "disconnected": "the server does not answer: check that it runs and that the URL is right",
}


def conflicts(error: DBAPIError) -> bool:
    """True when the transaction lost against another one and may simply be run again."""
    return getattr(error.orig, "sqlstate", None) in _POSTGRES_CONFLICTS


def translate(error: DBAPIError | TimeoutError, url: str) -> StoreError | None:
    """The store's own error for `error`; None when it is neither weather nor damage but a defect."""
    if isinstance(error, TimeoutError):
        return StoreUnavailableError(
            f"store {url}: all of its connections were busy for too long", reason="locked", url=url
        )
    original = error.orig
    code = getattr(original, "sqlite_errorcode", None)
    if code is not None:
        if code & 0xFF in _SQLITE_CORRUPT:
            return _corrupt(str(original), url)
        reason = _SQLITE.get(code & 0xFF)
    else:
        state = getattr(original, "sqlstate", None)
        reason = _POSTGRES.get(state or "")
        if reason is None and (error.connection_invalidated or (state or "").startswith("08")):
            reason = "disconnected"
        if reason is None and state is None and type(original).__name__ == "OperationalError":
            reason = "disconnected"  # psycopg gives no SQLSTATE when it never reached the server
    if reason is None:
        return None
    return StoreUnavailableError(f"store {url}: {_ADVICE[reason]} ({original})", reason=reason, url=url)


def _corrupt(detail: str, url: str) -> StoreCorruptError:
    path = url.removeprefix("sqlite:///")
    return StoreCorruptError(
        f"the store {path} is damaged or is no SQLite database ({detail}). Its readable part can be saved with"
        f" `sqlite3 {path} .recover | sqlite3 saved.db`; then move {path} away together with {path}-wal and"
        f" {path}-shm, and dspex starts a new one. DSPEX_STORE names another place.",
        url=url,
    )
