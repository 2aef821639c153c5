from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.datasets import INTENTS, SENTIMENTS, DataLoader, DatasetError, intent, sentiment, split
from dspex.primitives import Example


def numbered(count: int) -> list[Example]:
    return [Example(number=number).with_inputs("number") for number in range(count)]


def test_the_sentiment_rows_are_balanced_distinct_and_have_one_input() -> None:
    rows = sentiment()
    assert Counter(row.sentiment for row in rows) == {"positive": 500, "negative": 500}
    assert {row.sentiment for row in rows} == set(SENTIMENTS)
    assert len({row.review for row in rows}) == 1000
    assert all(list(row.inputs().keys()) == ["review"] for row in rows)


def test_the_intent_rows_use_every_intent_and_no_other() -> None:
    rows = intent()
    assert len(rows) == 450
    assert {row.intent for row in rows} == set(INTENTS)
    assert all(list(row.inputs().keys()) == ["utterance"] for row in rows)


def test_the_shipped_data_names_its_licences() -> None:
    import dspex.datasets

    text = (Path(dspex.datasets.__file__).with_name("data") / "README.md").read_text()
    assert "CC BY 4.0" in text
    assert "Kotzias" in text
    assert "BIG-bench" in text
    assert "Apache License" in text


@given(total=st.integers(0, 60), seed=st.integers(), cut=st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_a_split_is_disjoint_complete_and_the_same_each_time(total: int, seed: int, cut: tuple[int, int]) -> None:
    rows = numbered(total)
    train, dev = cut
    if train + dev > total:
        with pytest.raises(DatasetError, match=f"There are {total} rows"):
            split(rows, train=train, dev=dev, seed=seed)
        return
    parts = split(rows, train=train, dev=dev, seed=seed)
    assert (len(parts.train), len(parts.dev)) == (train, dev)
    assert sorted(row.number for part in parts for row in part) == list(range(total))
    assert parts == split(rows, train=train, dev=dev, seed=seed)


@given(small=st.integers(0, 50), large=st.integers(0, 50), seed=st.integers(0, 5))
def test_a_larger_training_part_leaves_dev_and_test_as_they_were(small: int, large: int, seed: int) -> None:
    first = split(numbered(100), train=small, dev=20, test=30, seed=seed)
    second = split(numbered(100), train=large, dev=20, test=30, seed=seed)
    assert first.test == second.test
    assert first.dev == second.dev


def test_a_split_is_the_same_on_every_machine() -> None:
    parts = split(numbered(10), train=0.5, dev=0.3, seed=7)
    assert [[row.number for row in part] for part in parts] == [[3, 9, 7, 8, 4], [1, 2, 5], [0, 6]]


def test_another_seed_gives_another_split() -> None:
    assert split(numbered(100), seed=1) != split(numbered(100), seed=2)


@pytest.mark.parametrize("size", [-1, 1.5, -0.1])
def test_a_senseless_size_is_refused(size: float) -> None:
    with pytest.raises(DatasetError, match="train="):
        split(numbered(10), train=size)


def test_jsonl_keeps_order_types_and_unicode_line_separators(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"q": "naïve\u2028x", "n": 1}, {"q": "b", "n": [2.5, None]}]
    file.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    read = DataLoader().from_jsonl(file, input_keys=["q"])
    assert [row.toDict() for row in read] == rows
    assert list(read[0].inputs().keys()) == ["q"]


def test_json_reads_a_list_and_csv_reads_quoted_lines(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"a": 1, "b": 2}]')
    assert DataLoader().from_json(tmp_path / "rows.json", fields=["b"])[0].toDict() == {"b": 2}
    (tmp_path / "rows.csv").write_text('\ufeffq,a\n"one, ""two""\nthree",4\n', encoding="utf-8")
    assert DataLoader().from_csv(tmp_path / "rows.csv")[0].toDict() == {"q": 'one, "two"\nthree', "a": "4"}


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a": ', 2, "not valid JSON"),
        ("x.jsonl", b"[1]", 1, "must be an object"),
        ("x.jsonl", b'{"b": 1}', 1, "no column 'a'"),
        ("x.json", b'{"a": 1}', None, "list of objects"),
        ("x.json", b"{", None, "not valid JSON"),
        ("x.json", b"\xff\xfe\xfa", None, "not UTF-8"),
        ("x.csv", b"a,b\n1\n", 2, "2 columns"),
        ("x.csv", b"a,b\n1,2,3\n", 2, "2 columns"),
        ("x.csv", b'a,b\n1,"2', 1, "not valid CSV"),
        ("x.csv", b"b\n1\n", 2, "no column 'a'"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(
    tmp_path: Path, name: str, content: bytes, line: int | None, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    loader = DataLoader()
    read = {"x.jsonl": loader.from_jsonl, "x.json": loader.from_json, "x.csv": loader.from_csv}[name]
    with pytest.raises(DatasetError, match=message) as caught:
        read(file, fields=["a"])
    assert caught.value.path == str(file)
    assert caught.value.line == line


@pytest.mark.parametrize("method", ["from_csv", "from_json", "from_jsonl"])
def test_a_missing_file_is_a_sentence(tmp_path: Path, method: str) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        getattr(DataLoader(), method)(tmp_path / "absent")


def test_a_sample_is_drawn_by_seed_without_repeats() -> None:
    rows = numbered(50)
    drawn = DataLoader().sample(rows, 20, seed=3)
    assert drawn == DataLoader().sample(rows, 20, seed=3)
    assert len({row.number for row in drawn}) == 20
    with pytest.raises(DatasetError, match="fewer than the 51"):
        DataLoader().sample(rows, 51)


def test_train_test_split_takes_dspys_arguments() -> None:
    parts = DataLoader().train_test_split(numbered(40), train_size=0.75, random_state=1)
    assert (len(parts["train"]), len(parts["test"])) == (30, 10)


def test_rows_in_memory_become_examples() -> None:
    read = DataLoader().from_rows([{"q": 1, "a": 2}], fields=["q"], input_keys=["q"])
    assert read == [Example(q=1)]
