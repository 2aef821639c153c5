"""What a scheduler offers to its LMs: pools and cache. One service per scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from actors import ActorRef, AsyncActor, NameTakenError, Reply, Scheduler, Via
from dspex._errors import LMTransportError
from dspex._main_import import refuse_while_importing_main
from dspex.cache import Cache, CacheWriter, DiskTier, Keep, MemoryTier
from supervision import DynamicSupervisor

from ._cached import ResponseCodec, VectorCodec
from ._collector import collect_seldom
from ._direct import DirectTransport
from ._pool import Pool, PoolOptions
from ._tally import Tally
from ._transport import Transport, default_max_connections

if TYPE_CHECKING:
    import httpx

NAME = "dspex.lm"


@dataclass(frozen=True, slots=True)
class PoolKey:
    """What two LMs must have in common to share a pool, and with it limits, breaker and connections."""

    provider: str
    model: str
    base_url: str
    api_key: str | None
    transport: int | str | None
    proxy: str | None
    options: PoolOptions

    def __repr__(self) -> str:
        return f"PoolKey({self.provider}/{self.model} at {self.base_url})"


class LmService:
    """Pools by key, and the cache, for everything that runs on one scheduler.

    In a system it is a part of the tree (`LmPart`). Without one, the first call on a scheduler makes a plain one
    (`of`), with no disk tier; a system that is started there later takes that one over, with the calls in flight.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        disk: DiskTier | None = None,
        memory: MemoryTier | None = None,
        conceal: Callable[[str], None] | None = None,
    ) -> None:
        """`conceal` is told the keys that are used, so that nothing shows them."""
        self.scheduler = scheduler
        self.tally = Tally()
        self.pools: dict[PoolKey, Pool] = {}
        self.ref: ActorRef[Any] | None = None
        self.supervisor: ActorRef[Any] | None = None
        self.writer: ActorRef[Any] | None = None
        self._conceal = conceal
        self._owned: list[Transport] = []
        tiers = memory if memory is not None else MemoryTier()
        read, write, note = scheduler.run_blocking, self._keep, self._note
        self.cache = Cache(ResponseCodec(), tiers, disk, read=read, write=write, note=note)
        self.vectors = Cache(VectorCodec(), tiers, disk, read=read, write=write, note=note)

    @classmethod
    def of(cls, scheduler: Scheduler) -> LmService:
        """The service of a scheduler; made and started if there is none. Any thread."""
        service = cls.found(scheduler)
        if service is not None:
            return service
        refuse_while_importing_main()
        service = cls(scheduler)
        service.supervisor = supervisor = DynamicSupervisor.with_options(scheduler=scheduler).start("pools")
        try:  # last of all, since from here on others use it
            LmKeeper.with_options(scheduler=scheduler, name=service.name()).start(service)
        except NameTakenError:  # another thread was faster
            supervisor.stop(block=False)
            return cls.of(scheduler)
        return service

    @staticmethod
    def found(scheduler: Scheduler) -> LmService | None:
        """The service of a scheduler, if it has one. Any thread."""
        entries = scheduler.registry.lookup(NAME)
        if not entries:
            return None
        service = entries[0].value
        assert isinstance(service, LmService)
        return service

    def name(self) -> Via:
        """The name that its keeper holds: whoever looks that up finds the service."""
        return self.scheduler.registry.via(NAME, self)

    def extend(self, disk: DiskTier | None, memory: MemoryTier, conceal: Callable[[str], None] | None) -> None:
        """Have these from now on, and in `memory` also what was in the memory tier till now. On the loop."""
        self.cache.move(memory, disk)
        self.vectors.move(memory, disk)
        self._conceal = conceal
        for key in list(self.pools):
            self._hide(key)

    def pool(self, key: PoolKey, transport: Transport | httpx.AsyncBaseTransport | str | None) -> Pool:
        """The pool of that key, started if need be. On the scheduler's loop."""
        pool = self.pools.get(key)
        if pool is None or pool.gate.closed is not None:
            if self.supervisor is None or not self.supervisor.is_alive():
                raise LMTransportError("the system's LM service is not running", code="closed")
            if pool is not None:
                made: Transport = pool.transport
            else:
                made = _transport(transport, key.proxy, key.base_url, key.options.max_in_flight)
                if transport is None or isinstance(transport, str):
                    self._owned.append(made)
            self._hide(key)
            pool = self.pools[key] = Pool(self._name_for(key), self.scheduler, self.supervisor, made, key.options)
        return pool

    def _hide(self, key: PoolKey) -> None:
        if self._conceal is not None and key.api_key:
            self._conceal(key.api_key)

    def _name_for(self, key: PoolKey) -> str:
        """Its own: the same model may be at several addresses."""
        name = f"{key.provider}/{key.model}"
        taken = {pool.name for other, pool in self.pools.items() if other != key}
        names = (f"{name}#{number}" if number > 1 else name for number in count(1))
        return next(each for each in names if each not in taken)

    def snapshot(self) -> dict[str, Any]:
        """Pools and cache as they are, JSON-able, read without a message."""
        stats = self.cache.stats()
        return {
            "pools": [pool.snapshot() for pool in list(self.pools.values())],
            "cache": {name: getattr(stats, name) for name in stats.__slots__},
        }

    async def close(self) -> None:
        """Stop the pools, close their connections, and write what the cache still has to write."""
        pools, self.pools = list(self.pools.values()), {}
        for pool in pools:
            pool.stop("the system is stopping")
        owned, self._owned = self._owned, []
        for transport in owned:
            await transport.aclose()
        if self.supervisor is not None and self.supervisor.is_alive():
            self.supervisor.stop(block=False)
        if self.writer is not None and self.writer.is_alive():
            await self.writer.stop(block=False)

    def _note(self, topic: str, tier: str | None) -> None:
        events = self.scheduler.events
        if events.wants(topic):
            events.emit(topic, {}, {} if tier is None else {"tier": tier})

    def _keep(self, key: str, payload: bytes) -> Reply[None]:
        writer = self.writer
        if writer is None or not writer.is_alive():
            assert self.cache.disk is not None
            writer = self.writer = CacheWriter.with_options(scheduler=self.scheduler).start(self.cache.disk)
        written: Reply[None] = Reply()
        # A writer that ends writes what it has first: then, too, the answer is where it can be.
        writer.call(Keep(key, payload)).add_done_callback(lambda _: written.set(None))
        return written


