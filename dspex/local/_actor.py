"""The model server under supervision: an actor whose life is that of the server process.

    ChildSpec("model", (ModelServer, (server,)))

The process is watched twice a second. When it has died the actor crashes, its supervisor restarts it by its
rules, and the new process takes the old port: callers see an outage, retry, and go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors import AsyncActor
from dspex.local._errors import LocalModelError
from dspex.local._server import LocalServer

WATCH_EVERY = 0.5
"""Seconds between two looks at the process."""


@dataclass(frozen=True, slots=True)
class CheckProcess:
    """Is the server process still there?"""


class ModelServer(AsyncActor):
    """Starts `server` when it starts and stops it when it stops. Ask it anything to get the base URL.

    A start that fails raises `LocalModelError`, as a start error. Crashes with `LocalModelError` when the process dies.
    """

    def __init__(self, server: LocalServer) -> None:
        super().__init__()
        self.trap_exit = True  # a supervisor's shutdown must run on_stop
        self.server = server

    async def on_start(self) -> None:  # type: ignore[override]  # Pykka knows no async hooks
        """A process that an earlier, killed actor left running is taken over."""
        await self.scheduler.run_blocking(self.server.start)
        self.every(WATCH_EVERY, CheckProcess())

    def on_receive(self, message: Any) -> str:
        """`CheckProcess` crashes the actor when the process is gone; everything is answered with the base URL."""
        if not self.server.is_alive():
            raise LocalModelError(f"The local model server died: {self.server.obituary()}.")
        return self.server.base_url

    async def on_stop(self) -> None:  # type: ignore[override]
        """Also after a crash: nothing of the old process is left when the supervisor starts a new one."""
        await self.scheduler.run_blocking(self.server.stop)
