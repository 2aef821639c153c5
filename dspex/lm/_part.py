"""The LM service as a part of a system's tree."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeGuard

from actors import ActorRef, NameTakenError, Reply, Scheduler
from dspex.cache import CacheWriter, DiskTier, MemoryTier
from supervision import ChildSpec, DynamicSupervisor, SupervisorSpec, adopt

from ._service import NAME, LmKeeper, LmService

PATIENCE = 30.0  # seconds that the service of another system may take to end


class LmPart:
    """A system's LM service, and how it is started: the scheduler's own if it has one, with its pools, connections,
    limits, breakers and calls in flight; else a new one.

    A scheduler has one already where an LM was called directly, before the system was started or while its service
    was being restarted.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        disk: DiskTier | None = None,
        memory: MemoryTier | None = None,
        conceal: Callable[[str], None] | None = None,
    ) -> None:
        """As for `LmService`."""
        self._disk = disk
        self._memory = memory if memory is not None else MemoryTier()
        self._conceal = conceal
        self.service = LmService(scheduler, disk=disk, memory=self._memory, conceal=conceal)

    def spec(self) -> SupervisorSpec:
        """The keeper, the cache's writer, the pools."""
        children: list[ChildSpec] = [ChildSpec("keeper", self._start_keeper)]
        if self._disk is not None:
            children.append(ChildSpec("cache", self._start_writer))
        children.append(ChildSpec("pools", self._start_pools, type="supervisor", shutdown="infinity"))
        return SupervisorSpec(*children, id="lm", strategy="rest_for_one", intensity=10)

    def _start_keeper(self) -> Awaitable[Any]:
        """On the loop, so that no keeper ends while it is being adopted."""
        service = self.service
        registry = service.scheduler.registry
        while True:
            keeper = registry.whereis(NAME)
            if keeper is None:
                started = LmKeeper.with_options(link=True, name=service.name()).start_wait(service)
                if started.done() and isinstance(started.exception(), NameTakenError):
                    continue  # by a call in another thread, at this very moment
                return started
            if _has_parent(keeper):
                return self._start_after(keeper)
            return self._take_over(adopt(keeper))

    async def _take_over(self, keeper: ActorRef[Any]) -> ActorRef[Any]:
        before, found = self.service, LmService.found(self.service.scheduler)
        assert found is not None
        found.tally.add(before.tally)
        found.extend(self._disk, self._memory, self._conceal)
        self.service = found
        await before.close()  # a keeper that was killed has left it open
        return keeper

    async def _start_after(self, other: ActorRef[Any]) -> Any:
        """The keeper, when that of another system on this scheduler, which is being closed, has ended."""
        try:
            async with asyncio.timeout(PATIENCE):
                await other.down()
        except TimeoutError:
            raise NameTakenError(NAME, other) from None
        return await self._start_keeper()

    def _start_writer(self) -> Any:
        running = self.service.writer
        if _is_orphan(running):
            return adopt(running)
        reply = CacheWriter.start_link(self._disk)
        reply.add_done_callback(lambda done: setattr(self.service, "writer", _ref_of(done)))
        return reply

    def _start_pools(self) -> Any:
        running = self.service.supervisor
        if _is_orphan(running):
            return adopt(running)
        reply = DynamicSupervisor.start_link("pools")
        reply.add_done_callback(lambda done: setattr(self.service, "supervisor", _ref_of(done)))
        return reply


def _has_parent(ref: ActorRef[Any]) -> bool:
    process: Any = ref._process
    return process is not None and process.parent is not None


def _is_orphan(ref: ActorRef[Any] | None) -> TypeGuard[ActorRef[Any]]:
    """True if it runs and nobody has started it as a child: a call came when there was none."""
    return ref is not None and ref.is_alive() and not _has_parent(ref)


def _ref_of(started: Reply[Any]) -> ActorRef[Any] | None:
    ref: ActorRef[Any] | None = None if started.exception() else started.get()
    return ref
