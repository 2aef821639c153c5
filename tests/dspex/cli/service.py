"""A service under load, as a process: what the command line is pointed at in these tests.

It says `ready` when it runs; then it obeys one word a line: `stall SECONDS` holds the event loop, `crowd` starts ten
thousand actors, `poison` gives a program what kills it, `evaluate` and `optimize ID` begin long jobs, `stop` ends it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import dspex
from actors import AsyncActor
from dspex.lm import BaseLM, LMOutput, LMRequest, LMResponse, Usage
from dspex.store import DeadLetter, NewRun, Owner
from supervision import ChildSpec, SupervisorSpec


class Slow(BaseLM):
    """Answers everything after a tenth of a second."""

    async def respond(self, request: LMRequest) -> LMResponse:
        await asyncio.sleep(0.1)
        text = "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"
        return LMResponse([LMOutput(text)], Usage(10, 5, 15), self.model, cost=0.001)


class Rag(dspex.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ask = dspex.Predict("question -> answer")

    async def aforward(self, question: str) -> Any:
        return await self.ask.acall(question=question)


class Kills(dspex.Module):
    """Its actor dies of one input, until somebody has cured it."""

    cured = False

    def forward(self, question: str) -> Any:
        if question == "poison" and not Kills.cured:
            raise SystemExit("too much")
        return dspex.Prediction(answer="fine")


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


def examples(count: int) -> list[dspex.Example]:
    return [dspex.Example(question=str(n), answer="yes").with_inputs("question") for n in range(count)]


def poison(system: dspex.System, program: Any) -> None:
    """Give it twice what kills it; returns when it is set aside."""
    with system.events.stream("quarantine.added") as added:
        for _ in range(2):
            try:
                program(question="poison")
            except Exception:  # noqa: BLE001  # the end of the actor
                pass
        next(iter(added))


class Fragile(AsyncActor):
    """Crashes at the word."""

    def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise RuntimeError("the fragile one broke")


class Member(AsyncActor):
    """One of many."""


async def load(program: Any) -> None:
    async def ask(number: int) -> None:
        while True:
            try:
                await program.acall(question=f"question {number}")
            except Exception:  # noqa: BLE001  # whatever the tests do to the program, the load goes on
                await asyncio.sleep(0.05)

    await asyncio.gather(*(ask(number) for number in range(20)))


def main() -> None:
    children = (
        ChildSpec("fragile", Fragile),
        SupervisorSpec(*(ChildSpec(str(n), Member) for n in range(2000)), id="workers"),
    )
    with dspex.System("shop", lm=Slow("slow/one", cache=False), children=children) as system:
        program = system.spawn(Rag(), name="rag")
        store = system.store
        assert store is not None
        store.runs.create(NewRun("rag-1", "optimize", "rag", config={"seed": 1}))
        store.runs.claim("rag-1", Owner.current())
        store.runs.create(NewRun("rag-0", "optimize", "rag", config={"seed": 2}))
        store.dead_letters.add(DeadLetter("call", "rag", {"question": "again?"}, "nobody was there"))
        system.scheduler.submit(load(program))
        kills = system.spawn(Kills(), name="kills")
        jobs: list[Any] = []
        print("ready", flush=True)
        for line in sys.stdin:
            match line.split():
                case ["stall", seconds]:
                    system.scheduler.call_soon(time.sleep, float(seconds))
                case ["crash"]:
                    table: Any = system.root._process.table  # type: ignore[union-attr]
                    table.find("fragile").ref.tell("crash")
                case ["crowd"]:
                    for number in range(4):
                        spec = SupervisorSpec(*(ChildSpec(str(n), Member) for n in range(2000)), id=f"crowd{number}")
                        from supervision import start_child

                        start_child(system.root, spec).get()
                case ["poison"]:
                    poison(system, kills)
                case ["cure"]:
                    Kills.cured = True
                case ["evaluate"]:
                    evaluate = dspex.Evaluate(devset=examples(100_000), metric=exact, num_workers=2)
                    jobs.append(evaluate.start(dspex.Predict("question -> answer")))
                case ["optimize", name]:
                    optimizer = dspex.BootstrapFewShotWithRandomSearch(metric=exact, num_threads=2)
                    program = dspex.Predict("question -> answer")
                    jobs.append(optimizer.start(program, trainset=examples(2000), run_id=name))
                case ["stop"]:
                    break
            print("done", flush=True)


if __name__ == "__main__":
    main()
