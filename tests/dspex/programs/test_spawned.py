"""A spawned program: its actors, their crashes and restarts, updates, the end."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import dspex
from actors import ActorCrashed, Killed
from dspex.programs import ProgramStoppedError
from tests.dspex.programs.models import Answering, AnsweringAsync, Failing, Model


def restarted(ref: dspex.ProgramRef, path: str, old: Any) -> Any:
    """The actor at `path`, once it is another one than `old`."""
    for _ in range(2000):
        now = ref.actors()[path]
        if now is not None and now is not old and now.is_alive():
            return now
        time.sleep(0.005)
    raise AssertionError(f"{path} was not restarted")


def in_thread(results: list[Any], function: Any, **inputs: Any) -> threading.Thread:
    def run() -> None:
        try:
            results.append(function(**inputs))
        except BaseException as error:  # noqa: BLE001  the tests look at it
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture(params=[Answering, AnsweringAsync], ids=["forward", "aforward"])
def ref(request: pytest.FixtureRequest, system: dspex.System) -> Any:
    return system.spawn(request.param(), name="p")


def test_every_module_instance_has_an_actor_of_its_own(ref: dspex.ProgramRef) -> None:
    actors = ref.actors()
    assert list(actors) == ["self", "first", "second", "second.predict"]
    assert len({actor.id for actor in actors.values() if actor is not None}) == 4


def test_a_module_that_is_in_two_places_has_one_actor(system: dspex.System) -> None:
    class Twice(dspex.Module):
        def __init__(self) -> None:
            self.one = dspex.Predict("question -> answer")
            self.two = [self.one]

        def forward(self, question: str) -> Any:
            return self.two[0](question=self.one(question=question).answer)

    ref = system.spawn(Twice())
    assert list(ref.actors()) == ["self", "one"]
    assert ref(question="q").answer == "answer of answer of q"
    assert ref.metrics()["one"].calls == 2


def test_the_supervision_tree_mirrors_the_composition_and_shows_metrics(
    ref: dspex.ProgramRef, system: dspex.System
) -> None:
    ref(question="q")
    programs = next(child for child in system.tree()["children"] if child["id"] == "programs")
    (program,) = programs["children"]
    assert program["id"] == "p"
    assert {child["id"] for child in program["children"]} == {"self", "first", "second", "second.predict"}
    metrics = {child["id"]: child["metrics"] for child in ref.tree()["children"]}
    assert {path: shown["calls"] for path, shown in metrics.items()} == dict.fromkeys(metrics, 1)
    assert metrics["first"]["total_tokens"] == 15
    assert metrics["first"]["cost"] == 0.25


def test_nested_calls_go_to_the_actors_of_their_modules(ref: dspex.ProgramRef) -> None:
    for _ in range(3):
        ref(question="q")
    metrics = ref.metrics()
    assert {path: m.calls for path, m in metrics.items()} == dict.fromkeys(metrics, 3)
    assert {path: m.lm_calls for path, m in metrics.items()} == {
        "self": 0,
        "first": 3,
        "second": 0,
        "second.predict": 3,
    }
    assert metrics["self"].p50 is not None
    assert metrics["self"].p50 >= (metrics["first"].p50 or 0)


def test_the_original_may_be_changed_without_effect(system: dspex.System) -> None:
    original = Answering()
    ref = system.spawn(original)
    original.first.signature = original.first.signature.with_instructions("something else")
    assert "something else" not in ref.parameters["first"].signature.instructions
    assert ref.program is not original


@pytest.mark.parametrize("path", ["self", "first", "second"])
def test_the_death_of_a_modules_actor_fails_the_calls_at_work_and_later_ones_work(
    ref: dspex.ProgramRef, model: Model, path: str
) -> None:
    ref.update(instructions={"first": "Answer in verse."})
    model.hold()
    results: list[Any] = []
    threads = [in_thread(results, ref, question=f"q{n}") for n in range(5)]
    model.wait_for(5)
    if path == "second":  # not at work yet: its death is nobody's
        gate, model.gate = model.gate, None
        assert gate is not None
    old = ref.actors()[path]
    assert old is not None
    old.kill()
    restarted(ref, path, old)
    if path == "second":
        gate.set(None)
    for thread in threads:
        thread.join(10)
    if path == "second":
        assert [result.answer[:6] for result in results] == ["answer"] * 5
    else:
        assert [type(result) for result in results] == [ActorCrashed] * 5
        assert results[0].reason == Killed()
    model.gate = None
    before = len(model.requests)
    assert ref(question="again").answer == "answer of again"
    assert "Answer in verse." in str(model.requests[before].messages)


def test_a_module_that_leaves_the_interpreter_ends_its_actor_not_the_process(
    system: dspex.System, model: Model
) -> None:
    ref = system.spawn(Failing())
    model.hold()
    results: list[Any] = []
    thread = in_thread(results, ref, question="q")
    model.wait_for(1)
    old = ref.actors()["self"]
    with pytest.raises(ActorCrashed) as raised:
        ref(question="exit")
    assert isinstance(raised.value.__cause__, SystemExit)
    thread.join(10)
    assert isinstance(results[0], ActorCrashed)
    model.gate = None
    restarted(ref, "self", old)
    assert ref(question="q").answer == "answer of q"


def test_a_restarted_module_begins_with_its_first_state(system: dspex.System) -> None:
    class Counting(dspex.Module):
        def __init__(self) -> None:
            self.first = dspex.Predict("question -> answer")
            self.seen: list[str] = ["from the beginning"]

        def forward(self, question: str) -> list[str]:
            self.seen.append(question)
            return list(self.seen)

    ref = system.spawn(Counting())
    ref(question="a")
    assert ref(question="b") == ["from the beginning", "a", "b"]
    old = ref.actors()["self"]
    assert old is not None
    old.kill()
    assert ref(question="c") == ["from the beginning", "c"]
    old = restarted(ref, "self", old)
    old.kill()
    assert ref(question="d") == ["from the beginning", "d"]


def test_calls_that_come_while_an_actor_is_restarted_wait_for_it(ref: dspex.ProgramRef) -> None:
    for _ in range(5):
        old = ref.actors()["first"]
        assert old is not None
        old.kill()
        replies = [ref.call(question=f"q{n}") for n in range(20)]
        outcomes = [reply.get(timeout=10) for reply in replies]
        assert [outcome.answer for outcome in outcomes] == [f"answer of q{n}" for n in range(20)]
        restarted(ref, "first", old)


def test_with_one_for_all_every_module_of_the_program_is_restarted(system: dspex.System) -> None:
    ref = system.spawn(Answering(), strategy="one_for_all")
    before = ref.actors()
    first = before["first"]
    assert first is not None
    first.kill()
    for path, old in before.items():
        restarted(ref, path, old)
    assert ref(question="q").answer == "answer of q"


def test_too_many_crashes_end_the_program_and_free_its_name(system: dspex.System) -> None:
    ref = system.spawn(Failing(), name="weak", intensity=1, period=1000)
    old = ref.actors()["self"]
    assert old is not None
    old.kill()
    old = restarted(ref, "self", old)
    supervisor = ref.supervisor
    assert supervisor is not None
    down = supervisor.down()
    old.kill()
    down.get(timeout=10)
    with pytest.raises(ProgramStoppedError) as raised:
        ref(question="q")
    assert raised.value.program == "weak"
    assert not ref.is_alive()
    assert "weak" not in system.programs
    assert system.spawn(Failing(), name="weak")(question="q").answer == "answer of q"


def test_stopping_fails_the_calls_at_work_and_refuses_later_ones(ref: dspex.ProgramRef, model: Model) -> None:
    model.hold()
    results: list[Any] = []
    thread = in_thread(results, ref, question="q")
    model.wait_for(1)
    ref.stop(timeout=10)
    thread.join(10)
    assert isinstance(results[0], ActorCrashed)
    with pytest.raises(ProgramStoppedError):
        ref.call(question="q").get(timeout=10)
    assert model.cancelled == 1
    ref.stop(timeout=10)


def test_a_name_belongs_to_one_running_program(ref: dspex.ProgramRef, system: dspex.System) -> None:
    with pytest.raises(ValueError, match="'p'"):
        system.spawn(Answering(), name="p")
    assert system.spawn(Answering()).name == "Answering"
    assert system.spawn(Answering()).name == "Answering-2"


def test_a_program_is_spawned_and_stopped_on_a_users_loop_too(system: dspex.System) -> None:
    async def main() -> Any:
        ref = await system.aspawn(Answering(), name="async")
        result = await ref.acall(question="q")
        await ref.astop()
        return result

    assert asyncio.run(main()).answer == "answer of q"
    assert "async" not in system.programs


def test_only_modules_are_spawned(system: dspex.System) -> None:
    with pytest.raises(TypeError, match="Module"):
        system.spawn(lambda question: question)  # type: ignore[arg-type]


# -- updates


def test_an_update_holds_from_the_next_call_on_and_no_call_is_dropped(ref: dspex.ProgramRef, model: Model) -> None:
    gate = model.hold()
    results: list[Any] = []
    before = [in_thread(results, ref, question=f"old{n}") for n in range(10)]
    model.wait_for(10)
    ref.update(instructions="The new instructions.")
    after = [in_thread(results, ref, question=f"new{n}") for n in range(10)]
    model.wait_for(10)
    model.gate = None
    gate.set(None)
    for thread in before + after:
        thread.join(10)
    assert sorted(result.answer for result in results) == sorted(
        [f"answer of old{n}" for n in range(10)] + [f"answer of new{n}" for n in range(10)]
    )
    for request in model.requests:
        text = str(request.messages)
        assert ("The new instructions." in text) == ("new" in str(request.messages[-1])), text  # type: ignore[index]


def test_demos_lm_config_and_state_are_updated_too(ref: dspex.ProgramRef, model: Model) -> None:
    other = Model()
    demo = dspex.Example(question="2+2", answer="four").with_inputs("question")
    ref.update(demos={"first": [demo]}, lm={"first": other}, config={"first": {"temperature": 0.9}})
    ref(question="q")
    assert "four" in str(other.requests[0].messages)
    assert other.requests[0].params["temperature"] == 0.9
    assert len(model.requests) == 1

    donor = type(ref.program)()
    donor.first.signature = donor.first.signature.with_instructions("From the donor.")
    ref.adopt(donor)
    assert ref.parameters["first"].signature.instructions == "From the donor."
    assert ref.parameters["first"].demos == []
    donor.second.predict.demos = [demo]
    ref.load_state(donor.dump_state())
    assert ref.parameters["second.predict"].demos[0].answer == "four"
    assert ref.program.second.predict.demos[0].answer == "four"


def test_an_update_that_cannot_be_made_changes_nothing(ref: dspex.ProgramRef) -> None:
    before = ref.parameters
    with pytest.raises(KeyError, match="third"):
        ref.update(instructions={"first": "x", "third": "y"})
    with pytest.raises(ValueError, match="first"):
        ref.update(demos=[])
    with pytest.raises(TypeError, match="colour"):
        ref.update(colour="red")
    assert ref.parameters == before


def test_under_a_stream_of_updates_every_call_has_one_consistent_set_of_parameters(
    ref: dspex.ProgramRef, model: Model
) -> None:
    async def main() -> list[Any]:
        async def update() -> None:
            for number in range(50):
                ref.update(instructions=f"Version {number}.")
                await asyncio.sleep(0)

        calls = [ref.acall(question=f"q{n}") for n in range(100)]
        results = await asyncio.gather(update(), *calls)
        return results[1:]

    assert [result.answer for result in asyncio.run(main())] == [f"answer of q{n}" for n in range(100)]
    versions: dict[str, set[str]] = {}
    for request in model.requests:
        text = str(request.messages)
        question = text.rsplit("of q", 1)[-1].split("\\n")[0] if "answer of q" in text else ""
        version = text.split("Version ")[1].split(".")[0] if "Version " in text else "first"
        if question:
            versions.setdefault(question, set()).add(version)
    assert all(len(seen) == 1 for seen in versions.values())
