"""The LM service as a part of a system: it takes over what direct calls have begun on the system's scheduler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import httpx
import pytest

import dspex
from actors import AsyncActor, Reply, Scheduler, StartError
from actors.testing import await_down, quiesce
from dspex._errors import BreakerOpenError, LMServerError
from dspex.lm import LM, BreakerPolicy, Embedder, LMRequest, LmService
from dspex.lm._service import LmKeeper
from dspex.testing import FaultServer, always, value_of
from supervision import ChildSpec, find_node

Start = Callable[..., dspex.System]


@pytest.fixture
def start(scheduler: Scheduler) -> Iterator[Start]:
    """Starts systems on the scheduler of the test."""
    started: list[dspex.System] = []

    def new(name: str = "late", **options: Any) -> dspex.System:
        system = dspex.System(name, scheduler=scheduler, **{"store": False, "control_socket": False, **options})
        started.append(system)
        return system.start()

    yield new
    for system in started:
        system.close()


class Held:
    """An endpoint that answers when it is let go."""

    def __init__(self) -> None:
        self.let_go: Reply[None] = Reply()
        self.asked = threading.Event()
        self.requests = 0
        self.transport = httpx.MockTransport(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        self.asked.set()
        await self.let_go
        message = {"role": "assistant", "content": "at last"}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def lm(self, **options: Any) -> LM:
        return LM("openai/m", api_key="k", base_url="http://held/v1", transport=self.transport, **options)


def hosted(server: FaultServer, **options: Any) -> LM:
    return LM("openai/m", base_url=server.url, **{"api_key": "k", "cache": False, **options})


def keepers(scheduler: Scheduler) -> list[Any]:
    return [ref for ref in scheduler.refs() if ref.actor_class is LmKeeper]


def in_thread(call: Callable[[], Any]) -> Reply[Any]:
    """What `call` returns or raises, in a thread of its own, with the scheduler and settings of this one."""
    outcome: Reply[Any] = Reply()

    def run() -> None:
        try:
            outcome.set(call())
        except BaseException as error:  # noqa: BLE001  it is the outcome
            outcome.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,)).start()
    return outcome


def test_a_system_takes_over_pools_and_connections_of_direct_calls(scheduler: Scheduler, start: Start) -> None:
    with FaultServer() as server:
        lm = hosted(server)
        assert lm("item-1") == [value_of(1)]
        service = LmService.of(scheduler)
        (pool,) = service.pools.values()
        system = start()
        assert system.lm_service is service
        assert lm("item-2") == [value_of(2)]
        assert list(service.pools.values()) == [pool]
        assert server.connections == 1
        node = find_node(system.tree(), "late/lm/pools/openai/m")
        assert node is not None
        assert [child["path"] for child in node["children"]] == ["late/lm/pools/openai/m/worker"]
        system.close()
        assert scheduler.refs() == []


def test_a_direct_call_in_flight_ends_within_the_system_that_starts_meanwhile(
    scheduler: Scheduler, start: Start
) -> None:
    held = Held()
    lm = held.lm()
    direct = in_thread(lambda: lm("hello"))
    held.asked.wait()
    system = start(lm=lm)
    assert system.counters()["in_flight"] == 1
    same = in_thread(lambda: lm("hello"))  # an identical call shares the flight that was begun before the system was
    held.let_go.set(None)
    assert (direct.get(timeout=30), same.get(timeout=30)) == (["at last"], ["at last"])
    assert held.requests == 1
    assert lm("hello") == ["at last"]
    assert held.requests == 1


def test_a_stream_in_flight_goes_on_in_the_system(scheduler: Scheduler, start: Start) -> None:
    async def begun() -> str:
        text = ""
        async for chunk in lm.astream(LMRequest("openai/m", None, "item-1", {}, None)):
            text += chunk.text
            first.set()
        return text

    first = threading.Event()
    with FaultServer(stream_chars=1, stream_gap=0.01) as server:
        lm = hosted(server)
        text = scheduler.submit(begun())
        first.wait()
        start()
        assert text.get(timeout=30) == value_of(1)


def test_limits_and_an_open_breaker_outlive_the_takeover(scheduler: Scheduler, start: Start) -> None:
    with FaultServer(faults=always("error_500")) as server:
        lm = hosted(server, num_retries=0, breaker=BreakerPolicy(failures=1, open_for=60.0), rpm=1000.0)
        with pytest.raises(LMServerError):
            lm("item-1")
        system = start()
        with pytest.raises(BreakerOpenError):
            lm("item-2")
        assert len(server.requests) == 1
        (pool,) = system.lm_service.snapshot()["pools"]
        assert (pool["breaker"], pool["requests"]) == ("open", 1)


def test_the_answers_of_direct_calls_are_in_the_systems_cache(scheduler: Scheduler, start: Start) -> None:
    with FaultServer() as server:
        lm, embed = hosted(server, cache=True), Embedder("openai/e", api_key="k", base_url=server.url)
        lm("item-1")
        embed("item-1")
        system = start()
        lm("item-1")
        embed("item-1")
        assert len(server.requests) == 2
        assert system.counters()["lm_calls"] == 3  # two direct ones, one answered from the cache
        assert system.lm_service.cache.memory is system.lm_service.vectors.memory


def test_an_answer_that_was_under_way_is_kept_on_the_systems_disk(
    scheduler: Scheduler, start: Start, tmp_path: Any
) -> None:
    held = Held()
    lm = held.lm()
    direct = in_thread(lambda: lm("hello"))
    held.asked.wait()
    system = start(store=f"sqlite:///{tmp_path}/kept.db")
    held.let_go.set(None)
    assert direct.get(timeout=30) == ["at last"]
    system.lm_service.cache.memory.clear()
    assert lm("hello") == ["at last"]
    assert held.requests == 1


def test_keys_used_before_the_system_are_hidden_by_it(scheduler: Scheduler, start: Start) -> None:
    with FaultServer() as server:
        hosted(server, api_key="sk-used-before")("item-1")
        system = start()
        assert "sk-used-before" not in system.redactor.text("the key sk-used-before was rejected")


def test_threads_that_call_while_the_system_starts_share_one_service(scheduler: Scheduler, start: Start) -> None:
    with FaultServer() as server:
        lm = hosted(server)
        line = threading.Barrier(9)

        def call(number: int) -> Any:
            line.wait()
            return lm(f"item-{number}")

        calls = [in_thread(lambda number=number: call(number)) for number in range(8)]
        line.wait()
        system = start()
        assert [call.get(timeout=30) for call in calls] == [[value_of(number)] for number in range(8)]
        assert len(keepers(scheduler)) == 1
        (pool,) = system.lm_service.pools.values()
        assert pool.requests == 8
        system.close()
        assert scheduler.refs() == []


def test_threads_that_make_the_first_call_leave_one_service(scheduler: Scheduler) -> None:
    line = threading.Barrier(8)

    def find() -> LmService:
        line.wait()
        service = LmService.of(scheduler)
        assert service.supervisor is not None  # whoever finds it can use it
        return service

    found = {outcome.get(timeout=30) for outcome in [in_thread(find) for _ in range(8)]}
    assert len(found) == 1
    for ref in scheduler.refs():
        if ref not in (found.copy().pop().supervisor, *keepers(scheduler)):
            await_down(ref)
    assert len(scheduler.refs()) == 2


def test_what_is_called_while_the_keeper_is_started_again_is_taken_over_too(scheduler: Scheduler, start: Start) -> None:
    with FaultServer() as server:
        lm = hosted(server)
        system = start()
        lm("item-1")
        first = system.lm_service
        (keeper,) = keepers(scheduler)
        keeper.monitor(lambda down: LmService.of(scheduler))  # a call that comes in the moment of its end
        keeper.kill()
        await_down(keeper)
        assert lm("item-2") == [value_of(2)]
        assert system.lm_service is LmService.of(scheduler) is not first
        assert system.counters()["lm_calls"] == 2
        assert system.health().live
        system.close()
        assert scheduler.refs() == []


def test_systems_follow_each_other_on_one_scheduler_with_the_same_lm(scheduler: Scheduler, start: Start) -> None:
    with FaultServer() as server:
        lm = hosted(server)
        for number in range(3):
            assert lm(f"item-{number}") == [value_of(number)]
            with start(f"number-{number}") as system:
                assert lm("item-7") == [value_of(7)]
            assert not system.running
        assert lm("item-8") == [value_of(8)]


class SlowToEnd(AsyncActor):
    """Ends when it is let go."""

    def __init__(self, ending: threading.Event, let_go: Reply[None]) -> None:
        super().__init__()
        self.trap_exit = True
        self._begun = ending
        self._released = let_go

    async def on_stop(self) -> None:  # type: ignore[override]
        self._begun.set()
        await self._released


def test_a_system_waits_for_the_service_of_one_that_is_being_closed(scheduler: Scheduler, start: Start) -> None:
    ending, let_go = threading.Event(), Reply[None]()
    slow = ChildSpec("slow", (SlowToEnd, (ending, let_go)), shutdown=60.0)
    with FaultServer() as server:
        first = start("first", children=(slow,))
        closed = in_thread(first.close)
        ending.wait()
        second = in_thread(lambda: start("second"))
        while not any(getattr(ref._process, "path", None) == "second/lm" for ref in scheduler.refs()):
            assert not second.done()
        quiesce(scheduler)
        assert not second.done()
        let_go.set(None)
        closed.get(timeout=30)
        assert second.get(timeout=30).health().live
        assert hosted(server)("item-1") == [value_of(1)]


def test_a_second_system_on_a_scheduler_is_refused_and_the_first_goes_on(scheduler: Scheduler, start: Start) -> None:
    with FaultServer() as server:
        lm = hosted(server)
        first = start("first")
        with pytest.raises(ValueError, match="'first' runs on the scheduler"):
            start("second")
        assert lm("item-1") == [value_of(1)]
        assert first.health().live


def test_a_system_that_cannot_start_leaves_nothing_of_what_it_took_over(scheduler: Scheduler, start: Start) -> None:
    def fail() -> Any:
        raise RuntimeError("no")

    with FaultServer() as server:
        lm = hosted(server)
        lm("item-1")
        with pytest.raises(StartError, match="broken"):
            start(children=(ChildSpec("broken", fail),))
        assert scheduler.refs() == []
        assert lm("item-2") == [value_of(2)]
