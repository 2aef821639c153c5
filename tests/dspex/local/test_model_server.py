from __future__ import annotations

from typing import Any

import pytest

from actors import AsyncActor, Crash, Scheduler, StartError
from actors.testing import await_down
from dspex.local import LocalModelError, LocalServer, ModelServer, serve
from supervision import ChildSpec, Supervisor, SupervisorSpec, stop_supervisor, which_children


class FakeServer(LocalServer):
    """A server without a process: alive between `start` and `die` or `stop`."""

    def __init__(self, *, refuse: bool = False) -> None:
        super().__init__()
        self.events: list[str] = []
        self.alive = False
        self.refuse = refuse

    def start(self) -> None:
        if self.refuse:
            raise LocalModelError("no model here")
        self.events.append("start")
        self.alive = True

    def stop(self, timeout: float = 5.0) -> None:
        self.events.append("stop")
        self.alive = False

    def is_alive(self) -> bool:
        return self.alive

    @property
    def base_url(self) -> str:
        return "http://127.0.0.1:1/v1"


@pytest.fixture
def scheduler() -> Any:
    with Scheduler("local", stall_after=5.0) as scheduler:
        yield scheduler


def test_it_answers_with_the_address_and_stops_its_server_when_it_stops(scheduler: Scheduler) -> None:
    server = FakeServer()
    ref = ModelServer.start(server)
    assert ref.ask("where?") == server.base_url
    ref.stop()
    assert server.events == ["start", "stop"]


def test_a_server_that_cannot_start_is_a_start_error(scheduler: Scheduler) -> None:
    class Parent(AsyncActor):
        async def on_receive(self, message: Any) -> Any:
            self.trap_exit = True
            try:
                return await ModelServer.start_link(FakeServer(refuse=True))
            except StartError as error:
                return error.reason

    reason = Parent.start().ask("go")
    assert isinstance(reason, Crash)
    assert "no model here" in reason.message


def test_a_process_that_died_crashes_the_actor(scheduler: Scheduler) -> None:
    server = FakeServer()
    ref = ModelServer.start(server)
    ref.ask("ready?")
    server.alive = False
    reason = await_down(ref).reason
    assert isinstance(reason, Crash)
    assert "server died: it does not run" in reason.message


@pytest.mark.realmodel
def test_a_killed_server_process_is_restarted_by_its_supervisor_on_the_same_port(scheduler: Scheduler) -> None:
    server = serve()
    spec = SupervisorSpec(ChildSpec("model", (ModelServer, (server,))))
    top = Supervisor.start_tree(spec, scheduler=scheduler)
    try:
        (child,) = which_children(top).get(timeout=60)
        url, pid = child.ref.ask("where?", timeout=60), server.pid
        server.kill()
        await_down(child.ref, timeout=30)
        (again,) = which_children(top).get(timeout=60)
        assert again.ref != child.ref
        assert again.ref.ask("where?", timeout=60) == url
        assert server.pid not in (None, pid)
    finally:
        stop_supervisor(top).get(timeout=30)
    assert server.pid is None
