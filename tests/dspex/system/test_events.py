"""Every fact of interest is an event: of actors, models, cache, evaluations, runs, stalls and quarantined inputs."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

import dspex
from actors import AsyncActor, Event
from dspex.control import Client
from dspex.quarantine import QuarantinedError
from dspex.testing import DummyLM, FaultServer
from dspex.testing._faults import always
from supervision import ChildSpec

PATIENCE = 60


class Heard:
    """The events of a system, as a subscriber gets them."""

    def __init__(self, system: dspex.System, topic: str = "") -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._subscription = system.events.subscribe(topic, self._hear)

    def _hear(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def until(self, topic: str, count: int = 1) -> list[Event]:
        """Those of a topic, when there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(topic)) >= count, PATIENCE), (topic, self.topics())
            return self.of(topic)

    def of(self, topic: str) -> list[Event]:
        return [event for event in self.events if event.name == topic]

    def topics(self) -> set[str]:
        return {event.name for event in self.events}


class Fragile(AsyncActor):
    def on_receive(self, message: Any) -> Any:
        raise RuntimeError("it broke")


class Kills(dspex.Module):
    """Its actor dies of one input."""

    def forward(self, question: str) -> Any:
        if question == "poison":
            raise SystemExit("that was too much")
        return dspex.Prediction(answer=question)


def examples(*questions: str) -> list[dspex.Example]:
    return [dspex.Example(question=each, answer=each).with_inputs("question") for each in questions]


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


@contextmanager
def model(**options: Any) -> Iterator[tuple[FaultServer, dspex.LM]]:
    with FaultServer() as server:
        yield server, dspex.LM("openai/m", base_url=server.url, api_key="k", num_retries=0, **options)


def test_the_life_of_actors_and_supervisors(make: Any) -> None:
    with make(children=(ChildSpec("fragile", Fragile),)) as system:
        heard = Heard(system)
        system.root._process.table.find("fragile").ref.tell("break")
        (crash,) = heard.until("actor.crashed")
        assert crash.metadata["reason"].message == "it broke"
        (report,) = heard.until("supervisor.child_terminated")
        assert report.metadata["path"] == "test"
        assert report.metadata["report"].child == "fragile"
        assert heard.until("actor.started")[0].metadata["class"] == "Fragile"
        system.spawn(dspex.Predict("question -> answer"), name="qa").stop()
        assert heard.until("actor.ended")


def test_requests_to_a_model_with_their_start_stop_and_failure_and_the_cache(make: Any, tmp_path: Path) -> None:
    with model() as (server, lm), make(lm=lm) as system:
        heard = Heard(system)
        qa = dspex.Predict("question -> answer")
        for _ in range(2):
            qa(question="item-1")
        start, again = heard.until("lm.request.start", 2)
        assert start.metadata["model"] == "openai/m"
        stops = heard.until("lm.request.stop", 2)
        assert [stop.metadata["cached"] for stop in stops] == [False, True]
        assert stops[0].measurements["duration"] > 0
        assert stops[0].metadata["id"] == start.metadata["id"] != again.metadata["id"]
        assert heard.until("cache.miss")
        assert heard.until("cache.hit")[0].metadata["tier"] == "memory"
        server.faults = always("error_500")
        with pytest.raises(dspex.LMError):
            qa(question="item-2")
        (failed,) = heard.until("lm.request.exception")
        assert (failed.metadata["status"], failed.metadata["code"]) == (500, "server")


def test_a_breaker_that_opens_and_a_limiter_that_pauses(make: Any) -> None:
    with model(cache=False) as (server, lm), make(lm=lm) as system:
        heard = Heard(system, "lm")
        qa = dspex.Predict("question -> answer")
        server.faults = always("error_500")
        while "lm.breaker.opened" not in heard.topics():
            with pytest.raises(dspex.LMError):
                qa(question="?")
        assert heard.of("lm.breaker.opened")[0].metadata["failure"]
    with model(cache=False) as (server, lm), make(lm=lm) as system:
        heard = Heard(system, "lm")
        server.faults = always("rate_limit")
        while "lm.limiter.paused" not in heard.topics():
            with pytest.raises(dspex.LMError):
                qa(question="?")
        assert heard.of("lm.limiter.paused")[0].measurements["seconds"] > 0


