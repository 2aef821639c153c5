"""Which language model a run asks, and what it costs."""

import pytest

from dspex._settings import context
from dspex.evaluate import Evaluate
from dspex.lm import BaseLM, LMOutput, LMResponse, Usage
from dspex.predict import Predict
from dspex.primitives import Example
from dspex.system import System
from dspex.teleprompt import BootstrapFewShot, BootstrapFewShotWithRandomSearch


class Stubborn(BaseLM):
    """Gives no usable answer, unless it is asked warmly, and for the given sample."""

    def __init__(self, name="stubborn"):
        super().__init__(name)
        self.asked = []

    async def respond(self, request):
        self.asked.append((request.params.get("temperature"), request.rollout_id))
        warm = (request.params.get("temperature") or 0.0) > 0.0 and "retry" in str(request.rollout_id)
        text = "[[ ## answer ## ]]\na\n\n[[ ## completed ## ]]" if warm else "garbage"
        return LMResponse([LMOutput(text)], Usage(requests=1), self.model)


@pytest.fixture
def system():
    with System(lm=Stubborn("default"), store=False, control_socket=False) as running:
        yield running


def examples(count):
    return [Example(question=f"q{n}", answer="a").with_inputs("question") for n in range(count)]


def exact(example, prediction, trace=None):
    return example.answer == prediction.answer


def search(**more):
    options = {"num_candidate_programs": 0, "max_bootstrapped_demos": 0, "max_labeled_demos": 0, **more}
    return BootstrapFewShotWithRandomSearch(exact, **options)


def test_an_unusable_answer_is_asked_for_again_of_the_model_that_gave_it(system):
    own = Stubborn("own")
    teacher = Stubborn("teacher")
    program = Predict("question -> answer")
    program.set_lm(own)
    assert search().compile(program, trainset=examples(3)).optimization.score == 100.0
    assert Evaluate(devset=examples(3), metric=exact)(program).score == 100.0
    teaching = BootstrapFewShot(exact, teacher_settings={"lm": teacher}, max_labeled_demos=0)
    assert teaching.compile(Predict("question -> answer"), trainset=examples(2)).demos
    assert own.asked
    assert teacher.asked
    assert system.lm.asked == []


def test_samples_that_are_told_apart_stay_apart_when_they_are_asked_for_again(system):
    first, second = Stubborn(), Stubborn()
    for lm, rollout in ((first, 1), (second, 2)):
        with context(lm=lm.copy(rollout_id=rollout, temperature=1.0)):
            assert Evaluate(devset=examples(1), metric=exact)(Predict("question -> answer")).score == 100.0
    assert {rollout for _, rollout in first.asked} == {1, "1.retry-2"}
    assert {rollout for _, rollout in second.asked} == {2, "2.retry-2"}
    assert {warmth for warmth, _ in first.asked} == {1.0}
