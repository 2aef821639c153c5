"""The parts of a system that are services: made from its settings, and put into its tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from actors import AsyncActor, Crash
from dspex.system._keeper import StoreKeeper
from supervision import ChildSpec

if TYPE_CHECKING:
    from dspex.control import ControlServer
    from dspex.lm import LmPart
    from dspex.system._config import SystemConfig
    from dspex.system._storage import Storage
    from dspex.system._system import System

__all__ = ["ControlKeeper", "control_spec", "crash_keeper", "lm_part", "secrets_of", "store_spec"]


def store_spec(storage: Storage) -> ChildSpec:
    """The store's actor."""
    return ChildSpec("store", (StoreKeeper, (storage,)), shutdown=30.0)


def lm_part(system: System) -> LmPart:
    """Access to language models: cache and pools."""
    from dspex.cache import MemoryTier
    from dspex.lm import LmPart

    cache = system.config.cache
    memory = MemoryTier(max_entries=cache.memory_entries, max_bytes=cache.memory_bytes, ttl=cache.ttl)
    disk = system.storage.disk_cache if system.storage.enabled and cache.enabled else None
    return LmPart(system.scheduler, disk=disk, memory=memory, conceal=system.conceal)


def secrets_of(lm: Any, config: SystemConfig) -> Iterator[str]:
    """The secrets that are known before the first call."""
    if config.lm.api_key is not None:
        yield config.lm.api_key.get_secret_value()
    endpoint = getattr(lm, "endpoint", None)
    if endpoint is not None and endpoint.api_key is not None:
        yield endpoint.api_key.get_secret_value()


def control_spec(system: System) -> ChildSpec:
    """The control socket."""
    return ChildSpec("control", (ControlKeeper, (system,)))


class ControlKeeper(AsyncActor):
    """Opens the control socket and closes it at the end.

    A system whose socket cannot be opened runs all the same: it says so once, loudly, and in its health.
    """

    def __init__(self, system: System) -> None:
        super().__init__()
        self.trap_exit = True  # the socket is to be removed when the system stops
        self._system = system
        self._server: ControlServer | None = None

    async def on_start(self) -> None:  # type: ignore[override]
        """Listen."""
        await self.scheduler.run_blocking(self._open)

    def _open(self) -> None:
        from pathlib import Path

        from dspex.control import WAITING, ControlServer, SocketPathError, operations, socket_path

        system = self._system
        chosen = system.config.control_socket
        try:
            path = Path(chosen) if isinstance(chosen, str) else socket_path(system.name, instance=system.instance)
            server = ControlServer(path, *operations(system), waiting=WAITING, redact=system.redactor.text)
            server.start()
        except (SocketPathError, OSError) as error:
            system.problems["control"] = f"no control socket: {error}"
            self.scheduler.log.error("control.unavailable", reason=str(error))
            return
        system.problems.pop("control", None)
        system.control_socket = path
        self._server = server

    async def on_stop(self) -> None:  # type: ignore[override]
        """Close it."""
        if self._server is not None:
            self._system.control_socket = None
            await self.scheduler.run_blocking(self._server.close)


def crash_keeper(storage: Storage) -> Callable[[str, Crash], None]:
    """Puts crashes into the store.  When its memory is full they stay in the recorder's, and it has been announced."""
    from dspex.store._records import CrashRecord

    def keep(path: str, crash: Crash) -> None:
        storage.put(CrashRecord(path, crash.fingerprint, crash.type, crash.message, crash.traceback))

    return keep
