"""Metrics that ask a model: what they ask, and what they make of the answer."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex import Evaluate, System
from dspex import _errors as errors
from dspex.evaluate import CompleteAndGrounded, SemanticF1
from dspex.evaluate._judges import harmonic_mean
from dspex.primitives import Example, Prediction
from dspex.testing import DummyLM

EXAMPLE = Example(question="Why is the sky blue?", response="Air scatters blue light most.").with_inputs("question")
ANSWER = Prediction(response="Because of scattering.", context=["Blue light is scattered most."])


def asked(lm):
    return str(lm.history[-1]["messages"])


def judged(metric, answers, trace=None):
    lm = DummyLM([{"reasoning": "...", **answer} for answer in answers])
    with System(lm=lm, store=False, control_socket=False):
        return metric(EXAMPLE, ANSWER, trace).score, asked(lm)


@pytest.mark.parametrize("decompositional", [False, True])
def test_semantic_f1_is_the_harmonic_mean_of_what_the_judge_finds(decompositional):
    ideas = {"ground_truth_key_ideas": "a", "system_response_key_ideas": "b", "discussion": "c"}
    answer = {**(ideas if decompositional else {}), "recall": "0.5", "precision": "1.0"}
    score, prompt = judged(SemanticF1(decompositional=decompositional), [answer])
    assert score == pytest.approx(2 / 3)
    assert EXAMPLE.response in prompt
    assert ANSWER.response in prompt
    assert ("ground_truth_key_ideas" in prompt) is decompositional


def test_complete_and_grounded_asks_twice_and_shows_the_context_to_one_judge():
    complete = {"ground_truth_key_ideas": "a", "system_response_key_ideas": "b", "discussion": "c", "completeness": "1"}
    grounded = {"system_response_claims": "a", "discussion": "c", "groundedness": "0.5"}
    score, last = judged(CompleteAndGrounded(), [complete, grounded])
    assert score == pytest.approx(2 / 3)
    assert ANSWER.context[0] in last
    assert EXAMPLE.response not in last


@pytest.mark.parametrize(("threshold", "verdict"), [(0.6, True), (0.7, False)])
def test_with_a_trace_the_score_says_whether_the_threshold_is_reached(threshold, verdict):
    score, _ = judged(SemanticF1(threshold), [{"recall": "0.5", "precision": "1.0"}], trace=[])
    assert score is verdict


FRACTIONS = st.integers(-50, 150).map(lambda percent: percent / 100) | st.sampled_from([math.inf, -math.inf])


@given(FRACTIONS, FRACTIONS)
def test_the_harmonic_mean_is_a_fraction_and_between_the_two(one, other):
    found = harmonic_mean(one, other)
    low, high = sorted(max(0.0, min(1.0, value)) for value in (one, other))
    assert found == harmonic_mean(other, one)
    assert low * (1 - 1e-9) <= found <= high * (1 + 1e-9) or found == 0.0 == low


def test_a_judge_that_says_nan_gives_no_score():
    with pytest.raises(ValueError, match="NaN"):
        harmonic_mean(math.nan, 1.0)


def test_a_judge_s_outage_is_an_outage_of_the_example():
    class Down(DummyLM):
        async def respond(self, request):
            if "precision" in str(request.messages):
                raise errors.LMServerError("500")
            return await super().respond(request)

    def program(question):
        return ANSWER

    with System(lm=Down([]), store=False, control_socket=False):
        result = Evaluate(devset=[EXAMPLE], metric=SemanticF1(), max_retries=0)(program)
    assert result.counts == {"outage": 1}
    assert result.score is None
