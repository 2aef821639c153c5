"""Between programs and data: what an optimizer sees of a module, and a candidate put into a copy of it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import pydantic

from dspex.predict import Module
from dspex.primitives import Example

from ._candidate import Candidate, Demo
from ._requests import Ranked
from ._task import FieldSpec, PredictorSpec, ProgramSpec
from ._values import to_json_value


def describe(program: Module) -> ProgramSpec:
    """The program's predictors with their instructions, fields and demonstrations, and its code if it can be had."""
    return ProgramSpec(
        tuple(_predictor(name, predictor) for name, predictor in program.named_predictors()),
        source=_source(type(program)),
        compiled=bool(getattr(program, "_compiled", False)),
    )


def apply(candidate: Candidate, program: Module) -> Module:
    """A copy of the program with the candidate's instructions and demonstrations."""
    made = program.deepcopy()
    for name, predictor in made.named_predictors():
        state = candidate[name]
        predictor.signature = predictor.signature.with_instructions(state.instructions)
        predictor.demos = [revive(demo, predictor.signature) for demo in state.demos]
    return made


def revive(demo: Demo, signature: Any) -> Example:
    """A demonstration with its values in the types of the signature's fields, where they have that form."""
    fields = {**signature.input_fields, **signature.output_fields}
    return Example({name: _typed(value, fields.get(name)) for name, value in demo.items()})


def trace_steps(program: Module, trace: Sequence[tuple[Any, Mapping[str, Any], Any]]) -> list[list[Any]]:
    """What each predictor of the program did, in call order, as ``[name, demonstration]`` in JSON's values."""
    names = {id(predictor): name for name, predictor in program.named_predictors()}
    return [
        [names[id(predictor)], to_json_value({**inputs, **dict(prediction.items())})]
        for predictor, inputs, prediction in trace
        if id(predictor) in names
    ]


class CandidatePrograms(Sequence[Mapping[str, Any]]):
    """The judged programs of a run, best first: ``{"score": percent, "program": module, "label": text}``.

    Programs are made when they are looked at.
    """

    def __init__(self, program: Module, ranked: Sequence[Ranked]) -> None:
        self._program = program
        self._ranked = tuple(ranked)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self._entry(ranked) for ranked in self._ranked[index]]
        return self._entry(self._ranked[index])

    def __len__(self) -> int:
        return len(self._ranked)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self._entry, self._ranked)

    def save(self, directory: str | Path) -> None:
        """Write each program's state as ``candidate-N.json``, the best as 0, and the scores as ``candidates.json``."""
        path = Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        kept = []
        for number, entry in enumerate(self):
            name = f"candidate-{number}.json"
            entry["program"].save(path / name)
            kept.append({"file": name, "score": entry["score"], "label": entry["label"]})
        (path / "candidates.json").write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def __deepcopy__(self, memo: dict[int, Any]) -> CandidatePrograms:
        return self  # a record, not a part of the program that carries it

    def _entry(self, ranked: Ranked) -> Mapping[str, Any]:
        program = apply(ranked.candidate, self._program)
        return {"score": ranked.score, "program": program, "label": ranked.label, "candidate": ranked.candidate}


def _predictor(name: str, predictor: Any) -> PredictorSpec:
    signature = predictor.signature
    return PredictorSpec(
        name,
        signature.instructions,
        tuple(_field(key, field) for key, field in signature.input_fields.items()),
        tuple(_field(key, field) for key, field in signature.output_fields.items()),
        tuple(to_json_value(dict(demo.items())) for demo in predictor.demos),
    )


def _field(name: str, field: Any) -> FieldSpec:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    text = field.description or extra.get("desc") or ""
    return FieldSpec(name, "" if text == f"${{{name}}}" else str(text))


def _source(program: type) -> str:
    try:
        return inspect.getsource(program)
    except (OSError, TypeError):
        return ""  # made at a prompt, or built in


def _typed(value: Any, field: Any) -> Any:
    if field is None or isinstance(value, str) or field.annotation in (None, str, Any):
        return value
    try:
        return pydantic.TypeAdapter(field.annotation).validate_python(value)
    except (pydantic.ValidationError, pydantic.PydanticSchemaGenerationError):
        return value  # a demonstration need not fit the type: it is shown, not checked
