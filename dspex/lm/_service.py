"""What a system offers to its LMs: pools, cache, prices. One per scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from actors import ActorRef, AsyncActor, NameTakenError, Reply, Scheduler, Shutdown
from dspex._errors import LMTransportError
from dspex.cache import Cache, CacheWriter, DiskTier, Keep, MemoryTier
from supervision import ChildSpec, DynamicSupervisor, SupervisorSpec

from ._cached import ResponseCodec, VectorCodec
from ._collector import collect_seldom
from ._direct import DirectTransport
from ._pool import Pool, PoolOptions
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

    In a system: `LmService(scheduler, disk=...)` and its `spec()` as a child of the tree. Without one, the first call
    on a scheduler makes a plain one (`of`), with no disk tier.
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
        self.conceal = conceal
        self.pools: dict[PoolKey, Pool] = {}
        self.ref: ActorRef[Any] | None = None
        self._disk = disk
        self._writer: ActorRef[Any] | None = None
        self._supervisor: ActorRef[Any] | None = None
        self._owned: list[Transport] = []
        tiers = memory if memory is not None else MemoryTier()
        write = self._keep if disk is not None else None
        read, note = scheduler.run_blocking, self._note
        self.cache = Cache(ResponseCodec(), tiers, disk, read=read, write=write, note=note)
        self.vectors = Cache(VectorCodec(), tiers, disk, read=read, write=write, note=note)

    @classmethod
    def of(cls, scheduler: Scheduler) -> LmService:
        """The service of a scheduler; made and started if there is none. Any thread."""
        found = scheduler.registry.lookup(NAME)
        if found:
            service = found[0].value
            assert isinstance(service, LmService)
            return service
        service = cls(scheduler)
        ref = LmKeeper.with_options(scheduler=scheduler).start(service)
        try:
            scheduler.registry.register(NAME, service, owner=ref)
        except NameTakenError:  # another thread was faster
            ref.kill()
            return cls.of(scheduler)
        service.ref = ref
        service._supervisor = DynamicSupervisor.with_options(scheduler=scheduler).start("pools")
        return service

    def spec(self) -> SupervisorSpec:
        """The service as a part of a system's tree: the keeper, the cache's writer, the pools."""
        children: list[ChildSpec] = [ChildSpec("keeper", (LmKeeper, (self,)))]
        if self._disk is not None:
            children.append(ChildSpec("cache", self._start_writer))
        children.append(ChildSpec("pools", self._start_pools, type="supervisor", shutdown="infinity"))
        return SupervisorSpec(*children, id="lm", strategy="rest_for_one", intensity=10)

    def pool(self, key: PoolKey, transport: Transport | httpx.AsyncBaseTransport | str | None) -> Pool:
        """The pool of that key, started if need be. On the scheduler's loop."""
        pool = self.pools.get(key)
        if pool is None or pool.gate.closed is not None:
            if self._supervisor is None or not self._supervisor.is_alive():
                raise LMTransportError("the system's LM service is not running", code="closed")
            if pool is not None:
                made: Transport = pool.transport
            else:
                made = _transport(transport, key.proxy, key.base_url, key.options.max_in_flight)
                if transport is None or isinstance(transport, str):
                    self._owned.append(made)
            if self.conceal is not None and key.api_key:
                self.conceal(key.api_key)
            pool = self.pools[key] = Pool(self._name_for(key), self.scheduler, self._supervisor, made, key.options)
        return pool

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
        if self._supervisor is not None:
            self._supervisor.exit(Shutdown())
        if self._writer is not None and self._writer.is_alive():
            await self._writer.stop(block=False)

    def _note(self, topic: str, tier: str | None) -> None:
        events = self.scheduler.events
        if events.wants(topic):
            events.emit(topic, {}, {} if tier is None else {"tier": tier})

    def _keep(self, key: str, payload: bytes) -> Reply[None]:
        writer = self._writer
        if writer is None or not writer.is_alive():
            assert self._disk is not None
            writer = self._writer = CacheWriter.with_options(scheduler=self.scheduler).start(self._disk)
        written: Reply[None] = Reply()
        # A writer that ends writes what it has first: then, too, the answer is where it can be.
        writer.call(Keep(key, payload)).add_done_callback(lambda _: written.set(None))
        return written

    def _start_writer(self) -> Reply[Any]:
        reply = CacheWriter.start_link(self._disk)
        reply.add_done_callback(lambda done: setattr(self, "_writer", None if done.exception() else done.get()))
        return reply

    def _start_pools(self) -> Reply[Any]:
        reply = DynamicSupervisor.start_link("pools")
        reply.add_done_callback(lambda done: setattr(self, "_supervisor", None if done.exception() else done.get()))
        return reply


class LmKeeper(AsyncActor):
    """Owns the service's name on its scheduler, and closes what it has open when it ends."""

    def __init__(self, service: LmService) -> None:
        super().__init__()
        self.trap_exit = True  # so that on_stop runs when its supervisor stops it
        self.service = service
        self._as_before: Callable[[], None] | None = None

    def on_start(self) -> None:
        self._as_before = collect_seldom()
        if self.parent is None:  # not in a system's tree: `LmService.of` has entered it
            return
        registry = self.scheduler.registry
        stopgap = registry.whereis(NAME)
        if stopgap is not None:  # made by a call that came while this one was being restarted
            stopgap.kill()
        registry.register(NAME, self.service)
        self.service.ref = self.actor_ref

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
