"""`KNNFewShot`: demonstrations chosen for each question, from the examples nearest to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from dspex.evaluate._evaluate import inputs_of
from dspex.predict import Module

from ._arguments import at_least, inputs_are_marked, the_examples, the_program
from ._bootstrap_few_shot import BootstrapFewShot
from ._teleprompter import parameters_of


class KNNFewShot:
    """``compile(student)`` gives a program that, for every call, bootstraps demonstrations from the ``k`` nearest
    training examples (`BootstrapFewShot` with ``few_shot_bootstrap_args``) and then answers.

    Liu et al., "What Makes Good In-Context Examples for GPT-3?", 2022. ``vectorizer`` turns a list of texts into a
    list of vectors: an embedder, or any function. The nearest are those with the largest scalar product of
    their inputs' text, "name: value" joined by " | ". The training examples are embedded once, at the first call.
    """

    def __init__(
        self, k: int, trainset: Sequence[Any], vectorizer: Callable[[list[str]], Any], **few_shot_bootstrap_args: Any
    ) -> None:
        at_least(1, k=k)
        examples = the_examples(trainset, "trainset")
        if not examples:
            raise ValueError("the trainset is empty: there is nothing to be near to")
        inputs_are_marked(examples, "trainset")
        BootstrapFewShot(**few_shot_bootstrap_args)  # what it does not take is refused here, not at the first call
        self.k = k
        self.trainset = examples
        self.vectorizer = vectorizer
        self.few_shot_bootstrap_args = few_shot_bootstrap_args

    def compile(self, student: Module, *, teacher: Module | None = None) -> Module:
        """The program; the student itself is not changed."""
        student = the_program(student, "student")
        teacher = None if teacher is None else the_program(teacher, "teacher")
        nearest = _Nearest(self.k, self.trainset, self.vectorizer)
        return NearestFewShot(student.reset_copy(), teacher, nearest, self.few_shot_bootstrap_args)

    def get_params(self) -> dict[str, Any]:
        """The constructor's arguments: the class called with them gives an equal optimizer."""
        return parameters_of(self)


class NearestFewShot(Module):
    """What `KNNFewShot` compiles."""

    def __init__(self, student: Module, teacher: Module | None, nearest: _Nearest, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.nearest = nearest
        self.arguments = arguments

    async def aforward(self, **inputs: Any) -> Any:
        examples = await asyncio.to_thread(self.nearest, inputs)
        compiled = await BootstrapFewShot(**self.arguments).acompile(
            self.student, teacher=self.teacher, trainset=examples, store=False
        )
        return await compiled.acall(**inputs)


class _Nearest:
    """The training examples, by likeness to some inputs."""

    def __init__(self, k: int, trainset: list[Any], vectorizer: Callable[[list[str]], Any]) -> None:
        self._k = k
        self._trainset = trainset
        self._vectorizer = vectorizer
        self._vectors: list[list[float]] | None = None

    def __call__(self, inputs: dict[str, Any]) -> list[Any]:
        """The ``k`` nearest, the nearest first; of equally near ones the earlier. Blocks while it embeds."""
        if self._vectors is None:
            self._vectors = self._embedded([dict(inputs_of(example)) for example in self._trainset])
        (query,) = self._embedded([inputs])
        likeness = [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in self._vectors]
        order = sorted(range(len(likeness)), key=lambda index: -likeness[index])
        return [self._trainset[index] for index in order[: self._k]]

    def _embedded(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        texts = [" | ".join(f"{name}: {value}" for name, value in row.items()) for row in rows]
        return [[float(x) for x in vector] for vector in self._vectorizer(texts)]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Nearest:
        return self  # never changed but for the vectors, which copies may share
