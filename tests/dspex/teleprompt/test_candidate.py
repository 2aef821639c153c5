"""A candidate is data."""

import json
import subprocess
import sys

import pydantic

from dspex.primitives import Example
from dspex.teleprompt._candidate import Candidate, PredictorState, content_key
from dspex.teleprompt._task import Record
from dspex.teleprompt._values import to_json_value

CANDIDATE = Candidate((PredictorState("a", "Say ä.", ({"q": "1", "n": [1, {"x": None}]},)), PredictorState("b", "")))


def test_a_candidate_survives_json_with_its_key():
    again = Candidate.from_json(json.loads(json.dumps(CANDIDATE.to_json())))
    assert again == CANDIDATE
    assert again.key == CANDIDATE.key


def test_the_key_depends_on_content_and_not_on_the_order_of_fields():
    same = Candidate((PredictorState("a", "Say ä.", ({"n": [1, {"x": None}], "q": "1"},)), PredictorState("b", "")))
    assert same.key == CANDIDATE.key
    assert CANDIDATE.with_instructions({"b": "x"}).key != CANDIDATE.key
    assert CANDIDATE.without_demos().key != CANDIDATE.key


def test_the_key_is_the_same_in_every_process():
    code = "from dspex.teleprompt._candidate import content_key; print(content_key({'b': [1, 2.5], 'a': 'ä'}, None))"
    out = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert out == [content_key({"a": "ä", "b": [1, 2.5]}, None)] * 2


def test_changes_leave_the_other_predictors_alone():
    changed = CANDIDATE.with_demos({"b": [{"q": "2"}]})
    assert changed["a"] == CANDIDATE["a"]
    assert changed["b"].demos == ({"q": "2"},)


def test_values_become_json():
    class Model(pydantic.BaseModel):
        x: int

    value = to_json_value({"m": Model(x=1), "e": Example(q=Model(x=2)), "s": (1, 2), "o": {"deep": object}})
    json.dumps(value)
    assert value["m"] == {"x": 1}
    assert value["e"] == {"q": {"x": 2}}
    assert value["s"] == [1, 2]


def test_a_record_knows_its_inputs():
    record = Record.of(Example(question="q", answer="a").with_inputs("question"))
    assert record.inputs == {"question"}
    assert record.fields == {"question": "q", "answer": "a"}
