"""Finding the passages of a corpus that are near to a query."""

from dspex.retrievers._embeddings import Embeddings, EmbeddingsWithScores

__all__ = ["Embeddings", "EmbeddingsWithScores"]
