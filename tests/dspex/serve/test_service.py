"""`make_app`: programs over HTTP, under a real server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import httpx
import pytest

import dspex
from dspex.serve import make_app
from dspex.testing import FaultServer
from dspex.testing._faults import always


class Judge(dspex.Signature):
    """Decide whether a review is positive."""

    review: str = dspex.InputField(desc="what the customer wrote")
    stars: int = dspex.InputField(default=3, ge=1, le=5)
    sentiment: Literal["positive", "negative"] = dspex.OutputField()


class Crashing(dspex.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ask = dspex.Predict("question -> answer")

    def forward(self, question: str, times: int = 1) -> Any:
        if question == "secret":
            raise ValueError("the password is hunter2")
        return self.ask(question=question * times)


PROGRAMS = {"judge": lambda: dspex.Predict(Judge), "ask": Crashing}


def app_of(endpoint: FaultServer, **options: Any) -> Any:
    lm = dspex.LM("openai/m", base_url=endpoint.url, api_key="k", cache=False, num_retries=0)
    return make_app({name: make() for name, make in PROGRAMS.items()}, lm=lm, name="web", **options)


def test_a_post_runs_the_program_and_answers_with_its_outputs(serve: Any, endpoint: FaultServer) -> None:
    with serve(app_of(endpoint)) as client:
        answer = client.post("/judge", json={"review": "Great value."})
        assert answer.status_code == 200
        assert answer.json()["sentiment"] in ("positive", "negative")
        assert client.post("/ask", json={"question": "why?", "times": 2}).json().keys() == {"answer"}
        assert "why?why?" in json.dumps(endpoint.requests[-1].body)


def test_what_is_wrong_with_a_request_is_said_by_field(serve: Any, endpoint: FaultServer) -> None:
    with serve(app_of(endpoint)) as client:
        answer = client.post("/judge", json={"stars": 9, "colour": "red"})
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert error["code"] == "invalid"
        assert error["fields"] == {
            "review": "Field required",
            "stars": "Input should be less than or equal to 5",
            "colour": "Extra inputs are not permitted",
        }
        for body in (b"", b"{", b"[]", b"\xff"):
            answer = client.post("/judge", content=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_json")
        assert client.post("/judge", content=b"x" * 1_100_000).json()["error"]["code"] == "too_large"
        missing = client.post("/nothing", json={})
        assert missing.status_code == 404
        assert "/ask, /judge" in missing.json()["error"]["message"]
        assert client.get("/judge").status_code == 405
        assert endpoint.requests == []


def test_a_failing_program_answers_with_the_kind_of_its_error_and_not_with_its_words(
    serve: Any, endpoint: FaultServer
) -> None:
    with serve(app_of(endpoint)) as client:
        answer = client.post("/ask", json={"question": "secret"})
        assert answer.status_code == 500
        assert answer.json()["error"] == {"code": "program_error", "message": "The program failed with ValueError."}
        for fault, status, code in (
            ("auth_401", 502, "auth"),
            ("error_500", 502, "server"),
            ("rate_limit", 503, "rate_limit"),
        ):
            endpoint.faults = always(fault)
            answer = client.post("/ask", json={"question": "?"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert int(answer.headers["retry-after"]) >= 1


def test_a_call_that_takes_too_long_is_ended_and_said_to_be(serve: Any, endpoint: FaultServer) -> None:
    endpoint.faults = always("hang")
    with serve(app_of(endpoint, timeout=0.2)) as client:
        answer = client.post("/ask", json={"question": "?"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline")
        endpoint.wait_until("abandoned", 1)


def test_many_requests_are_at_work_at_once(serve: Any, endpoint: FaultServer) -> None:
    endpoint.latency = 1.0
    with serve(app_of(endpoint)) as client, ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda n: client.post("/ask", json={"question": f"item-{n}"}), range(40)))
    assert [answer.status_code for answer in answers] == [200] * 40
    assert len({answer.text for answer in answers}) == 40
    assert endpoint.max_in_flight >= 5


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_goes_away_cancels_the_request_to_the_model(
    serve: Any, endpoint: FaultServer, accept: str
) -> None:
    endpoint.faults = always("hang")
    with serve(app_of(endpoint)) as client:
        with httpx.Client(base_url=client.base_url, timeout=0.5) as impatient, pytest.raises(httpx.ReadTimeout):
            with impatient.stream("POST", "/ask", json={"question": "?"}, headers={"accept": accept}) as answer:
                answer.read()
        endpoint.wait_until("abandoned", 1)
        endpoint.faults = lambda seen: None
        assert client.post("/ask", json={"question": "?"}).status_code == 200


def events(answer: httpx.Response) -> list[tuple[str, Any]]:
    found = []
    for part in answer.text.strip().split("\n\n"):
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_stream_gives_the_text_of_each_field_as_it_comes_and_then_the_prediction(
    serve: Any, endpoint: FaultServer
) -> None:
    with serve(app_of(endpoint)) as client:
        answer = client.post("/ask", json={"question": "item-7"}, headers={"accept": "text/event-stream"})
        plain = client.post("/ask", json={"question": "item-7"}).json()
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer)
    assert told[-1] == ("prediction", plain)
    chunks = [data for name, data in told[:-1] if name == "chunk"]
    assert len(chunks) == len(told) - 1 >= 2
    assert {(chunk["predictor"], chunk["field"]) for chunk in chunks} == {("ask", "answer")}
    assert [chunk["last"] for chunk in chunks].index(True) == len(chunks) - 1
    assert "".join(chunk["text"] for chunk in chunks) == plain["answer"]
    assert endpoint.requests[0].body["stream"] is True


@pytest.mark.parametrize("adapter", [dspex.JSONAdapter, dspex.XMLAdapter])
def test_a_stream_tells_the_fields_apart_whatever_the_adapter_is(
    serve: Any, endpoint: FaultServer, adapter: Any
) -> None:
    with serve(app_of(endpoint, adapter=adapter())) as client:
        answer = client.post("/ask", json={"question": "item-7"}, headers={"accept": "text/event-stream"})
    told = events(answer)
    assert told[-1][0] == "prediction"
    text = "".join(data["text"] for name, data in told if name == "chunk" and data["field"] == "answer")
    assert text == told[-1][1]["answer"]


def test_a_stream_of_one_application_runs_on_its_own_system(serve: Any, endpoint: FaultServer) -> None:
    with serve(app_of(endpoint)) as client, dspex.System("later", store=False, control_socket=False) as later:
        answer = client.post("/ask", json={"question": "item-7"}, headers={"accept": "text/event-stream"})
        assert later.counters()["lm_calls"] == 0
    assert events(answer)[-1][0] == "prediction"


def test_a_stream_that_fails_ends_with_an_error(serve: Any, endpoint: FaultServer) -> None:
    endpoint.faults = always("error_500")
    with serve(app_of(endpoint)) as client:
        answer = client.post("/ask", json={"question": "?"}, headers={"accept": "text/event-stream"})
    assert [(name, data["code"]) for name, data in events(answer)] == [("error", "server")]


def test_health_says_live_and_ready_and_why_not(serve: Any, endpoint: FaultServer) -> None:
    app = app_of(endpoint)
    with serve(app) as client:
        assert client.get("/livez").json()["live"] is True
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["why"]) == (200, [])
        system = dspex.system.running_systems()[-1]
        for ref in system.programs["judge"].actors().values():
            ref.suspend()
        system.problems["web"] = "the index is being built"
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["why"]) == (503, ["web: the index is being built"])
        assert client.get("/livez").status_code == 200


def test_the_description_is_openapi_with_the_fields_of_the_signatures(serve: Any, endpoint: FaultServer) -> None:
    with serve(app_of(endpoint)) as client:
        document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operation = document["paths"]["/judge"]["post"]
    assert operation["summary"] == "Decide whether a review is positive."
    schemas = document["components"]["schemas"]
    assert schemas["JudgeInputs"]["required"] == ["review"]
    assert schemas["JudgeInputs"]["properties"]["review"]["description"] == "what the customer wrote"
    assert schemas["JudgeInputs"]["properties"]["stars"]["maximum"] == 5
    assert schemas["JudgeOutputs"]["properties"]["sentiment"]["enum"] == ["positive", "negative"]
    assert set(schemas["AskInputs"]["properties"]) == {"question", "times"}
    assert set(schemas["AskOutputs"]["properties"]) == {"answer"}
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas


def test_a_call_at_work_is_finished_when_the_server_is_told_to_stop(serve: Any, endpoint: FaultServer) -> None:
    endpoint.latency = 1.0
    with ThreadPoolExecutor(1) as threads:
        with serve(app_of(endpoint)) as client:
            answer = threads.submit(httpx.post, f"{client.base_url}/ask", json={"question": "?"}, timeout=60)
            endpoint.wait_until("in_flight", 1)  # leaving the block stops the server while this one is at work
        assert answer.result(60).status_code == 200
    assert endpoint.abandoned == 0


def test_a_program_whose_name_is_no_path_is_refused() -> None:
    for name in ("livez", "a/b", ""):
        with pytest.raises(ValueError, match="cannot be served"):
            make_app({name: dspex.Predict("a -> b")})
