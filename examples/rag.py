"""Retrieval and an answer: an embedder finds the passages, a model reads them. `python3 examples/rag.py "A question?"`

The embedder is a real one that needs no network (WordLlama, 16 MB of vectors). `dspex.Embedder` takes any function from
texts to vectors, or "provider/model" of a hosted one. The model that reads has 135 million parameters: it answers well
where the words of the passage are an answer, and makes things up where they are not.
"""

import os
import sys

from model import setup, small_model

if __name__ == "__main__":
    setup("embeddings", packages=("wordllama",))

import dspex

PASSAGES = [
    "The scheduler of a telephone switch hands every call to a process of its own.",
    "A supervisor restarts a process that has crashed, by the strategy that it was given.",
    "A circuit breaker stops requests to an endpoint that keeps failing, and lets a single trial through later.",
    "An example that kills its worker again and again is put into quarantine and reported.",
    "A budget is reserved before a request is sent, and settled when its price is known.",
    "Identical requests that are in flight at the same time share one answer.",
]


class Answer(dspex.Signature):
    """Answer the question in the words of the context."""

    context: str = dspex.InputField()
    question: str = dspex.InputField()
    answer: str = dspex.OutputField()


class Rag(dspex.Module):
    """Answers from the `k` passages nearest to the question."""

    def __init__(self, embedder, passages, k=1):
        super().__init__()
        self.embedder = embedder
        self.passages = passages
        self.vectors = embedder(passages)
        self.k = k
        self.answer = dspex.Predict(Answer)

    def forward(self, question):
        nearness = self.vectors @ self.embedder(question)
        found = [self.passages[i] for i in nearness.argsort()[::-1][: self.k]]
        answer = self.answer(context=" ".join(found), question=question).answer
        return dspex.Prediction(answer=answer.partition("\n")[0], context=found)  # a small model goes on and on


def local_embedder():
    """Vectors of length 1, so that a dot product is the cosine."""
    from pathlib import Path

    import wordllama

    words = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    return dspex.Embedder(lambda texts: words.embed(texts, norm=True))


def main():
    """Answer the question given, or one of our own."""
    question = " ".join(sys.argv[1:]) or "What stops requests to an endpoint?"
    with small_model(max_tokens=48) as settings, dspex.context(**settings):
        prediction = Rag(local_embedder(), PASSAGES)(question=question)
        print("question:", question)
        for passage in prediction.context:
            print("found:   ", passage)
        print("answer:  ", prediction.answer)
        if "DSPEX_EXAMPLE_MODEL" not in os.environ:
            print("          (by a model with 135 million parameters, which makes things up easily)")


if __name__ == "__main__":
    main()
