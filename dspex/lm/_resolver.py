"""Name lookup with a short memory: one getaddrinfo per host at a time, its answer kept for a minute."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from dspex._errors import LMTransportError

TTL = 60.0


class Resolver:
    """Host names to addresses, for one event loop. The system's lookup runs in a thread: it blocks."""

    def __init__(self, ttl: float = TTL) -> None:
        self._ttl = ttl
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._pending: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of `host` in the system's order of preference. LMTransportError(code="dns") if it has none."""
        try:
            ipaddress.ip_address(host)
            return [host]
        except ValueError:
            key = (host, port)
        loop = asyncio.get_running_loop()
        known = self._known.get(key)
        if known is not None and known[0] > loop.time():
            return known[1]
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = loop.create_task(self._lookup(host, port))
            task.add_done_callback(lambda done: self._done(key, done))
        # A caller who gives up must not end the lookup for the others.
        addresses = await asyncio.shield(task)
        self._known[key] = (loop.time() + self._ttl, addresses)
        return addresses

    def forget(self, host: str, port: int) -> None:
        """Look `host` up again next time: none of its addresses answered."""
        self._known.pop((host, port), None)

    def _done(self, key: tuple[str, int], task: asyncio.Task[list[str]]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieved here too: everyone who waited for it may have given up

    @staticmethod
    async def _lookup(host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise LMTransportError(f"the host name {host!r} cannot be resolved: {error}", code="dns") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
