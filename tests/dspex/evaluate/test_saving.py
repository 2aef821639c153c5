"""Where a result goes: looked at before anything is paid for, and never at the cost of the result."""

import pytest

from dspex.evaluate import Evaluate, EvaluationResult, _render
from dspex.primitives import Example, Prediction
from dspex.system import System

from .metrics import exact


@pytest.fixture
def system():
    with System(store=False, control_socket=False) as running:
        yield running


class Echo:
    """Counts what it is asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, question):
        self.asked += 1
        return Prediction(answer="a" + question[1:])


def evaluate(**options):
    devset = [Example(question=f"q{n}", answer=f"a{n}").with_inputs("question") for n in range(3)]
    return Evaluate(devset=devset, metric=exact, **options)


@pytest.mark.parametrize("option", ["save_as_csv", "save_as_json"])
@pytest.mark.parametrize(
    ("where", "error"), [("none/r", FileNotFoundError), ("file/r", NotADirectoryError), ("", IsADirectoryError)]
)
def test_where_nothing_can_be_written_nothing_is_asked(system, tmp_path, option, where, error):
    (tmp_path / "file").touch()
    program = Echo()
    with pytest.raises(error, match=option):
        evaluate(**{option: tmp_path / where})(program)
    with pytest.raises(error, match=option):
        evaluate()(program, **{option: str(tmp_path / where)})
    assert program.asked == 0


def test_a_file_that_cannot_be_written_costs_neither_the_other_one_nor_the_result(
    system, tmp_path, monkeypatch, caplog
):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EvaluationResult, "save_as_csv", full)
    result = evaluate(save_as_csv=tmp_path / "r.csv", save_as_json=tmp_path / "r.json")(Echo())
    assert result.score == 100.0
    assert (tmp_path / "r.json").exists()
    assert [record.levelname for record in caplog.records if record.name == "dspex.evaluate"] == ["ERROR"]
    assert "No space left" in caplog.text
    assert "result.save_as_csv(...)" in caplog.text


@pytest.mark.parametrize("error", [ValueError("markup"), KeyboardInterrupt()], ids=repr)
def test_a_table_that_cannot_be_shown_costs_neither_the_files_nor_the_result(
    system, tmp_path, monkeypatch, caplog, error
):
    def broken(*args):
        raise error

    monkeypatch.setattr(_render, "show_result", broken)
    result = evaluate(display_table=True, save_as_json=tmp_path / "r.json")(Echo())
    assert result.score == 100.0
    assert (tmp_path / "r.json").exists()
    assert "could not be shown" in caplog.text


@pytest.mark.parametrize(("table", "rows"), [(0, 0), (False, 0), (None, 0), (-1, 0), (1, 1), (2, 2), (True, 3)])
def test_the_table_has_as_many_rows_as_were_asked_for(system, capsys, table, rows):
    evaluate(display_table=table)(Echo())
    shown = capsys.readouterr().out
    assert sum(f"│ q{n} " in shown for n in range(3)) == rows
    assert bool(shown) == bool(rows)
