"""The cache of answers: keys, a memory tier, the disk tier's interface, one flight for identical calls."""

from ._cache import Cache, CacheStats, Codec, DiskTier
from ._flight import SingleFlight
from ._key import hash_of
from ._memory import MemoryTier
from ._writer import CacheWriter, Flush, Keep

__all__ = [
    "Cache",
    "CacheStats",
    "CacheWriter",
    "Codec",
    "DiskTier",
    "Flush",
    "Keep",
    "MemoryTier",
    "SingleFlight",
    "hash_of",
]
