"""Synchronous code that waits parks itself; coroutines run without a task of their own and do not notice."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from contextvars import ContextVar
from typing import Any

import greenlet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    AsyncActor,
    BlockingOnLoopError,
    HandlerError,
    Reject,
    Reply,
    Scheduler,
    ThreadActor,
    Timeout,
    blocking,
    concurrent,
    fiber,
    sleep,
    wait,
)
from actors.testing import quiesce

colour: ContextVar[str] = ContextVar("colour", default="none")


class Echo(AsyncActor):
    async def on_receive(self, message: Any) -> Any:
        await asyncio.sleep(0.001)
        if message == "reject":
            raise Reject(ValueError("no"))
        return message


def test_a_fiber_waits_while_the_loop_goes_on(scheduler: Scheduler) -> None:
    class Waiting(AsyncActor):
        @fiber
        def on_receive(self, ref: Any) -> Any:
            return ref.ask("through a fiber")

    echo = Echo.start()
    replies = [Waiting.start().call(echo) for _ in range(200)]
    assert {reply.get(timeout=5) for reply in replies} == {"through a fiber"}


def test_get_on_the_bare_loop_is_refused_with_advice(scheduler: Scheduler) -> None:
    class Blocking(AsyncActor):
        def on_receive(self, message: Any) -> Any:
            try:
                return message()
            except BlockingOnLoopError as error:
                return str(error)

        async def asynchronous(self, message: Any) -> Any:
            return self.on_receive(message)

    echo = Echo.start()
    ref = Blocking.start()
    for question in (lambda: echo.ask("x"), lambda: wait(asyncio.sleep(0)), lambda: sleep(1), lambda: echo.stop()):
        assert "await" in ref.ask(question)
    assert echo.is_alive()
    assert "@fiber" in ref.proxy().asynchronous(lambda: echo.call("x").get()).get()


def test_a_reply_that_is_there_can_be_read_on_the_bare_loop(scheduler: Scheduler) -> None:
    class Reading(AsyncActor):
        def on_receive(self, reply: Reply[Any]) -> Any:
            return reply.get()

    assert Reading.start().ask(Reply.of(5)) == 5


def test_a_users_own_loop_can_await_replies(scheduler: Scheduler) -> None:
    echo = Echo.start()

    async def program() -> list[Any]:
        one = await echo.call(1)
        many = await asyncio.gather(*(echo.call(number) for number in range(50)))
        with pytest.raises(ValueError, match="no"):
            await echo.call("reject")
        late: Reply[int] = Reply()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late, 0.01)
        mapped = await echo.call(20).map(lambda value: value + 1)
        joined = await echo.call(1).join(echo.call(2))
        return [one, *many, mapped, *joined]

    assert asyncio.run(program()) == [1, *range(50), 21, 1, 2]


def test_many_loops_and_threads_may_wait_for_one_reply(scheduler: Scheduler) -> None:
    reply: Reply[str] = Reply()
    got: list[str] = []

    def on_a_loop() -> None:
        async def program() -> None:
            got.append(await reply)

        asyncio.run(program())

    threads = [threading.Thread(target=on_a_loop) for _ in range(3)]
    threads += [threading.Thread(target=lambda: got.append(reply.get(timeout=5))) for _ in range(3)]
    for thread in threads:
        thread.start()
    inside = [scheduler.submit(reply.get) for _ in range(3)]
    reply.set("one for all")
    for thread in threads:
        thread.join(5)
    assert got + [one.get(timeout=5) for one in inside] == ["one for all"] * 9


def test_the_first_answer_counts() -> None:
    reply: Reply[int] = Reply()
    assert reply.set(1) is True
    assert reply.set(2) is False
    assert reply.set_exception(ValueError()) is False
    assert reply.get() == 1
    with pytest.raises(RuntimeError):
        reply.set_get_hook(lambda timeout: 3)


def test_a_fiber_times_out_and_a_late_answer_does_not_disturb_it(scheduler: Scheduler) -> None:
    late: Reply[int] = Reply()

    def program() -> Any:
        try:
            late.get(timeout=0.01)
        except Timeout:
            late.set(5)
            sleep(0.005)
            return "timed out", late.get()

    assert scheduler.submit(program).get(timeout=5) == ("timed out", 5)


def test_a_fiber_can_run_any_coroutine(scheduler: Scheduler) -> None:
    async def deep(number: int) -> int:
        async with asyncio.timeout(5):
            results = await asyncio.gather(*(asyncio.sleep(0.001, number) for _ in range(3)))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 0.001)
        return sum(results)

    assert scheduler.submit(lambda: wait(deep(2)) + wait(deep(3))).get(timeout=5) == 15
    assert wait(deep(4)) == 12  # from a plain thread it runs on the scheduler
    with pytest.raises(Timeout):
        wait(asyncio.sleep(100), timeout=0.01)


def test_asyncio_sees_a_current_task_in_every_handler(scheduler: Scheduler) -> None:
    class Asking(AsyncActor):
        async def on_receive(self, message: Any) -> Any:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
            task = asyncio.current_task()
            return task is not None and not task.done() and task.get_name()

    assert "Asking" in Asking.start().ask("x")


def test_a_timeout_inside_a_handler_hits_only_what_it_covers(scheduler: Scheduler) -> None:
    class Patient(AsyncActor):
        async def on_receive(self, message: Any) -> Any:
            never: Reply[int] = Reply()
            try:
                async with asyncio.timeout(0.005):
                    await never
            except TimeoutError:
                await asyncio.sleep(0.001)
                return "went on"

    assert Patient.start().ask("x", timeout=5) == "went on"


def test_context_flows_from_sender_to_handler_and_does_not_leak_back(actor_kind: Any) -> None:
    class Painted(actor_kind):
        def plain(self) -> str:
            before = colour.get()
            colour.set("leaked")
            return before

        async def coroutine(self) -> str:
            await asyncio.sleep(0.001)
            before = colour.get()
            colour.set("leaked")
            return before

        @fiber
        def fiber(self) -> str:
            sleep(0.001)
            before = colour.get()
            colour.set("leaked")
            return before

        @blocking
        def thread(self) -> str:
            before = colour.get()
            colour.set("leaked")
            return before

    proxy = Painted.start().proxy()
    for wanted in ("red", "blue"):
        token = colour.set(wanted)
        for kind in ("plain", "coroutine", "fiber", "thread"):
            assert getattr(proxy, kind)().get(timeout=5) == wanted, kind
            assert colour.get() == wanted
        colour.reset(token)


def test_a_traceback_leads_from_the_asker_to_the_line_that_failed(scheduler: Scheduler) -> None:
    class Faulty(AsyncActor):
        @fiber
        def on_receive(self, message: Any) -> None:
            wait(self.inner())

        async def inner(self) -> None:
            await asyncio.sleep(0)
            raise LookupError("the line that failed")

    for ask in (lambda ref: ref.ask("x"), lambda ref: asyncio.run(awaiting(ref))):
        with pytest.raises(Exception) as caught:
            ask(Faulty.start())
        text = "".join(traceback.format_exception(caught.value))
        assert 'raise LookupError("the line that failed")' in text
        assert "wait(self.inner())" in text


async def awaiting(ref: Any) -> Any:
    return await ref.call("x")


def test_reading_an_error_again_and_again_does_not_grow_its_traceback() -> None:
    reply: Reply[None] = Reply()
    reply.set_exception(ValueError("again"))
    lengths = set()
    for _ in range(5):
        with pytest.raises(ValueError, match="again") as caught:
            reply.get()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1


def test_serial_handlers_do_not_overlap_and_concurrent_ones_do(actor_kind: Any) -> None:
    class Counting(actor_kind):
        def __init__(self) -> None:
            super().__init__()
            self.inside = self.most = 0

        async def serial(self) -> None:
            await self.stay()

        @concurrent
        async def overlapping(self) -> None:
            await self.stay()

        async def stay(self) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(0.02)
            self.inside -= 1

        def peak(self) -> int:
            most, self.most = self.most, 0
            return most

    proxy = Counting.start().proxy()
    for reply in [proxy.serial() for _ in range(5)]:
        reply.get(timeout=5)
    assert proxy.peak().get() == 1
    for reply in [proxy.overlapping() for _ in range(5)]:
        reply.get(timeout=5)
    assert proxy.peak().get() == 5


def test_an_error_in_one_concurrent_call_ends_the_actor_and_every_call_in_flight(actor_kind: Any) -> None:
    from actors import ActorCrashed

    class Sharing(actor_kind):
        @concurrent
        async def on_receive(self, message: Any) -> Any:
            await asyncio.sleep(0.01 if message == "crash" else 0.2)
            if message == "crash":
                raise ValueError("boom")
            return message

    ref = Sharing.start()
    fine, bad = ref.call("fine"), ref.call("crash")
    for reply in (fine, bad):
        with pytest.raises(ActorCrashed, match="boom"):
            reply.get(timeout=5)


def test_blocking_handlers_run_on_threads_as_many_as_are_needed(scheduler: Scheduler) -> None:
    together = threading.Barrier(40)

    class Heavy(AsyncActor):
        @blocking
        def on_receive(self, message: Any) -> Any:
            together.wait(5)
            return threading.current_thread().name

    names = {reply.get(timeout=5) for reply in [Heavy.start().call("x") for _ in range(40)]}
    assert len(names) == 40


def test_idle_pool_threads_are_used_again(scheduler: Scheduler) -> None:
    names = {scheduler.run_blocking(lambda: threading.current_thread().name).get(timeout=5) for _ in range(50)}
    assert len(names) < 10


def test_marks_that_make_no_sense_are_refused_when_the_class_is_made() -> None:
    with pytest.raises(HandlerError, match="await already"):

        class One(AsyncActor):
            @fiber
            async def on_receive(self, message: Any) -> None: ...

    with pytest.raises(HandlerError, match="run_blocking"):

        class Two(AsyncActor):
            @blocking
            async def on_receive(self, message: Any) -> None: ...

    with pytest.raises(HandlerError, match="one argument, the message"):

        class Three(AsyncActor):
            def on_receive(self) -> None: ...

    with pytest.raises(HandlerError, match="no argument"):

        class Four(ThreadActor):
            def on_start(self, what: Any) -> None: ...


def test_names_of_the_runtime_are_refused_when_the_class_is_made() -> None:
    with pytest.raises(HandlerError, match=r"Five\._begin would replace"):

        class Five(AsyncActor):
            def _begin(self) -> None: ...

    with pytest.raises(HandlerError, match=r"sets self\._state"):

        class Six(ThreadActor):
            def __init__(self) -> None:
                self._state = {}

    class Fine(AsyncActor):
        def on_receive(self, message: Any) -> Any:
            message._state = 1  # somebody else's attribute of that name
            self._mine = 2


def test_a_cancelled_fiber_raises_at_its_next_wait(scheduler: Scheduler) -> None:
    steps: list[str] = []
    begun = threading.Event()

    class Long(AsyncActor):
        @concurrent
        @fiber
        def on_receive(self, message: Any) -> None:
            begun.set()
            try:
                sleep(100)
            except asyncio.CancelledError:
                steps.append("first")
            try:
                sleep(0.001)
                steps.append("second wait worked")
            finally:
                steps.append("end")

    ref = Long.start()
    ref.tell("x")
    assert begun.wait(5)
    ref.exit(__import__("actors").Shutdown())
    ref.down().get(timeout=5)
    assert steps == ["first", "second wait worked", "end"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=30))
def test_any_mixture_of_waits_gives_every_asker_its_own_answer(plan: list[tuple[int, int]]) -> None:
    """Coroutines, fibers, plain and blocking handlers waiting for each other, in any mixture and order."""

    class Mixed(AsyncActor):
        @concurrent
        async def coroutine(self, value: int, pause: int) -> int:
            await asyncio.sleep(pause / 5000)
            return value

        @concurrent
        @fiber
        def fiber(self, value: int, pause: int) -> int:
            sleep(pause / 5000)
            return int(other.proxy().coroutine(value, pause).get())

        def plain(self, value: int, pause: int) -> int:
            return value

        @concurrent
        @blocking
        def thread(self, value: int, pause: int) -> int:
            time.sleep(pause / 5000)
            return int(other.proxy().plain(value, pause).get(timeout=5))

    with Scheduler("mixed", stall_after=5) as scheduler:
        proxy, other = Mixed.start().proxy(), Mixed.start()
        calls = [proxy.coroutine, proxy.fiber, proxy.plain, proxy.thread]
        replies = [calls[kind](index, pause) for index, (kind, pause) in enumerate(plan)]
        assert [reply.get(timeout=10) for reply in replies] == list(range(len(plan)))
    assert scheduler.shutdown().clean


def test_a_fiber_that_has_ended_serves_the_next_handler_and_keeps_nothing_of_the_last(scheduler: Scheduler) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="untouched")

    class Serial(AsyncActor):
        @fiber
        def on_receive(self, message: Any) -> Any:
            before = variable.get()
            variable.set(str(message))
            sleep(0)
            return before, id(greenlet.getcurrent())

    ref = Serial.start()
    answers = [ref.ask(number) for number in range(20)]
    assert {before for before, _ in answers} == {"untouched"}
    assert len({fiber_id for _, fiber_id in answers}) == 1
    assert len(scheduler.idle_fibers) == 1


def test_the_fibers_of_many_handlers_at_once_are_not_all_kept(scheduler: Scheduler) -> None:
    gate: Reply[None] = Reply()

    class Wide(AsyncActor):
        @concurrent
        @fiber
        def on_receive(self, message: Any) -> Any:
            gate.get()
            return message

    ref = Wide.start()
    replies = [ref.call(number) for number in range(1500)]
    quiesce(scheduler)  # all of them wait
    gate.set(None)
    assert [reply.get(timeout=10) for reply in replies] == list(range(1500))
    assert len(scheduler.idle_fibers) == 1024
