"""Pools: queues, crashes, aborts, deadlines, fallbacks, and what callers in other threads and loops see."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from actors import Scheduler
from actors.testing import await_down
from dspex import context, track_usage
from dspex._errors import (
    BreakerOpenError,
    BudgetExceededError,
    LMAuthError,
    LMConfigurationError,
    LMInvalidRequestError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
)
from dspex.lm import LM, BreakerPolicy, LMRequest, LmService, PoolOptions, RetryPolicy, budget, prices, register_price
from dspex.lm._worker import Worker
from dspex.testing import FaultServer, always, first_attempts, script, value_of

QUICK = RetryPolicy(retries=3, first_wait=0.001, jitter=0.0)


def lm(server: FaultServer, **options: Any) -> LM:
    given: dict[str, Any] = {"api_key": "k", "cache": False, "retry": QUICK, **options}
    return LM("openai/m", base_url=server.url, **given)


def workers(scheduler: Scheduler) -> list[Any]:
    return [ref for ref in scheduler.refs() if ref.actor_class is Worker]


def gather(scheduler: Scheduler, model: LM, numbers: range) -> list[Any]:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(model.acall(f"item-{i}") for i in numbers), return_exceptions=True)

    found: list[Any] = scheduler.submit(all_of_them()).get()
    return found


def test_no_more_requests_are_under_way_than_allowed_and_the_rest_wait_in_line(scheduler: Scheduler) -> None:
    with FaultServer(latency=0.02) as server:
        assert gather(scheduler, lm(server, max_in_flight=5), range(40)) == [[value_of(i)] for i in range(40)]
        assert server.max_in_flight == 5


def test_workers_are_added_when_all_are_busy(scheduler: Scheduler) -> None:
    with FaultServer(latency=0.1) as server:
        model = lm(server)
        model._options = PoolOptions(max_in_flight=10, worker_limit=3)
        model._settle_in()
        assert gather(scheduler, model, range(12)) == [[value_of(i)] for i in range(12)]
        assert len(workers(scheduler)) == 4
        assert 3 < server.max_in_flight <= 10


def test_two_hundred_and_more_connections_are_open_at_once(scheduler: Scheduler) -> None:
    # Both httpx-aiohttp and DSPy stop at 100 when nothing is said.
    with FaultServer(faults=always("hang")) as server:
        model = lm(server)

        async def ask_all() -> None:
            await asyncio.gather(*(model.acall(f"item-{i}") for i in range(250)))

        asking = asyncio.run_coroutine_threadsafe(ask_all(), scheduler.loop)
        server.wait_until("in_flight", 250, timeout=60)
        asking.cancel()
        server.wait_until("abandoned", 250, timeout=60)


def test_a_crashed_worker_is_replaced_and_its_requests_are_sent_again(scheduler: Scheduler) -> None:
    with FaultServer(faults=first_attempts("hang")) as server:
        model = lm(server)
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.extend(gather(scheduler, model, range(20))))
        thread.start()
        server.wait_until("requests", 20)
        (victim,) = workers(scheduler)
        victim.kill()
        thread.join()
        assert answers == [[value_of(i)] for i in range(20)]
        assert workers(scheduler) != [victim]
        assert len(server.requests) == 40
        server.wait_until("abandoned", 20)


def test_a_pool_whose_supervisor_ends_is_made_anew(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = lm(server)
        assert model("item-1") == [value_of(1)]
        (pool,) = LmService.of(scheduler).pools.values()
        assert pool.supervisor is not None
        pool.supervisor.kill()
        await_down(pool.supervisor)
        assert model("item-2") == [value_of(2)]
        assert list(LmService.of(scheduler).pools.values()) != [pool]


def test_while_the_breaker_is_open_nothing_is_sent(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("error_500")) as server:
        model = lm(server, retry=None, num_retries=0, breaker=BreakerPolicy(failures=4, open_for=60.0))
        assert all(isinstance(e, LMServerError) for e in gather(scheduler, model, range(4)))
        failed = gather(scheduler, model, range(100))
        assert all(isinstance(e, BreakerOpenError) and 0 < (e.retry_after or 0) <= 60 for e in failed)
        assert len(server.requests) == 4
        assert LmService.of(scheduler).snapshot()["pools"][0]["breaker"] == "open"


def test_a_401_or_a_garbled_body_is_no_outage(scheduler: Scheduler) -> None:
    for fault in ("auth_401", "invalid_json"):
        with FaultServer(faults=always(fault)) as server:  # type: ignore[arg-type]
            model = lm(server, retry=None, num_retries=0, breaker=BreakerPolicy(failures=2, connect_failures=2))
            failed = gather(scheduler, model, range(30))
            assert not any(isinstance(e, BreakerOpenError) for e in failed)


# --- ends before the answer


def test_a_cancelled_call_is_aborted_at_the_server(scheduler: Scheduler) -> None:
    async def go(model: LM) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await model.acall("item-1")

    with FaultServer(faults=always("hang")) as server:
        asyncio.run(go(lm(server)))  # on a loop of the caller's own
        server.wait_until("abandoned", 1)
        scheduler.submit(go(lm(server))).get()  # on the scheduler's
        server.wait_until("abandoned", 2)
        assert len(server.requests) == 2


def test_a_deadline_ends_queueing_sending_and_waiting_to_retry(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("hang")) as server:
        model = lm(server, max_in_flight=1, timeout=None)

        async def go() -> list[Any]:
            with context(deadline=scheduler.clock.time() + 0.3):
                return await asyncio.gather(*(model.acall(f"item-{i}") for i in range(3)), return_exceptions=True)

        failed = scheduler.submit(go()).get()
        assert [(type(e), e.code) for e in failed] == [(LMTimeoutError, "deadline")] * 3
        server.wait_until("abandoned", 1)
        server.faults = always("rate_limit")  # says: come back in a second
        with context(deadline=scheduler.clock.time() + 0.3), pytest.raises(Exception, match=r"Rate limit|deadline"):
            model("item-9")
        assert len(server.requests) == 2  # a second try could not have come in time


def test_a_retry_that_waits_holds_no_worker(scheduler: Scheduler) -> None:
    slow = RetryPolicy(retries=3, first_wait=30.0)
    with FaultServer(faults=script("error_500")) as server:
        first = lm(server, max_in_flight=1, retry=slow)
        waiting = scheduler.submit(first.acall("item-1"))
        server.wait_until("requests", 1)
        second = first.copy()
        assert second("item-2") == [value_of(2)]
        assert not waiting.done()


def test_stopping_the_scheduler_ends_calls_in_flight(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("hang")) as server:
        with Scheduler("other", stall_after=30.0) as other:
            reply = other.submit(lm(server).acall("item-1"))
            server.wait_until("requests", 1)
        with pytest.raises(BaseException):
            reply.get(timeout=5)
        server.wait_until("abandoned", 1)


# --- fallbacks


def test_a_fallback_answers_when_the_first_model_cannot(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("unavailable_503")) as down, FaultServer() as up:
        model = lm(down, fallbacks=[lm(down), lm(up)], retry=None, num_retries=0)
        assert model("item-1") == [value_of(1)]
        assert (len(down.requests), len(up.requests)) == (5, 1)  # the second one tries four times


@pytest.mark.parametrize(
    ("fault", "falls_back"), [("invalid_400", False), ("context_window", True), ("auth_401", True)]
)
def test_what_is_the_requests_own_fault_needs_no_second_opinion(
    fault: str, falls_back: bool, scheduler: Scheduler
) -> None:
    with FaultServer(faults=always(fault)) as first, FaultServer() as second:  # type: ignore[arg-type]
        model = lm(first, fallbacks=[lm(second)])
        if falls_back:
            assert model("item-1") == [value_of(1)]
        else:
            with pytest.raises(LMInvalidRequestError):
                model("item-1")
        assert len(second.requests) == falls_back


def test_when_all_fail_the_last_error_says_so(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("error_500")) as first, FaultServer(faults=always("auth_401")) as second:
        with pytest.raises(LMAuthError):
            lm(first, fallbacks=[lm(second)])("item-1")


# --- one answer for equal questions


def test_identical_calls_in_flight_share_one_request(scheduler: Scheduler) -> None:
    with FaultServer(latency=0.1) as server, track_usage() as tracker:
        model = lm(server, cache=True)

        async def go() -> list[Any]:
            return await asyncio.gather(*(model.acall("item-1") for _ in range(30)))

        assert scheduler.submit(go()).get() == [[value_of(1)]] * 30
        assert len(server.requests) == 1
        assert (tracker.calls, tracker.cached, tracker.total.requests) == (30, 29, 1)


def test_threads_and_loops_share_it_too(scheduler: Scheduler) -> None:
    with FaultServer(latency=0.2) as server:
        model = lm(server, cache=True)
        model("item-0")
        answers: list[Any] = []

        def in_thread() -> None:
            from actors.runtime import chosen_scheduler

            chosen_scheduler.set(scheduler)
            answers.append(asyncio.run(model.acall("item-1")))

        threads = [threading.Thread(target=in_thread) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [[value_of(1)]] * 6
        assert len(server.requests) == 2


def test_another_rollout_is_another_question_only_above_temperature_zero(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = lm(server, cache=True)
        for rollout in (1, 2):
            model("item-1", rollout_id=rollout, temperature=0.0)
        assert len(server.requests) == 1
        for rollout in (1, 2, 2):
            model("item-1", rollout_id=rollout, temperature=1.0)
        assert len(server.requests) == 3
        assert all("rollout_id" not in seen.body for seen in server.requests)


def test_errors_are_not_cached(scheduler: Scheduler) -> None:
    with FaultServer(faults=script("invalid_400")) as server:
        model = lm(server, cache=True)
        with pytest.raises(LMInvalidRequestError):
            model("item-1")
        assert model("item-1") == [value_of(1)]


# --- budgets


def test_a_token_budget_holds_at_any_concurrency(scheduler: Scheduler) -> None:
    with FaultServer(latency=0.01) as server, budget(tokens=2_000) as purse, track_usage() as tracker:
        results = gather(scheduler, lm(server, max_tokens=50), range(200))
        answered = [r for r in results if isinstance(r, list)]
        assert answered
        assert all(isinstance(r, (list, BudgetExceededError)) for r in results)
        assert purse.spent_tokens == tracker.total.total_tokens <= 2_000
        assert len(server.requests) == len(answered)
        # It did not stop early for want of trying: what is left is less than one call may take.
        assert purse.left["tokens"] < 200


def test_a_usd_budget_needs_a_price(scheduler: Scheduler) -> None:
    with FaultServer() as server:
        model = lm(server)
        with budget(usd=1.0), pytest.raises(LMConfigurationError, match="register_price"):
            model("item-1")
        assert server.requests == []
        register_price("openai/m", prompt=1.0, completion=2.0)
        try:
            with budget(usd=1.0) as purse, track_usage() as tracker:
                model("item-1")
            usage = tracker.total
            assert purse.spent_usd == pytest.approx((usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6)
            assert tracker.cost == pytest.approx(purse.spent_usd)
        finally:
            prices.register("openai/m", None)


def test_without_a_price_the_cost_is_unknown_not_zero(scheduler: Scheduler) -> None:
    with FaultServer() as server, track_usage() as tracker:
        model = lm(server)
        model("item-1")
        assert model.history[-1]["cost"] is None
        assert tracker.unpriced == 1


def test_what_may_have_been_billed_is_booked(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("reset_mid_body")) as server, budget(tokens=10_000) as purse:
        with pytest.raises(LMTransportError):
            lm(server, retry=None, num_retries=0, max_tokens=10)("item-1")
        assert purse.spent_tokens > 10
        before = purse.spent_tokens
        server.faults = always("error_500")
        with pytest.raises(LMServerError):
            lm(server, retry=None, num_retries=0, max_tokens=10)("item-1")
        assert purse.spent_tokens == before


def test_a_retry_after_an_answer_that_was_lost_is_booked_beside_the_one_that_came(scheduler: Scheduler) -> None:
    with FaultServer(faults=script("reset_mid_body", "error_500", "reset_mid_body")) as server:
        with budget(tokens=10_000) as purse, track_usage() as tracker:
            lm(server, max_tokens=10)("item-1")
        reserved = int(server.requests[0].headers["content-length"]) + 10
    assert tracker.total.requests == 4
    # Each of the two that broke off may have taken all of its reservation; the one that was refused took nothing.
    assert purse.spent_tokens - tracker.total.total_tokens == 2 * reserved


def test_a_retry_that_the_budget_does_not_cover_is_not_sent(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("reset_mid_body")) as server, budget(tokens=150) as purse:
        with pytest.raises(BudgetExceededError) as caught:
            lm(server, max_tokens=10)("item-1")
        assert len(server.requests) == 1
    assert purse.spent_tokens == caught.value.spent <= 150
    assert isinstance(caught.value.__context__, LMTransportError)


def test_a_call_that_was_never_sent_costs_nothing(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("hang")) as server, budget(tokens=10_000) as purse:
        model = lm(server, max_in_flight=1, max_tokens=10)

        async def two() -> None:
            first, second = asyncio.ensure_future(model.acall("item-1")), asyncio.ensure_future(model.acall("item-2"))
            await scheduler.run_blocking(server.wait_until, "in_flight", 1)
            second.cancel()
            await asyncio.wait([second])
            assert purse.spent_tokens == 0
            first.cancel()
            await asyncio.wait([first])

        scheduler.submit(two()).get()
        assert purse.spent_tokens > 10


# --- streams


def test_a_stream_that_is_begun_again_after_a_lost_answer_is_booked_twice(scheduler: Scheduler) -> None:
    async def go(model: LM) -> None:
        async for _ in stream(model, "item-5"):
            pass

    with FaultServer(faults=first_attempts("reset")) as server, budget(tokens=10_000) as purse:
        with track_usage() as tracker:
            asyncio.run(go(lm(server, max_tokens=10)))
    assert tracker.total.requests == 2
    assert purse.spent_tokens > tracker.total.total_tokens + 10


def stream(model: LM, prompt: str) -> Any:
    return model.astream(LMRequest("m", [{"role": "user", "content": prompt}]))


def test_a_stream_adds_up_and_is_accounted_for(scheduler: Scheduler) -> None:
    async def go(model: LM) -> tuple[str, list[Any]]:
        chunks = [chunk async for chunk in stream(model, "item-5")]
        return "".join(chunk.text for chunk in chunks), chunks

    with FaultServer() as server, track_usage() as tracker:
        model = lm(server)
        for text, chunks in (asyncio.run(go(model)), scheduler.submit(go(model)).get()):
            assert text == value_of(5)
            assert len(chunks) > 2
            assert chunks[-1].usage is not None
        assert tracker.total.requests == 2
        assert model.history[-1]["response"].outputs[0].text == value_of(5)


def test_a_stream_that_fails_before_its_first_piece_is_tried_again(scheduler: Scheduler) -> None:
    async def go(model: LM) -> str:
        return "".join([chunk.text async for chunk in stream(model, "item-5")])

    with FaultServer(faults=first_attempts("error_500", "rate_limit_bare")) as server:
        assert scheduler.submit(go(lm(server))).get() == value_of(5)
        assert len(server.requests) == 3


def test_leaving_a_stream_early_aborts_it(scheduler: Scheduler) -> None:
    async def go(model: LM) -> None:
        chunks = stream(model, "item-1")
        async for _ in chunks:
            break
        await chunks.aclose()

    with FaultServer(stream_chars=1, stream_gap=30.0) as server:
        model = lm(server, max_in_flight=1)
        asyncio.run(go(model))
        server.wait_until("abandoned", 1)
        server.faults = always("hang")
        waiting = scheduler.submit(stream(model, "x").__anext__())
        server.wait_until("requests", 2)  # the place of the first is free
        assert not waiting.done()


def test_an_error_while_opening_a_stream_is_typed(scheduler: Scheduler) -> None:
    async def go(model: LM) -> None:
        async for _ in stream(model, "item-5"):
            pass

    with FaultServer(faults=always("auth_401")) as server:
        with pytest.raises(LMAuthError):
            asyncio.run(go(lm(server)))
