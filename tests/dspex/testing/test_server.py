"""The fault server itself: it answers as told, and counts right."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any

import pytest

from dspex.testing import FAULTS, Fault, FaultServer, always, answer_to, at_random, first_attempts, script, value_of


def post(server: FaultServer, body: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        reply = connection.getresponse()
        data = reply.read()
        return reply.status, json.loads(data)
    finally:
        connection.close()


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def test_it_answers_by_the_prompt_alone() -> None:
    with FaultServer() as server:
        status, reply = post(server, chat("item-3", n=2))
        assert status == 200
        assert [choice["message"]["content"] for choice in reply["choices"]] == [value_of(3)] * 2
        assert post(server, {"model": "m", "prompt": "item-3"}, "/v1/completions")[1]["choices"][0]["text"] == value_of(
            3
        )
        assert len(post(server, {"model": "m", "input": ["a", "b"]}, "/v1/embeddings")[1]["data"]) == 2


def test_it_keeps_to_the_form_that_is_asked_for() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "t": {"enum": ["x", "y"]}, "l": {"type": "array"}},
    }
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    reply = json.loads(answer_to(chat("item-1", response_format=form)))
    assert isinstance(reply["n"], int)
    assert reply["t"] == "x"
    assert reply["l"] == [value_of(1)]
    marked = answer_to(chat("item-1, starting with the field `[[ ## a ## ]]`, then `[[ ## completed ## ]]`"))
    assert marked == f"[[ ## a ## ]]\n{value_of(1)}\n\n[[ ## completed ## ]]"


def test_faults_are_chosen_by_script_by_attempt_or_by_seed() -> None:
    with FaultServer(faults=script("error_500", None, "auth_401")) as server:
        assert [post(server, chat(f"item-{i}"))[0] for i in range(4)] == [500, 200, 401, 200]
    with FaultServer(faults=first_attempts("error_500")) as server:
        assert [post(server, chat(text))[0] for text in ("a", "b", "a", "b")] == [500, 500, 200, 200]
    runs = []
    for _ in range(2):
        with FaultServer(faults=at_random({"error_500": 0.5}, seed=4)) as server:
            runs.append([post(server, chat(str(i)))[0] for i in range(12)])
            assert server.faulted["error_500"] == runs[-1].count(500)
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


def test_rates_of_unknown_faults_are_refused() -> None:
    with pytest.raises(ValueError, match="known"):
        at_random({"meteor": 0.1})  # type: ignore[dict-item]


def test_it_counts_what_was_paid_for_and_what_was_paid_twice() -> None:
    with FaultServer(faults=script("error_500", None, "invalid_json")) as server:
        statuses = []
        for text in ("a", "b"):
            statuses.append(post(server, chat(text))[0])
        with pytest.raises(ValueError):
            post(server, chat("b"))
        assert statuses == [500, 200]
        server.wait_until("completed", 2)  # counted when it was written, which the client may see first
        assert list(server.paid_twice().values()) == [2]


def test_it_sees_a_client_that_goes_away() -> None:
    with FaultServer(faults=always("hang")) as server:
        raw = json.dumps(chat("x")).encode()
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw)
        server.wait_until("requests", 1)
        assert server.abandoned == 0
        client.close()
        server.wait_until("abandoned", 1)


def test_it_can_go_down_and_come_back_on_the_same_port() -> None:
    with FaultServer() as server:
        port = server.port
        post(server, chat("x"))
        server.stop()
        with pytest.raises(OSError):
            post(server, chat("x"))
        server.start()
        assert server.port == port
        assert post(server, chat("x"))[0] == 200


def test_many_clients_at_once_are_counted() -> None:
    with FaultServer(latency=0.2) as server:
        threads = [threading.Thread(target=post, args=(server, chat(str(i)))) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.completed == server.connections == 8
        assert server.max_in_flight > 1


def test_a_counter_that_stays_low_is_reported() -> None:
    begin = time.monotonic()
    with FaultServer() as server, pytest.raises(TimeoutError, match="requests is 0"):
        server.wait_until("requests", 1, timeout=0.05)
    assert time.monotonic() - begin < 5


def test_every_fault_has_an_effect() -> None:
    for name in FAULTS:
        if name in ("hang", "slow_head", "slow_body"):
            continue
        with FaultServer(faults=always(Fault(name, size=1000))) as server:  # type: ignore[arg-type]
            try:
                status, reply = post(server, chat("item-1"))
            except (OSError, http.client.HTTPException, ValueError):
                continue
            assert status != 200 or reply.get("choices") == [] or "I cannot say." in str(reply), name
