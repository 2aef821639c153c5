"""An LM before a server with real sockets that fails: each fault is a documented error or a successful retry."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

import aiohttp  # noqa: F401  or the first call over it would spend its patience on importing it
import pytest
import trustme

from actors import Scheduler
from dspex import track_usage
from dspex._errors import (
    BreakerOpenError,
    ContextWindowExceededError,
    LMAuthError,
    LMError,
    LMInvalidRequestError,
    LMRateLimitError,
    LMServerError,
    LMTimeoutError,
    LMTransportError,
    LMUnexpectedError,
)
from dspex.lm import LM, BreakerPolicy, RetryPolicy
from dspex.testing import FAULTS, Fault, FaultServer, always, at_random, first_attempts, value_of

QUICK = RetryPolicy(retries=3, first_wait=0.001, jitter=0.0)


def lm(server: FaultServer, **options: Any) -> LM:
    given: dict[str, Any] = {"api_key": "sk-a-secret-key", "cache": False, "retry": QUICK, **options}
    return LM("openai/m", base_url=server.url, **given)


# What a fault is when nothing is tried again. A slow reply within the timeout is no fault.
MEANS: dict[str, tuple[type[LMError], str]] = {
    "error_500": (LMServerError, "server"),
    "unavailable_503": (LMServerError, "server"),
    "rate_limit": (LMRateLimitError, "rate_limit"),
    "rate_limit_bare": (LMRateLimitError, "rate_limit"),
    "auth_401": (LMAuthError, "auth"),
    "invalid_400": (LMInvalidRequestError, "invalid_request"),
    "context_window": (ContextWindowExceededError, "context_window_exceeded"),
    "reset": (LMTransportError, "reset"),
    "reset_mid_body": (LMTransportError, "reset"),
    "truncated_json": (LMTransportError, "malformed"),
    "invalid_json": (LMTransportError, "malformed"),
    "wrong_content_type": (LMTransportError, "malformed"),
    "empty_choices": (LMUnexpectedError, "empty_choices"),
    "hang": (LMTimeoutError, "timeout"),
}
TRANSPORTS = ("direct", "aiohttp")
FATAL = {"auth_401", "invalid_400", "context_window"}


def test_every_fault_is_covered_here() -> None:
    assert set(FAULTS) - set(MEANS) == {"slow_head", "slow_body", "huge", "no_markers", "stream_cut"}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", MEANS)
def test_a_fault_without_retries_is_its_error(fault: str, transport: str, scheduler: Scheduler) -> None:
    kind, code = MEANS[fault]
    patience = 0.2 if fault == "hang" else 10
    with FaultServer(faults=always(Fault(fault, seconds=0.01))) as server:  # type: ignore[arg-type]
        with pytest.raises(LMError) as caught:
            lm(server, num_retries=0, retry=None, timeout=patience, transport=transport)("item-1")
        assert len(server.requests) == 1
    error = caught.value
    assert type(error) is kind
    assert error.code == code
    assert (error.model, error.provider) == ("m", "openai")
    assert "sk-a-secret-key" not in f"{error} {error!r} {error.args} {vars(error)}"
    if fault == "rate_limit":
        assert error.retry_after == 0.01
    if kind is LMServerError:
        assert error.request_id == "req-test"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", sorted(set(MEANS) - FATAL))
def test_a_passing_fault_is_got_over_and_every_request_is_counted(
    fault: str, transport: str, scheduler: Scheduler
) -> None:
    faults = first_attempts(Fault(fault, seconds=0.01), None)  # type: ignore[arg-type]
    with FaultServer(faults=faults) as server, track_usage() as tracker:
        timeout = 0.3 if fault == "hang" else 10
        assert lm(server, timeout=timeout, transport=transport)("item-7") == [value_of(7)]
        assert tracker.total.requests == len(server.requests) == 2


@pytest.mark.parametrize("fault", sorted(FATAL))
def test_what_is_wrong_with_the_request_fails_at_once(fault: str, scheduler: Scheduler) -> None:
    with FaultServer(faults=always(fault)) as server:  # type: ignore[arg-type]
        with pytest.raises(MEANS[fault][0]):
            lm(server)("item-1")
        assert len(server.requests) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", ["slow_head", "slow_body"])
def test_slow_within_the_timeout_is_an_answer_and_beyond_it_an_error(
    fault: str, transport: str, scheduler: Scheduler
) -> None:
    with FaultServer(faults=always(Fault(fault, seconds=0.1))) as server:  # type: ignore[arg-type]
        assert lm(server, timeout=10, transport=transport)("item-1") == [value_of(1)]
        server.faults = always(Fault(fault, seconds=30))  # type: ignore[arg-type]
        with pytest.raises(LMTimeoutError):
            lm(server, timeout=0.2, num_retries=0, retry=None, transport=transport)("item-2")
        server.wait_until("abandoned", 1)


def test_a_huge_reply_is_refused_and_not_asked_for_again(scheduler: Scheduler) -> None:
    from dspex.lm import DirectTransport

    transport = DirectTransport(max_reply_bytes=100_000)
    with FaultServer(faults=always(Fault("huge", size=10_000_000))) as server:
        with pytest.raises(LMTransportError) as caught:
            lm(server, transport=transport)("item-1")
        assert caught.value.code == "too_large"
        assert len(server.requests) == 1
        scheduler.submit(transport.aclose()).get()


def test_retries_end_and_say_how_often_it_was_tried(scheduler: Scheduler) -> None:
    with FaultServer(faults=always("error_500")) as server:
        with pytest.raises(LMServerError) as caught:
            lm(server)("item-1")
        assert len(server.requests) == 4
        assert "sent 4 times" in caught.value.__notes__


def test_a_rate_limit_is_waited_for_as_long_as_it_says(scheduler: Scheduler) -> None:
    with FaultServer(faults=first_attempts(Fault("rate_limit", seconds=0.4))) as server:
        begin = time.monotonic()
        assert lm(server)("item-1") == [value_of(1)]
        assert time.monotonic() - begin >= 0.4


def test_rate_limits_do_not_use_up_the_retries(scheduler: Scheduler) -> None:
    faults = first_attempts(*["rate_limit_bare"] * 6, "error_500", "error_500", "error_500")  # type: ignore[arg-type]
    with FaultServer(faults=faults) as server:
        # Every caller is paused after so many 429s; the pauses are the limiter's and short here.
        policy = RetryPolicy(retries=3, first_wait=0.001, jitter=0.0)
        model = lm(server, retry=policy)
        import dspex.lm._limiter as limiter

        first, limiter.FIRST_PAUSE = limiter.FIRST_PAUSE, 0.001
        try:
            assert model("item-1") == [value_of(1)]
        finally:
            limiter.FIRST_PAUSE = first
        assert len(server.requests) == 10


def test_nothing_is_lost_when_a_third_of_all_replies_are_faults(scheduler: Scheduler) -> None:
    import asyncio

    rates = {"error_500": 0.1, "rate_limit": 0.1, "reset_mid_body": 0.05, "truncated_json": 0.05, "empty_choices": 0.03}
    chooser = at_random(rates, seed=3, faults=[Fault("rate_limit", seconds=0.01)])  # type: ignore[arg-type]
    policy = RetryPolicy(retries=12, first_wait=0.001)
    with FaultServer(faults=chooser) as server, track_usage() as tracker:
        model = lm(server, retry=policy)

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(model.acall(f"item-{i}") for i in range(300)))

        assert scheduler.submit(all_of_them()).get() == [[value_of(i)] for i in range(300)]
        assert tracker.calls == 300
        assert tracker.total.requests == len(server.requests) > 300


# --- below HTTP


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_endpoint_that_is_down_is_a_refusal(transport: str, scheduler: Scheduler) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        url = f"http://127.0.0.1:{port}/v1"
        with pytest.raises(LMTransportError) as caught:
            LM("openai/m", base_url=url, cache=False, num_retries=0, transport=transport)("x")
    assert caught.value.code == "refused"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_name_that_does_not_resolve_is_a_dns_failure(transport: str, scheduler: Scheduler) -> None:
    url = "http://no-such-host.invalid/v1"
    with pytest.raises(LMTransportError) as caught:
        LM("openai/m", base_url=url, cache=False, num_retries=0, transport=transport)("x")
    assert caught.value.code == "dns"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_certificate_that_is_not_trusted_is_a_tls_failure_and_not_tried_again(
    transport: str, scheduler: Scheduler
) -> None:
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    with FaultServer(tls=served) as server:
        with pytest.raises(LMTransportError) as caught:
            lm(server, transport=transport)("item-1")
        assert caught.value.code == "tls"
        assert server.requests == []


def test_a_trusted_certificate_is_no_obstacle(scheduler: Scheduler) -> None:
    from dspex.lm import DirectTransport

    authority = trustme.CA()
    served, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)
    transport = DirectTransport(tls=trusting)
    with FaultServer(tls=served) as server:
        model = lm(server, transport=transport)
        assert [model(f"item-{i}") for i in range(3)] == [[value_of(i)] for i in range(3)]
        assert server.connections == 1
        scheduler.submit(transport.aclose()).get()


def test_an_outage_opens_the_breaker_and_service_resumes_by_itself(scheduler: Scheduler) -> None:
    policy = BreakerPolicy(open_for=1.5)
    with FaultServer() as server:
        model = lm(server, breaker=policy, num_retries=0, retry=None)
        assert model("item-1") == [value_of(1)]
        server.stop()
        failures: list[LMError] = []
        while not isinstance(failures[-1] if failures else None, BreakerOpenError):
            with pytest.raises(LMTransportError) as caught:
                model("item-2")
            failures.append(caught.value)
        # The first may have met the old connection's end, which is another class of failure.
        assert len(failures) in (policy.connect_failures + 1, policy.connect_failures + 2)
        assert 0 < (caught.value.retry_after or 0) <= 1.5
        server.start()
        deadline = time.monotonic() + 10
        while True:  # a caller who waits as long as it was told
            try:
                assert model("item-3") == [value_of(3)]
                break
            except BreakerOpenError as error:
                assert time.monotonic() < deadline
                time.sleep(error.retry_after or 0.01)
