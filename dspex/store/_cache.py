"""The disk tier of the cache: bytes under a key, with a time to live and a bound on their sum.

What was used longest ago goes first. An entry whose checksum does not fit is dropped and counted, never returned.
Hits are remembered here and written when the cache is next tidied, since a read must not become a write. Puts are
not synced: after a loss of power the last answers may be gone, which costs only money.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from dspex.store._codec import identifier
from dspex.store._database import Database
from dspex.store._errors import StoreUnavailableError
from dspex.store._records import CachePut, CacheStats
from dspex.store._schema import cache

_columns = cache.c
_TOUCHED_AT_MOST = 10_000
_REFILL = 0.9  # eviction frees a tenth, so that it happens rarely

_get = select(_columns.payload, _columns.crc, _columns.expires).where(_columns.key == bindparam("wanted"))
_touch = (
    update(cache)
    .where(_columns.key == bindparam("touched_key"))
    .values(hits=_columns.hits + bindparam("more"), used=bindparam("touched"))
)


class CacheStore:
    """The cache of a store. `limit_bytes` bounds the payloads' sum (None: no bound), `ttl` is in seconds (None: for
    ever). Several processes may share it; each bounds the whole."""

    def __init__(self, database: Database, *, limit_bytes: int | None = None, ttl: float | None = None) -> None:
        self._db = database
        self.limit_bytes = limit_bytes
        self.ttl = ttl
        self._lock = threading.Lock()
        self._touched: dict[str, tuple[int, float]] = {}
        self._estimate: int | None = None  # of the sum of sizes; exact when just counted
        self._unchecked = 0  # bytes put since it was counted
        self._hits = self._misses = self._corrupt = self._evicted = self._expired = self._refused = 0

    def get(self, key: str) -> bytes | None:
        """The payload, or None when there is none, it is too old, or it is damaged."""
        row = self._db.read(lambda connection: connection.execute(_get, {"wanted": key}).first())
        now = self._db.clock()
        if row is None or (row.expires is not None and row.expires <= now):
            with self._lock:
                self._misses += 1
            return None
        payload = bytes(row.payload)
        if zlib.crc32(payload) != row.crc:
            self.discard(key, corrupt=True)
            with self._lock:
                self._misses += 1
            return None
        with self._lock:
            self._hits += 1
            hits = self._touched.pop(key, (0, 0.0))[0]
            self._touched[key] = (hits + 1, now)
            if len(self._touched) > _TOUCHED_AT_MOST:
                del self._touched[next(iter(self._touched))]
        return payload

    def put(self, key: str, payload: bytes, *, ttl: float | None = None) -> bool:
        """Keep `payload`; an entry under that key is replaced. False when it was refused: it alone is larger than the
        bound, or it holds a concealed secret."""
        return self.put_many([CachePut(key, payload, ttl)])[0]

    def put_many(self, puts: Sequence[CachePut]) -> list[bool]:
        """Keep several payloads in one transaction."""
        rows = [self.encode(put) for put in puts]
        return self._db.write(lambda connection: self.write(connection, rows), durable=False)

    def discard(self, key: str, *, corrupt: bool = False) -> bool:
        """Remove an entry; `corrupt` counts it as damaged (its reader could not make sense of it)."""
        if corrupt:
            with self._lock:
                self._corrupt += 1
        gone = delete(cache).where(_columns.key == key)
        try:
            return bool(self._db.write(lambda connection: connection.execute(gone).rowcount, durable=False))
        except StoreUnavailableError:
            if corrupt:
                return False  # a damaged entry on a disk that cannot be written is a miss, no more
            raise

    def clear(self) -> int:
        """Remove everything; returns how many entries there were."""
        count = self._db.write(lambda connection: connection.execute(delete(cache)).rowcount, durable=False)
        with self._lock:
            self._touched.clear()
            self._estimate = None
        return count

    def evict(self) -> int:
        """Write the pending hits, remove what is too old, and what exceeds the bound. Returns how many entries went.
        Puts do this by themselves when it is due."""
        return self._db.write(self._evict, durable=False)

    def stats(self) -> CacheStats:
        """Counts and sizes as they are now."""
        query = select(func.count(), func.coalesce(func.sum(_columns.size), 0))
        entries, size = self._db.read(lambda connection: connection.execute(query).one())
        with self._lock:
            return CacheStats(
                int(entries),
                int(size),
                self.limit_bytes,
                self._hits,
                self._misses,
                self._corrupt,
                self._evicted,
                self._expired,
                self._refused,
            )

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, put: CachePut) -> dict[str, Any]:
        payload = bytes(put.payload)
        now = self._db.clock()
        ttl = self.ttl if put.ttl is None else put.ttl
        return {
            "key": identifier(put.key, "cache key"),
            "size": len(payload),
            "created": now,
            "expires": None if ttl is None else now + ttl,
            "used": now,
            "hits": 0,
            "crc": zlib.crc32(payload),
            "payload": payload,
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> list[bool]:
        accepted = [self._accepts(row) for row in rows]
        # The last put of a key wins; one order for all processes, or two could wait for each other.
        last = {row["key"]: row for row, fits in zip(rows, accepted, strict=True) if fits}
        if last:
            insert = self._db.insert(cache)
            names = [column.name for column in cache.columns if column.name != "key"]
            upsert = insert.on_conflict_do_update(
                index_elements=["key"], set_={name: insert.excluded[name] for name in names}
            )
            connection.execute(upsert, [last[key] for key in sorted(last)])
        size = sum(row["size"] for row in last.values())
        with self._lock:
            self._refused += accepted.count(False)
            self._unchecked += size
            if self._estimate is not None:
                self._estimate += size
            due = self.limit_bytes is not None and (
                self._estimate is None
                or self._estimate > self.limit_bytes
                # Other processes put as well: count again from time to time.
                or self._unchecked > self.limit_bytes // 20
            )
        if due:
            self._evict(connection)
        return accepted

    def _accepts(self, row: dict[str, Any]) -> bool:
        fits = self.limit_bytes is None or row["size"] <= self.limit_bytes
        return fits and not self._db.codec.reveals(row["payload"])

    def _evict(self, connection: Connection) -> int:
        with self._lock:
            touched, self._touched = self._touched, {}
        if touched:
            rows = [
                {"touched_key": key, "more": hits, "touched": used} for key, (hits, used) in sorted(touched.items())
            ]
            connection.execute(_touch, rows)
        now = self._db.clock()
        expired = connection.execute(delete(cache).where(_columns.expires <= now)).rowcount
        total = int(connection.execute(select(func.coalesce(func.sum(_columns.size), 0))).scalar_one())
        evicted = 0
        if self.limit_bytes is not None and total > self.limit_bytes:
            # The newest first, summed up; what lies beyond nine tenths of the bound goes, but never the newest itself.
            running = func.sum(_columns.size).over(order_by=(_columns.used.desc(), _columns.key))
            ranked = select(_columns.key, _columns.size, running.label("kept")).subquery()
            beyond = select(ranked.c.key).where(
                ranked.c.kept > int(self.limit_bytes * _REFILL), ranked.c.kept > ranked.c.size
            )
            evicted = connection.execute(delete(cache).where(_columns.key.in_(beyond))).rowcount
            total = int(connection.execute(select(func.coalesce(func.sum(_columns.size), 0))).scalar_one())
        with self._lock:
            self._estimate = total
            self._unchecked = 0
            self._expired += expired
            self._evicted += evicted
        return expired + evicted
