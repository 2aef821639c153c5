"""A world without models for testing searches: programs are functions, and an executor that calls them."""

import random
from dataclasses import dataclass, field

from dspex.teleprompt._candidate import Candidate, content_key
from dspex.teleprompt._driver import Driver
from dspex.teleprompt._journal import MemoryJournal
from dspex.teleprompt._task import FieldSpec, PredictorSpec, ProgramSpec, Record, Task


def spec(*names: str, compiled: bool = False) -> ProgramSpec:
    predictors = tuple(
        PredictorSpec(name, f"Answer as {name}.", (FieldSpec("question"),), (FieldSpec("answer"),)) for name in names
    )
    return ProgramSpec(predictors, source="class Program: ...", compiled=compiled)


def records(count: int, start: int = 0) -> tuple[Record, ...]:
    return tuple(
        Record({"question": f"q{n}", "answer": f"a{n}"}, frozenset({"question"})) for n in range(start, start + count)
    )


def task(*names: str, train: int = 12, val: int = 12, teacher: ProgramSpec | None = None) -> Task:
    return Task(spec(*(names or ("first",))), records(train), records(val, 100), teacher)


class Kill(BaseException):
    """The process died."""


@dataclass
class World:
    """Scores, traces and proposals as pure functions of the unit, and a count of what was asked for.

    ``order``: a random generator that decides which of the units in flight is done next. ``kill_after``: so many
    units are settled before the process dies.
    """

    task: Task
    width: int = 4
    order: random.Random = field(default_factory=lambda: random.Random(0))
    asked: dict = field(default_factory=dict)
    kill_after: int | None = None
    settled: int = 0

    def score(self, candidate: Candidate, record: Record) -> float:
        """More demonstrations and longer instructions are better, each with a different taste for examples."""
        good = sum(len(s.instructions) + 7 * len(s.demos) for s in candidate.predictors)
        return float(int(content_key(candidate.key, record.key), 16) % 100 < good)

    def trace(self, candidate: Candidate, record: Record, rollout: int) -> dict:
        passed = int(content_key(candidate.key, record.key, rollout), 16) % 3 > 0
        steps = [[name, {"question": record.fields["question"], "answer": f"{name}!"}] for name in candidate.names]
        return {"score": float(passed), "steps": steps}

    def propose(self, request) -> dict:
        digest = content_key(request.prompt.name, dict(request.values), request.rollout)
        return {"outputs": {name: f"{name} {digest}" for name, _ in request.prompt.outputs}}

    def work(self, unit) -> dict:
        self.asked[unit.key] = self.asked.get(unit.key, 0) + 1
        match unit.kind:
            case "score":
                record = self.task.split(unit.request.split)[unit.index]
                return {"score": self.score(unit.request.candidate, record)}
            case "trace":
                return self.trace(unit.request.candidate, self.task.trainset[unit.index], unit.request.rollout)
            case "propose":
                return self.propose(unit.request)

    def run(self, search, journal=None, **options) -> Driver:
        """Drive the search to its end, at most ``width`` units at a time, ending in random order."""
        driver = Driver(search, self.task, MemoryJournal() if journal is None else journal, **options)
        driver.start()
        flying = []
        while not driver.is_done:
            while len(flying) < self.width and (unit := driver.take()) is not None:
                flying.append((unit, self.work(unit)))
            assert flying, "the search waits for nothing"
            unit, value = flying.pop(self.order.randrange(len(flying)))
            if self.kill_after is not None and self.settled >= self.kill_after:
                raise Kill
            driver.settle(unit, value)
            self.settled += 1
        if driver.error is not None:
            raise driver.error
        return driver
