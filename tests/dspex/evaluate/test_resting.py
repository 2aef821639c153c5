"""An example whose call waits for its next try gives its place to others, and gets one again after that."""

import asyncio

import pytest

from dspex import Evaluate, System
from dspex._resting import place
from dspex.evaluate import _collector
from dspex.evaluate._worker import WorkerPlace
from dspex.lm import LM
from dspex.predict import Module, Predict
from dspex.primitives import Example, Prediction
from dspex.testing import Fault, FaultServer, script

from .metrics import exact


@pytest.fixture
def system():
    with System(stall_after=1.0) as running:
        yield running


def examples(count):
    return [Example(question=f"q{n}", answer=f"a{n}").with_inputs("question") for n in range(count)]


class Resting(Module):
    """The first `rests` questions rest until all others have been asked; `most` were at work at once."""

    def __init__(self, rests, others):
        super().__init__()
        self.rests, self.others = rests, others
        self.asked = self.at_work = self.most = self.begun = 0
        self.rested = asyncio.Event()

    async def aforward(self, question):
        number = int(question[1:])
        self.begun += 1
        self._enter()
        if number < self.rests:
            own = place.get()
            own.rest()
            self.at_work -= 1
            await self.rested.wait()
            await own.back()
            self._enter()
        else:
            self.asked += 1
            if self.asked == self.others:
                self.rested.set()
        await asyncio.sleep(0)
        self.at_work -= 1
        return Prediction(answer="a" + question[1:])

    def _enter(self):
        self.at_work += 1
        self.most = max(self.most, self.at_work)


@pytest.mark.parametrize("width", [1, 3])
def test_a_resting_example_makes_room_for_another_and_never_are_more_at_work_than_the_width(system, width):
    program = Resting(rests=width, others=12)
    result = Evaluate(devset=examples(width + 12), metric=exact, num_workers=width)(program)
    assert result.score == 100.0
    assert program.most == width


def test_no_more_than_four_times_the_width_are_begun_however_many_rest(system):
    program = Resting(rests=20, others=1)
    evaluation = Evaluate(devset=examples(20), metric=exact, num_workers=3).start(program)
    while program.begun < 12:
        pass
    for _ in range(3):  # whatever else it would begin, it would by now
        system.scheduler.submit(asyncio.sleep, 0).get()
    assert program.begun == 12
    evaluation.cancel()


def test_an_example_gets_its_turn_although_those_at_work_hang(system, monkeypatch):
    class Hanging(Module):
        async def aforward(self, question):
            if question == "q1":
                hangs.set()
                await asyncio.Event().wait()
            own = place.get()
            own.rest()
            await hangs.wait()
            await own.back()
            return Prediction(answer="a0")

    monkeypatch.setattr(_collector, "_TURN", 0.01)
    hangs = asyncio.Event()
    evaluation = Evaluate(devset=examples(2), metric=exact, num_workers=1).start(Hanging())
    while not evaluation.progress.scored:
        pass
    assert [scored.index for scored in evaluation.cancel().scored] == [0]


def test_a_place_rests_once_for_all_calls_of_its_example():
    class Box:
        def __init__(self):
            self.mail = []

        def is_alive(self):
            return True

        def tell(self, message):
            self.mail.append(type(message).__name__)

    box = Box()
    own = WorkerPlace(box, None)
    own.rest()
    own.rest()
    assert own.back().done()
    assert not own.back().done()
    assert box.mail == ["Resting", "Rested"]


def test_a_rate_limited_call_does_not_hold_up_the_others():
    with FaultServer(faults=script(Fault("rate_limit", seconds=3600.0))) as server:
        lm = LM("openai/fake", base_url=server.url, api_key="none", cache=False)
        with System(lm=lm, store=False, control_socket=False):
            evaluation = Evaluate(devset=examples(5), metric=exact, num_workers=1).start(Predict("question -> answer"))
            while evaluation.progress.scored < 4:
                pass
            result = evaluation.cancel()
    assert [failure.index for failure in result.failures] == [0]
