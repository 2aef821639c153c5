"""`Embeddings`: a corpus in memory, searched by the meaning of a query."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from actors import wait
from dspex.predict import Module
from dspex.primitives import Prediction
from dspex.retrievers._index import VectorIndex

_CONFIG = "config.json"
_CORPUS = "corpus.jsonl"
_VERSION = 1


class Embeddings(Module):
    """`search(query)` is a prediction with the `k` passages nearest to the query and their indices in the corpus.

    `embedder` is a `dspex.Embedder` or a function of texts to vectors, plain or a coroutine; the vectors of the corpus
    are computed once, here. Search is exact, by cosine (inner product without `normalize`), and quick up to some
    100,000 passages. `callbacks` watch it like any module. `save` and `from_saved` keep passages and vectors as JSON:
    nothing is unpickled.
    """

    def __init__(
        self,
        corpus: Sequence[str],
        embedder: Any,
        k: int = 5,
        callbacks: Any = None,
        normalize: bool = True,
        *,
        index: VectorIndex | None = None,
    ) -> None:
        super().__init__(callbacks)
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        self.corpus = list(corpus)
        self.embedder = embedder
        self.k = k
        self.index = index if index is not None else VectorIndex(_vectors(embedder, self.corpus), normalize)
        if len(self.index) != len(self.corpus):
            raise ValueError(f"{len(self.index)} vectors for {len(self.corpus)} passages: there must be one each")

    def forward(self, query: str, k: int | None = None) -> Prediction:
        """The nearest passages. Waits for the embedder: a fiber parks, a thread blocks."""
        found = self._search(query, k)
        return Prediction(passages=[self.corpus[row] for row, _ in found], indices=[row for row, _ in found])

    def _search(self, query: str, k: int | None) -> list[tuple[int, float]]:
        (vector,) = _vectors(self.embedder, [query])
        return self.index.nearest(vector, self.k if k is None else k)

    def save(self, path: str | Path, *args: Any, **kwargs: Any) -> None:
        """Write the corpus and its vectors into the directory `path`."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / _CORPUS, "w", encoding="utf-8") as file:
            for passage, vector in zip(self.corpus, self.index.rows, strict=True):
                file.write(json.dumps({"passage": passage, "vector": vector}, ensure_ascii=False) + "\n")
        config = {"version": _VERSION, "k": self.k, "normalize": self.index.normalize}
        (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_saved(cls, path: str | Path, embedder: Any) -> Self:
        """The retriever that `save` wrote. `embedder` must be the one that made its vectors. ValueError when the
        directory holds something else.
        """
        folder = Path(path)
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict) or config.get("version") != _VERSION:
            raise ValueError(f"{folder} does not hold embeddings of this version (version {_VERSION})")
        with open(folder / _CORPUS, encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        # They were prepared when they were saved; to do it again would not change them but by rounding.
        index = VectorIndex([row["vector"] for row in rows], normalize=False)
        index.normalize = bool(config["normalize"])
        return cls([row["passage"] for row in rows], embedder, k=int(config["k"]), index=index)

    def load(self, path: str | Path, embedder: Any = None, **kwargs: Any) -> Self:  # type: ignore[override]
        """Take over the corpus and vectors that `save` wrote, with this embedder or another one."""
        saved = type(self).from_saved(path, self.embedder if embedder is None else embedder)
        self.corpus, self.index, self.k, self.embedder = saved.corpus, saved.index, saved.k, saved.embedder
        return self


class EmbeddingsWithScores(Embeddings):
    """The same, with the `scores` of the passages."""

    def forward(self, query: str, k: int | None = None) -> Prediction:
        """The nearest passages and how near they are."""
        found = self._search(query, k)
        return Prediction(
            passages=[self.corpus[row] for row, _ in found],
            indices=[row for row, _ in found],
            scores=[score for _, score in found],
        )


def _vectors(embedder: Any, texts: list[str]) -> list[Any]:
    if not texts:
        return []
    vectors = embedder(texts)
    if inspect.isawaitable(vectors):
        vectors = wait(vectors)
    made = list(vectors)
    if len(made) != len(texts):
        raise ValueError(f"the embedder gave {len(made)} vectors for {len(texts)} texts")
    return made
