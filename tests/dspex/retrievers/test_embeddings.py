"""Passages near to a query."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dspex
from actors.testing import no_leaks
from dspex import System
from dspex.retrievers import Embeddings, EmbeddingsWithScores
from dspex.retrievers._index import VectorIndex
from dspex.testing import FaultServer

CORPUS = ["a cat", "a dog", "an apple", "a cat and a dog"]


def words(texts: list[str]) -> list[list[float]]:
    """How often each of three words occurs."""
    return [[float(text.split().count(word)) for word in ("cat", "dog", "apple")] for text in texts]


@pytest.fixture
def system() -> Iterator[System]:
    with no_leaks(), System("retrieval") as system:
        yield system


def test_the_nearest_passages_come_first_with_their_places(system: System) -> None:
    search = Embeddings(CORPUS, words, k=2)
    found = search("one dog")
    assert (found.passages, found.indices) == (["a dog", "a cat and a dog"], [1, 3])
    assert search("apple", k=1).passages == ["an apple"]


def test_scores_come_along_when_asked_for(system: System) -> None:
    found = EmbeddingsWithScores(CORPUS, words, k=3)("cat")
    assert found.passages == ["a cat", "a cat and a dog", "a dog"]
    assert found.scores == pytest.approx([1.0, math.sqrt(0.5), 0.0])


def test_what_was_saved_finds_the_same_and_nothing_is_unpickled(system: System, tmp_path: Path) -> None:
    search = EmbeddingsWithScores(CORPUS, words, k=2)
    search.save(tmp_path / "index")
    assert {path.suffix for path in (tmp_path / "index").iterdir()} == {".json", ".jsonl"}
    again = EmbeddingsWithScores.from_saved(tmp_path / "index", words)
    assert again("dog").toDict() == search("dog").toDict()
    assert again.index.normalize is True
    assert Embeddings([], words).load(tmp_path / "index")("apple", k=1).passages == ["an apple"]
    (tmp_path / "index" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="version"):
        Embeddings.from_saved(tmp_path / "index", words)


def test_a_hosted_embedder_embeds_the_corpus_once_and_each_query(system: System) -> None:
    with FaultServer() as server:
        embedder = dspex.Embedder("openai/e", base_url=server.url, api_key="k")
        search = Embeddings(["e", "xyz"], embedder, k=1)
        assert search("ee").passages == ["e"]  # (length, number of e): the same direction
        assert search("abcd").passages == ["xyz"]
        assert [seen.body["input"] for seen in server.requests] == [["e", "xyz"], ["ee"], ["abcd"]]


def test_it_is_a_part_of_a_program_like_any_module(system: System) -> None:
    class Lookup(dspex.Module):
        def __init__(self) -> None:
            super().__init__()
            self.search = Embeddings(CORPUS, words, k=1)

        def forward(self, question: str) -> Any:
            return self.search(question).passages[0]

    ref = system.spawn(Lookup(), name="lookup")
    assert ref(question="apple") == "an apple"
    assert ref.metrics()["search"].calls == 1


def test_a_coroutine_embeds_too(system: System) -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        return words(texts)

    assert Embeddings(CORPUS, embed, k=1)("apple").passages == ["an apple"]


def test_vectors_that_do_not_fit_are_refused(system: System) -> None:
    with pytest.raises(ValueError, match="1 vectors for 2 texts"):
        Embeddings(["a", "b"], lambda texts: [[1.0]])
    with pytest.raises(ValueError, match="same length"):
        VectorIndex([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="another embedder"):
        VectorIndex([[1.0]]).nearest([1.0, 2.0], 1)
    with pytest.raises(ValueError, match="not finite"):
        VectorIndex([[math.nan]])


@given(
    rows=st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), max_size=8),
    query=st.lists(st.integers(-3, 3), min_size=3, max_size=3),
    k=st.integers(1, 10),
    normalize=st.booleans(),
)
def test_with_and_without_numpy_the_same_rows_are_nearest(
    rows: list[list[int]], query: list[int], k: int, normalize: bool
) -> None:
    found = VectorIndex(rows, normalize).nearest(query, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numpy", None)
        plain = VectorIndex(rows, normalize).nearest(query, k)
    assert len(found) == min(k, len(rows))
    assert [score for _, score in found] == pytest.approx([score for _, score in plain])
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