def test_the_progress_of_an_evaluation(make: Any) -> None:
    with make(lm=DummyLM([{"answer": "yes"}] * 3)) as system:
        heard = Heard(system, "evaluation")

        def metric(example: Any, prediction: Any, trace: Any = None) -> float:
            if example.question == "b":
                raise ValueError("no verdict")
            return 1.0

        program = system.spawn(dspex.Predict("question -> answer"), name="qa")
        dspex.Evaluate(devset=examples("a", "b", "c"), metric=metric, max_retries=0)(program)
        (started,) = heard.until("evaluation.started")
        assert (started.measurements["total"], started.metadata["program"]) == (3, "qa")
        assert started.metadata["metric"] == "metric"
        (failure,) = heard.until("evaluation.failure")
        assert (failure.metadata["index"], failure.metadata["kind"]) == (1, "metric_error")
        assert failure.metadata["error"] == "MetricError: the metric raised ValueError: no verdict"
        (finished,) = heard.until("evaluation.finished")
        assert (finished.measurements["scored"], finished.measurements["failed"]) == (2, 1)
        assert finished.measurements["score"] == 100.0
        assert finished.metadata["failures"] == {"metric_error": 1}
        progress = heard.of("evaluation.progress")[-1].measurements
        assert (progress["done"], progress["total"], progress["in_flight"]) == (3, 3, 0)
        assert {event.metadata["evaluation"] for event in heard.events} == {started.metadata["evaluation"]}


def test_the_progress_and_the_states_of_an_optimization_run(make: Any) -> None:
    with make(lm=DummyLM([{"answer": "a"}] * 200)) as system:
        heard = Heard(system, "run")
        optimizer = dspex.BootstrapFewShotWithRandomSearch(metric=exact, num_candidate_programs=2)
        trainset = examples(*"abcdef")
        better = optimizer.compile(dspex.Predict("question -> answer"), trainset=trainset, run_id="r1")
        (started,) = heard.until("run.started")
        assert (started.metadata["run"], started.metadata["program"]) == ("r1", "Predict")
        best = [event.measurements["score"] for event in heard.until("run.best")]
        assert best == sorted(set(best))
        (finished,) = heard.until("run.finished")
        assert finished.metadata["state"] == "done"
        assert finished.measurements["best"] == best[-1] == better.optimization.score


def test_a_run_that_is_paused_resumed_and_cancelled(make: Any) -> None:
    release = threading.Event()

    class Waits(dspex.Module):
        blocking = True

        def __init__(self) -> None:
            super().__init__()
            self.ask = dspex.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            release.wait(PATIENCE)
            return self.ask(question=question)

    with make(lm=DummyLM([{"answer": "a"}] * 200)) as system:
        heard = Heard(system, "run")
        optimizer = dspex.BootstrapFewShotWithRandomSearch(metric=exact, num_candidate_programs=2)
        run = optimizer.start(Waits(), trainset=examples(*"abcdef"), run_id="r2")
        while run.status() is None:
            pass
        run.pause()
        heard.until("run.paused")
        run.resume()
        heard.until("run.resumed")
        release.set()
        run.cancel()
        (finished,) = heard.until("run.finished")
        assert finished.metadata["state"] in ("cancelled", "done")
        assert system.live_runs() == {}


def test_a_stall_of_the_loop(make: Any) -> None:
    with make(stall_after=0.05) as system:
        heard = Heard(system, "scheduler")
        release = threading.Event()
        system.scheduler.call_soon(release.wait, PATIENCE)
        while system.scheduler.stall is None:
            release.wait(0.01)
        release.set()
        (stalled, *_) = heard.until("scheduler.stalled")
        assert stalled.measurements["seconds"] > 0
        assert "release" in stalled.metadata["stack"] or stalled.metadata["stack"]


def test_an_input_that_kills_workers_of_an_evaluation_is_a_quarantined_one(make: Any, tmp_path: Path) -> None:
    with make(store=str(tmp_path / "s.db")) as system:
        heard = Heard(system, "quarantine")
        result = dspex.Evaluate(devset=examples("a", "poison"), metric=exact, quarantine_after=2)(Kills())
        assert [str(failure.kind) for failure in result.failures] == ["quarantined"]
        (added,) = heard.until("quarantine.added")
        assert (added.metadata["program"], added.measurements["kills"]) == ("Kills", 2)
        (found,) = system.quarantine.list()
        assert (found.program, found.payload) == ("Kills", {"question": "poison"})
        assert "too much" in found.reason


def ends_its_process(example: Any, prediction: Any, trace: Any = None) -> bool:
    os._exit(1)


def test_a_death_is_counted_once_and_only_against_what_died(make: Any, tmp_path: Path) -> None:
    with make(store=str(tmp_path / "s.db")) as system:
        heard = Heard(system, "quarantine")
        ref = system.spawn(Kills(), name="kills")
        result = dspex.Evaluate(devset=examples("a", "poison"), metric=exact, quarantine_after=2)(ref)
        assert [str(failure.kind) for failure in result.failures] == ["quarantined"]
        assert heard.until("quarantine.added")[0].measurements["kills"] == 2
        # Known from now on, the input is not even given to the program.
        again = dspex.Evaluate(devset=examples("poison"), metric=exact)(ref)
        assert [(str(failure.kind), failure.attempts) for failure in again.failures] == [("quarantined", 1)]
        metrics = dspex.Evaluate(
            devset=examples("b"), metric=ends_its_process, metric_executor="process", max_retries=1, quarantine_after=5
        )(ref)
        assert [str(failure.kind) for failure in metrics.failures] == ["worker_crash"]
        assert [found.payload["question"] for found in system.quarantine.list()] == ["poison"]
    assert [event.measurements["kills"] for event in heard.events] == [1, 2]


