"""Saved programs: DSPy's JSON both ways; nothing unpickled unasked."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dspex

DATA = Path(__file__).parent / "data"  # what DSPy 3.4.1 wrote: see data/record.py
ITS_NAMES = {"python", "dspy", "cloudpickle"}  # DSPy cannot load a file that names other dependencies


class Grade(dspex.Signature):
    """Grade the answer to the question."""

    question: str = dspex.InputField()
    answer: str = dspex.InputField(desc="what was answered")
    grade: int = dspex.OutputField(desc="from 0 to 10", ge=0, le=10)


class Program(dspex.Module):
    """The program of data/record.py."""

    def __init__(self) -> None:
        self.qa = dspex.ChainOfThought("context: list[str], question -> answer")
        self.steps = [dspex.Predict("question -> query"), dspex.Predict("query -> topic: str")]
        self.by_kind = {"short": dspex.Predict("question -> answer")}
        self.grade = dspex.Predict(Grade)


def look_up(q: str) -> str:
    """Looks it up."""
    return q


RECORDED: dict[str, Callable[[], dspex.Module]] = {
    "dspy_program.json": Program,
    "dspy_predict.json": lambda: dspex.Predict("question -> answer"),
    "dspy_react.json": lambda: dspex.ReAct("question -> answer", tools=[look_up]),
    "dspy_multi_chain.json": lambda: dspex.MultiChainComparison("question -> answer"),
}
# Of a language model: nothing that we have.
DSPY_ONLY = {"finetuning_model", "launch_kwargs", "train_kwargs", "_dspy_lm_class"}


class RAG(dspex.Module):
    def __init__(self) -> None:
        self.qa = dspex.ChainOfThought("question -> answer")


@pytest.mark.parametrize("name", RECORDED)
def test_what_dspy_saved_is_saved_again_as_it_was(name: str, tmp_path: Path) -> None:
    program = RECORDED[name]()
    program.load(DATA / name, allow_unsafe_lm_state=True)
    program.save(tmp_path / name)
    theirs, ours = json.loads((DATA / name).read_text()), json.loads((tmp_path / name).read_text())
    assert theirs.pop("metadata")["dependency_versions"].keys() == ITS_NAMES
    assert ours.pop("metadata")["dependency_versions"].keys() <= ITS_NAMES
    if name == "dspy_program.json":
        assert theirs["grade"]["lm"].pop("model_type") == ours["grade"]["lm"].pop("model_type")
        theirs["grade"]["lm"] = {k: v for k, v in theirs["grade"]["lm"].items() if k not in DSPY_ONLY}
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_a_program_saved_by_dspy_loads_here() -> None:
    program = Program()
    program.load(DATA / "dspy_program.json")
    predict = program.qa.predict
    assert predict.signature.instructions == "Answer from the context.\nBe brief."
    assert predict.demos[0].augmented is True
    assert predict.demos[0].context == ["Rome is the capital of Italy.", "Ünïcode"]
    assert predict.demos[1].inputs().toDict() == {"context": [], "question": "Capital of France?"}
    assert program.grade.demos[0].grade == 7
    assert program.grade.lm.model == "openai/gpt-4o-mini"
    assert program.grade.lm.kwargs == {"temperature": 0.5, "max_tokens": 200}


def test_the_endpoint_in_a_file_is_not_used_unless_that_is_allowed() -> None:
    program = Program()
    program.load(DATA / "dspy_program.json")
    assert "somewhere.invalid" not in repr(vars(program.grade.lm))
    program.load(DATA / "dspy_program.json", allow_unsafe_lm_state=True)
    assert "somewhere.invalid" in repr(vars(program.grade.lm))


def test_a_state_saved_by_another_version_is_loaded_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = json.loads((DATA / "dspy_predict.json").read_text())
    state["metadata"] = {"dependency_versions": {"python": "2.7", "unheard-of": "1.0"}, "dspex": "0.0"}
    (tmp_path / "p.json").write_text(json.dumps(state))
    with caplog.at_level(logging.WARNING, logger="dspex"):
        dspex.Predict("question -> answer").load(tmp_path / "p.json")
    assert [text.split(" and is ")[0] for text in caplog.messages] == [
        "the state was saved with python 2.7",
        "the state was saved with dspex 0.0",
    ]


def test_saving_and_loading_is_the_identity_on_states(tmp_path: Path) -> None:
    program = RAG()
    program.qa.predict.signature = program.qa.predict.signature.with_instructions("Zwölf Wörter.\nIn two lines.")
    program.qa.predict.demos = [dspex.Example(question="q", answer=["a", 1, None, {"b": 2.5}]).with_inputs("question")]
    program.save(tmp_path / "p.json")
    other = RAG()
    other.load(tmp_path / "p.json")
    assert other.dump_state() == program.dump_state()


def test_a_predictor_alone_is_saved_flat_or_by_name_as_dspy_does(tmp_path: Path) -> None:
    predict = dspex.Predict("question -> answer")
    predict.demos = [dspex.Example(question="q", answer="a")]
    predict.save(tmp_path / "p.json")
    written = json.loads((tmp_path / "p.json").read_text())
    assert written["demos"] == [{"question": "q", "answer": "a"}]
    other = dspex.Predict("question -> answer")
    other.load(tmp_path / "p.json")
    assert other.demos[0].answer == "a"


def test_secrets_are_not_saved(tmp_path: Path) -> None:
    predict = dspex.Predict("question -> answer")
    predict.lm = dspex.LM("openai/gpt-4o-mini", api_key="sk-very-secret")
    predict.save(tmp_path / "p.json")
    assert "sk-very-secret" not in (tmp_path / "p.json").read_text()


def test_a_state_of_another_program_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    class Other(dspex.Module):
        def __init__(self) -> None:
            self.qa = dspex.ChainOfThought("question -> answer")
            self.more = dspex.Predict("a -> b")

    RAG().save(tmp_path / "rag.json")
    program = Other()
    before = program.dump_state()
    with pytest.raises(KeyError, match="more"):
        program.load(tmp_path / "rag.json")
    assert program.dump_state() == before


def test_pickles_are_written_and_read_only_by_those_who_allow_it(tmp_path: Path) -> None:
    program = dspex.ChainOfThought("question -> answer")
    program.predict.demos = [dspex.Example(question="q", answer="a")]
    for path, whole in ((tmp_path / "state.pkl", False), (tmp_path / "folder", True)):
        with pytest.raises(ValueError, match="allow_pickle=True"):
            program.save(path, save_program=whole)
        assert not path.exists()
        program.save(path, save_program=whole, allow_pickle=True)
    other = dspex.ChainOfThought("question -> answer")
    with pytest.raises(ValueError, match="allow_pickle=True"):
        other.load(tmp_path / "state.pkl")
    other.load(tmp_path / "state.pkl", allow_pickle=True)
    assert other.predict.demos == program.predict.demos
    with pytest.raises(ValueError, match="allow_pickle=True"):
        dspex.load(tmp_path / "folder")
    assert dspex.load(tmp_path / "folder", allow_pickle=True).predict.demos == program.predict.demos


def test_loading_json_never_runs_code_that_is_in_the_file(tmp_path: Path) -> None:
    ran: list[int] = []

    class Bomb:
        def __reduce__(self) -> Any:
            return ran.append, (1,)

    path = tmp_path / "bomb.json"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises((ValueError, UnicodeDecodeError)):
        RAG().load(path)
    assert ran == []


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.json"):
        RAG().save(tmp_path / "p.yaml")
    with pytest.raises(ValueError, match=r"\.json"):
        RAG().load(tmp_path / "p.yaml")
