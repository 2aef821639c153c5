"""The cache's disk tier: a store that cannot be read or written costs no call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from dspex.store._errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from dspex.store import CacheStore
    from dspex.system._storage import Storage

__all__ = ["DiskCache"]

R = TypeVar("R")
Use = Literal["read", "written"]

_RETRY_AFTER: Final = 5.0
"""Seconds. An unreachable database may take as long to say so: not every call shall wait for that."""


class DiskCache:
    """The cache's disk tier on a store that is opened by the first look.  Blocks; any thread.

    While the store cannot be read, nothing is found in it; while it cannot be written, what is to be kept is refused
    with the reason.  It is tried again every few seconds. `on_event` is told once when it fails and once when it is
    sound again.
    """

    def __init__(
        self, storage: Storage, on_event: Callable[[Any], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._on_event = on_event
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: dict[Use, StoreError] = {}
        self._again: dict[Use, float] = {}

    @property
    def trouble(self) -> str | None:
        """Why the store cannot be used, if it cannot."""
        for error in tuple(self._failing.values()):
            return str(error)
        return None

    def get(self, key: str) -> bytes | None:
        """The payload, if it is there and can be read."""
        try:
            return self._use("read", lambda tier: tier.get(key))
        except StoreError:
            return None  # told by then; the call is paid for once more, and goes on

    def put_many(self, payloads: Sequence[tuple[str, bytes]]) -> object:
        """Keep them, in one transaction.  Raises StoreError."""
        from dspex.store import CachePut

        return self._use("written", lambda tier: tier.put_many([CachePut(*payload) for payload in payloads]))

    def discard(self, key: str, *, corrupt: bool = False) -> object:
        """Forget it; in a store that cannot be written it stays, and is found corrupt again."""
        try:
            return self._use("written", lambda tier: tier.discard(key, corrupt=corrupt))
        except StoreError:
            return None  # told by then

    def _use(self, use: Use, work: Callable[[CacheStore], R]) -> R:
        if self._failing:
            known = self._too_early(use)
            if known is not None:
                raise known
        try:
            store = self._storage.store
            assert store is not None, "a system that keeps nothing has no disk tier"
            found = work(store.cache)
        except StoreError as error:
            self._failed(use, error)
            raise
        if self._failing:
            self._worked(use)
        return found

    def _too_early(self, use: Use) -> StoreError | None:
        """The last error, until it is time to try again; whom it lets through then tries for all others."""
        with self._lock:
            known = self._failing.get(use)
            if known is not None and self._clock() >= self._again[use]:
                self._again[use] = self._clock() + _RETRY_AFTER
                return None
            return known

    def _failed(self, use: Use, error: StoreError) -> None:
        from dspex.store import StoreDegraded

        with self._lock:
            first = not self._failing
            self._failing[use] = error
            self._again[use] = self._clock() + _RETRY_AFTER
        if first:
            reason = error.reason if isinstance(error, StoreUnavailableError) else type(error).__name__
            self._on_event(StoreDegraded(reason, str(error), 0))

    def _worked(self, use: Use) -> None:
        from dspex.store import StoreRecovered

        with self._lock:
            last = self._failing.pop(use, None) is not None and not self._failing
        if last:
            self._on_event(StoreRecovered(0, 0))