def test_an_input_that_kills_a_running_program_is_refused_until_it_is_released(make: Any, tmp_path: Path) -> None:
    with make(store=str(tmp_path / "s.db")) as system:
        heard = Heard(system, "quarantine")
        ref = system.spawn(Kills(), name="kills")
        for _ in range(2):
            with pytest.raises(Exception, match=r"too much|crashed"):
                ref(question="poison")
        (added,) = heard.until("quarantine.added")
        with pytest.raises(QuarantinedError, match="killed 2 workers"):
            ref(question="poison")
        assert ref(question="fine").answer == "fine"
        key = added.metadata["key"]
        with pytest.raises(Exception, match=r"too much|crashed"):
            system.replay_input(key)  # it is given to the program although it is set aside, and stays so
        with pytest.raises(QuarantinedError):
            ref(question="poison")
        system.quarantine.release(key)
        heard.until("quarantine.released")
        with pytest.raises(Exception, match=r"too much|crashed"):
            ref(question="poison")
    with make(store=str(tmp_path / "s.db"), name="next") as system:
        system.quarantine.strike("kills", {"question": "other"}, reason="x")
        system.quarantine.strike("kills", {"question": "other"}, reason="x")
    with make(store=str(tmp_path / "s.db"), name="third") as system:
        ref = system.spawn(Kills(), name="kills")
        assert system.quarantine.refresh() >= 1
        with pytest.raises(QuarantinedError):
            ref(question="other")


def test_subscribers_are_functions_coroutine_functions_and_bounded_iterators(make: Any) -> None:
    async def main() -> None:
        with make() as system:
            heard = asyncio.Event()

            async def hear(event: Event) -> None:
                heard.set()

            system.events.subscribe("shop", hear)
            with system.events.stream("shop.order", limit=2) as stream:
                for number in range(5):
                    system.events.emit("shop.order.placed", {"number": number})
                async with asyncio.timeout(PATIENCE):
                    await heard.wait()
                    first = await anext(aiter(stream))
                assert (first.name, first.measurements) == ("shop.order.placed", {"number": 3})  # the oldest are lost
                assert stream.dropped == 3

    asyncio.run(main())


def test_structlog_gets_what_the_log_level_lets_through(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def logged(level: str) -> dict[str, str]:
        monkeypatch.setenv("DSPEX_LOG_LEVEL", level)
        with structlog.testing.capture_logs() as lines, make(name=level) as system:
            dspex.Evaluate(devset=examples("a"), metric=exact)(dspex.Predict("question -> answer"))
            system.events.emit("lm.breaker.opened", {"trips": 1}, {"pool": "p", "failure": "outage"})
            system.events.emit("lm.breaker.closed", {"trips": 1}, {"pool": "p"})
        return {line["event"]: line["log_level"] for line in lines}

    assert logged("warning") == {"lm.breaker.opened": "warning"}
    told = logged("debug")
    assert told["evaluation.progress"] == "debug"
    assert told["evaluation.finished"] == "info"
    assert (told["lm.breaker.opened"], told["lm.breaker.closed"]) == ("warning", "info")
    assert logged("error") == {}


def test_a_crash_is_one_line_of_the_log_and_not_two(make: Any) -> None:
    with structlog.testing.capture_logs() as lines, make(children=(ChildSpec("fragile", Fragile),)) as system:
        heard = Heard(system, "supervisor")
        system.root._process.table.find("fragile").ref.tell("break")
        heard.until("supervisor.child_terminated")
    assert [line["event"] for line in lines] == ["supervisor.child_terminated"]


def test_the_socket_gives_events_as_they_happen(make: Any, short: Path) -> None:
    with make(control_socket=str(short / "x.sock")) as system:
        assert system.control_socket is not None
        with Client(system.control_socket, timeout=PATIENCE) as client:
            items = client.stream("events", topics=["evaluation.finished", "hello", "evaluation.started"])
            got: list[Any] = []
            reader = threading.Thread(target=lambda: got.extend(itertools.islice(items, 3)))
            reader.start()
            while not system.events.wants("hello"):
                threading.Event().wait(0.01)
            system.events.emit("hello")
            dspex.Evaluate(devset=examples("a"), metric=exact)(dspex.Predict("question -> answer"))
            reader.join(PATIENCE)
    assert [item["topic"] for item in got] == ["hello", "evaluation.started", "evaluation.finished"]
    assert got[2]["measurements"]["scored"] == 1
