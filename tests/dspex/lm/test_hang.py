"""A request that never answers costs half of the time that its caller has, where all others answer at once."""

from hypothesis import given
from hypothesis import strategies as st

from dspex import Evaluate, System
from dspex.lm import LM, _hang
from dspex.lm._hang import ENOUGH, FAR, Patience
from dspex.predict import Predict
from dspex.primitives import Example
from dspex.testing import Fault, FaultServer

SECONDS = st.floats(0.001, 100.0)


@given(st.lists(SECONDS, min_size=ENOUGH), SECONDS)
def test_a_try_gets_half_of_the_time_only_where_that_is_far_longer_than_any_reply_took(replies, left):
    patience = Patience()
    for seconds in replies:
        patience.replied(seconds)
    assert patience.of(left) in (left, left / 2)
    if left / 2 > FAR * max(replies):
        assert patience.of(left) == left / 2
    if left / 2 <= FAR * replies[-1]:
        assert patience.of(left) == left


@given(st.lists(SECONDS, max_size=ENOUGH - 1), SECONDS)
def test_before_enough_replies_were_seen_a_try_has_all_the_time(replies, left):
    patience = Patience()
    for seconds in replies:
        patience.replied(seconds)
    assert patience.of(left) == left


def test_a_slow_reply_is_forgotten_in_the_end():
    patience = Patience()
    patience.replied(60.0)
    assert patience.of(60.0) == 60.0
    for _ in range(5000):
        patience.replied(0.01)
    assert patience.of(60.0) == 30.0


def test_a_hanging_call_is_made_again_within_the_time_of_its_example(monkeypatch):
    monkeypatch.setattr(_hang, "FAR", 1.0)  # so that a slow machine does not count as a slow model
    last = ENOUGH + 4
    devset = [Example(question=f"q{n}", answer="").with_inputs("question") for n in range(last + 1)]
    hang = Fault("hang", seconds=60.0)
    with FaultServer(faults=lambda seen: hang if seen.number == last else None) as server:
        lm = LM("openai/fake", base_url=server.url, api_key="none", cache=False)
        with System(lm=lm, store=False, control_socket=False):
            evaluate = Evaluate(devset=devset, metric=lambda e, p: True, num_workers=1, timeout=2.0, max_retries=0)
            result = evaluate(Predict("question -> answer"))
    assert result.failures == ()
    assert result.outcomes[last].attempts == 1