class LmKeeper(AsyncActor):
    """Owns the service's name on its scheduler, and closes what it has open when it ends. Start it under that name."""

    def __init__(self, service: LmService) -> None:
        super().__init__()
        self.trap_exit = True  # so that on_stop runs when its supervisor stops it
        self.service = service
        service.ref = self.actor_ref
        self._as_before: Callable[[], None] | None = None

    def on_start(self) -> None:
        self._as_before = collect_seldom()

    async def on_stop(self) -> None:  # type: ignore[override]
        if self._as_before is not None:
            self._as_before()
        await self.service.close()


def _transport(
    given: Transport | httpx.AsyncBaseTransport | str | None, proxy: str | None, base_url: str, max_connections: int
) -> Transport:
    """The transport for a pool. A user's own is the user's to close: it comes back as it is, or wrapped."""
    limit = min(max_connections, default_max_connections())
    if given is None and proxy is None and _env_proxy(base_url) is None:
        return DirectTransport(max_connections=limit)
    if given is None or given == "aiohttp":
        from ._aiohttp import AiohttpTransport

        return AiohttpTransport(max_connections=limit, proxy=proxy)
    if given == "direct":
        return DirectTransport(max_connections=limit)
    if hasattr(given, "handle_async_request"):
        from ._httpx import HttpxTransport

        return HttpxTransport(given)  # type: ignore[arg-type]
    return given  # type: ignore[return-value]


def _env_proxy(base_url: str) -> str | None:
    """The proxy that the environment names for this address, if any."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(base_url)
    proxy = getproxies().get(parts.scheme)
    if proxy is None or proxy_bypass(parts.netloc) or parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return None
    return proxy
